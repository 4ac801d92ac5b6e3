"""Which family a model belongs to, and what is refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_families import CASES, OTHERS
from transformers import (
    AriaConfig,
    AriaImageProcessorPil,
    AutoConfig,
    BlipConfig,
    DeepseekVLHybridConfig,
    DeepseekVLHybridImageProcessorPil,
    Gemma3Processor,
    GitConfig,
    GotOcr2ImageProcessorPil,
    GraniteDoclingConfig,
    GraniteDoclingImageProcessorPil,
    InternVLConfig,
    Kosmos2Config,
    PaliGemmaConfig,
    Qwen2_5_VLProcessor,
)
from transformers.image_utils import SizeDict

import papo.policy.vlm
from papo.errors import SettingError
from papo.policy import families, processing
from papo.policy.loading import load_policy, save_policy
from papo.policy.repeating import RepeatingPolicy
from papo.policy.vlm import Policy

SETTINGS = {"dtype": "float32", "chunk_tokens": 100}


@pytest.fixture
def edited(saved_family, tmp_path):
    """A copy of a family's folder with other settings in its config."""

    def edit(name: str, **changes) -> Path:
        folder = tmp_path / name
        shutil.copytree(saved_family(name), folder)
        config = json.loads((folder / "config.json").read_text())
        for part, values in changes.items():
            config[part] |= values
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return edit


def test_every_family_has_a_case():
    assert sorted(families.SUPPORTED) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_features_that_do_not_fit_the_placeholders_are_refused(saved_family, family_items, name):
    loaded = load_policy(saved_family(name), **SETTINGS)
    prompts = processing.PromptProcessor(loaded.processor, "").prompts(family_items)
    features = loaded.policy.encode(prompts.images)
    with pytest.raises(ValueError, match=r"small has \d+ image placeholders for"):
        loaded.policy.prefill(prompts, (*features[:3], features[3][:-1]))


def test_the_policy_names_no_family():
    text = Path(papo.policy.vlm.__file__).read_text().lower()
    assert not any(word in text for word in ("qwen", "llava", "idefics", "smolvlm"))


@pytest.mark.parametrize("name", CASES | OTHERS)
def test_the_slow_way_is_for_the_others_and_says_so_once(saved_family, caplog, name):
    policy = load_policy(saved_family(name), **SETTINGS).policy
    assert type(policy) is (Policy if name in CASES else RepeatingPolicy)
    said = [record.message for record in caplog.records if "slow way" in record.message]
    assert len(said) == (name in OTHERS)
    assert all(f"{name!r}" in message and "qwen2_5_vl" in message for message in said)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("qwen2_vl", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0, "layer_types": None}),
        ("qwen2_5_vl", {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}),
        ("llava", {"model_type": "gemma2", "head_dim": 8}),
        ("llava", {"model_type": "mistral", "sliding_window": 8}),
        ("llava", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
    ],
)
def test_a_language_model_that_cannot_share_is_refused(edited, name, changes):
    folder = edited(name, text_config=changes)
    with pytest.raises(SettingError, match=rf"^path must be .* got {folder}: .* share a prompt exactly only"):
        load_policy(folder, **SETTINGS)


def test_another_tower_is_refused(edited):
    folder = edited("llava", vision_config={"model_type": "pixtral"})
    with pytest.raises(SettingError, match=rf"^path must be a model that can be used here, got {folder}"):
        load_policy(folder, **SETTINGS)


def test_prompts_that_attend_both_ways_are_refused(tmp_path):
    PaliGemmaConfig().save_pretrained(tmp_path)
    with pytest.raises(SettingError, match="does not read prompt and response as one causal text"):
        load_policy(tmp_path, **SETTINGS)


def test_pictures_go_in_whole_without_a_family(saved_family):
    """A processor that would cut them is told not to."""
    processor = load_policy(saved_family("idefics2"), **SETTINGS).processor
    assert processor.image_processor.do_image_splitting is False


def test_pictures_that_come_in_pieces_need_a_family(saved_family, monkeypatch):
    """Which piece shows what is not known, so that a mask could be looked around."""
    made = families.generic.made

    def in_pieces(*args):
        inputs = made(*args)
        return inputs | {"pixel_values": inputs["pixel_values"].repeat(3, 1, 1, 1)}

    monkeypatch.setattr(families.generic, "made", in_pieces)
    with pytest.raises(SettingError, match=r"^path must be a model that can be loaded, got .* shape \(3, 3, 56, 56\)"):
        load_policy(saved_family("gemma3"), **SETTINGS)


@pytest.mark.parametrize(
    ("config", "image_processor", "name"),
    [
        (AriaConfig, AriaImageProcessorPil, "pixel_mask"),  # of the padding around a picture
        (GraniteDoclingConfig, GraniteDoclingImageProcessorPil, "pixel_attention_mask"),  # of tiles, not of pixels
        (DeepseekVLHybridConfig, DeepseekVLHybridImageProcessorPil, "high_res_pixel_values"),
    ],
)
def test_what_a_model_reads_beside_pixels_needs_a_family(config, image_processor, name):
    """It would be left out, or be of the picture before it was changed."""
    with pytest.raises(ValueError, match=rf"makes {name} of a picture beside its pixel_values"):
        families.GenericReader.inform(SimpleNamespace(image_processor=image_processor()), config())


def test_both_sides_of_a_patch_may_be_named():
    processor = SimpleNamespace(image_processor=GotOcr2ImageProcessorPil())
    families.GenericReader.inform(processor, InternVLConfig())
    assert processor.vision_patch_size == 14


def test_pictures_go_in_whole_where_a_processor_cuts_by_itself(saved_family, family_items, monkeypatch):
    """As those of InternVL and Aya Vision do, whatever their image processor is set to."""
    processor = processing.PromptProcessor(load_policy(saved_family("gemma3"), **SETTINGS).processor, "")
    lengths = [processor.length(one) for one in family_items]
    monkeypatch.setitem(Gemma3Processor.images_kwargs, "do_pan_and_scan", True)
    monkeypatch.setitem(Gemma3Processor.images_kwargs, "pan_and_scan_min_crop_size", 10)
    assert processor.prompts(family_items).prompt_mask.sum(-1).tolist() == lengths
    assert [processor.length(one) for one in family_items] == lengths


def test_prompts_are_made_as_the_model_was_loaded(saved_family):
    """A model of no family may have a family's processor, as ViP-LLaVA has LLaVA's."""
    folder = saved_family("llava")
    processor = processing.load_processor(folder, AutoConfig.from_pretrained(folder), families.GenericReader)
    assert type(processing.PromptProcessor(processor, "").reader) is families.GenericReader


@pytest.mark.parametrize("size", [{"height": 84, "width": 84}, {"shortest_edge": 56}])
def test_a_size_to_crop_to_counts_where_it_is_cropped(saved_family, family_items, size):
    processor = load_policy(saved_family("llava"), **SETTINGS).processor
    image_processor = processor.image_processor
    image_processor.do_center_crop, image_processor.size = False, SizeDict(**size)
    prompts = processing.PromptProcessor(processor, "")
    for one in family_items:
        if len(one.images) < 2:  # by the shorter edge two are of two sizes, which is no tensor
            assert prompts.length(one) == prompts.prompts([one]).prompt_mask.sum()


@pytest.mark.parametrize("name", ["llava", "smolvlm", "gemma3"])
def test_a_pixel_budget_is_refused_where_images_have_a_fixed_size(saved_family, name):
    with pytest.raises(SettingError, match=r"^min_pixels and max_pixels must be null, got 100 and None"):
        load_policy(saved_family(name), **SETTINGS, min_pixels=100)


def test_the_whole_processor_is_loaded_where_torchvision_is(saved_family, monkeypatch):
    """And the image-only one where a folder has no video half."""
    whole = load_policy(saved_family("qwen2_5_vl"), **SETTINGS).processor
    asked = []

    def from_pretrained(path, **kwargs):
        asked.append(path)
        if len(asked) == 2:
            raise OSError("no video processor")
        return whole

    monkeypatch.setattr(processing, "is_torchvision_available", lambda: True)
    monkeypatch.setattr(processing.AutoProcessor, "from_pretrained", from_pretrained)
    assert load_policy(saved_family("qwen2_5_vl"), **SETTINGS).processor is whole
    other = load_policy(saved_family("qwen2_5_vl"), **SETTINGS).processor
    assert other is not whole
    assert isinstance(other, Qwen2_5_VLProcessor)
    assert len(asked) == 2


def test_what_was_saved_without_a_video_half_is_loaded_where_torchvision_is(saved_family, monkeypatch, tmp_path):
    """As runs of before left it, too: transformers does not know the class, and hands on a tokenizer in its place."""
    loaded = load_policy(saved_family("qwen2_5_vl"), **SETTINGS)
    save_policy(loaded.policy, loaded.processor, tmp_path / "model")
    monkeypatch.setattr(processing, "is_torchvision_available", lambda: True)
    assert isinstance(load_policy(tmp_path / "model", **SETTINGS).processor, Qwen2_5_VLProcessor)
    for kind in ("processor", "tokenizer"):
        file = tmp_path / "model" / f"{kind}_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"processor_class": "ImageTextProcessor"}))
    (tmp_path / "model" / "preprocessor_config.json").unlink()
    assert isinstance(load_policy(tmp_path / "model", **SETTINGS).processor, Qwen2_5_VLProcessor)


@pytest.mark.parametrize("name", ["llava", "llava_siglip"])
def test_llavas_processor_is_told_what_older_folders_leave_out(saved_family, family_items, tmp_path, name):
    folder = tmp_path / name
    shutil.copytree(saved_family(name), folder)
    (folder / "processor_config.json").unlink()
    whole, found = (
        processing.PromptProcessor(load_policy(path, **SETTINGS).processor, "") for path in (saved_family(name), folder)
    )
    assert found.layout == whole.layout
    assert found.prompts(family_items).prompt_ids.tolist() == whole.prompts(family_items).prompt_ids.tolist()
    assert [found.length(item) for item in family_items] == [whole.length(item) for item in family_items]


@pytest.mark.parametrize("config", [GitConfig(), Kosmos2Config(), BlipConfig()], ids=lambda config: config.model_type)
def test_models_whose_prompts_hold_no_place_for_a_picture_are_refused(tmp_path, config):
    config.save_pretrained(tmp_path)
    with pytest.raises(
        SettingError, match=rf"^path must be a model that can be used here, got {tmp_path}: .*{config.model_type}"
    ):
        load_policy(tmp_path, **SETTINGS)
