"""Saving and loading in the ordinary layout, and what a user reads when it fails."""

import contextlib
import json
import re

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, GPT2Config, GPT2LMHeadModel

from papo.errors import SettingError
from papo.policy.fast_layers import OneDnnLinear
from papo.policy.loading import load_policy, resolve, save_policy
from papo.policy.processing import PromptProcessor
from papo.types import Item

# The layers of the shared policy, for equality to the last digit.
SETTINGS = {"dtype": "float32", "chunk_tokens": 100, "fast_layers": "off"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, policy, image_text_processor):
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_policy(policy, image_text_processor, folder)
    return folder


@pytest.fixture
def copy_of(folder, tmp_path):
    """A copy that a test may damage."""
    target = tmp_path / "copy"
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def scores(policy, prompts, responses):
    with torch.no_grad():
        return policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses).logprobs


@pytest.mark.parametrize(("fast_layers", "fast"), [("on", True), ("off", False)])
def test_fast_layers_are_put_in_and_recorded(folder, fast_layers, fast):
    loaded = load_policy(folder, **SETTINGS | {"fast_layers": fast_layers})
    assert loaded.fast_layers == fast_layers
    assert isinstance(loaded.policy.model.lm_head, OneDnnLinear) is fast


def test_round_trip(folder, policy, processor, items, prompts, make_responses):
    loaded = load_policy(folder, **SETTINGS)
    again = PromptProcessor(loaded.processor, processor.instruction).prompts(items)
    assert torch.equal(again.prompt_ids, prompts.prompt_ids)
    # transformers has two ways to the same pixels, and which one it takes depends on whether torchvision is there.
    torch.testing.assert_close(again.images.pixel_values, prompts.images.pixel_values, rtol=0, atol=1e-5)
    assert again.images.layout == prompts.images.layout
    responses = make_responses([4] * 5)
    found, expected = (scores(loaded.policy, again, responses), scores(policy, prompts, responses))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert loaded.source == str(folder)
    assert loaded.policy.eos.tolist() == policy.eos.tolist()
    assert loaded.policy.pad_token_id == policy.pad_token_id
    assert loaded.policy.chunk_tokens == 100


def test_transformers_loads_the_folder(folder, policy):
    model = AutoModelForImageTextToText.from_pretrained(folder)
    for name, parameter in policy.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], parameter), name
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("train_vision", [True, False])
def test_settings_reach_the_policy(folder, train_vision):
    train = ["vision", "projector", "language"] if train_vision else ["language"]
    policy = load_policy(folder, train=train, dtype="bfloat16", chunk_tokens=7).policy
    assert policy.train_vision is train_vision
    assert all(p.requires_grad == train_vision for p in policy.model.model.visual.parameters())
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.bfloat16}
    assert policy.chunk_tokens == 7


def test_a_run_directory_means_its_model(folder):
    assert resolve(folder.parent) == str(folder)
    assert resolve(folder) == str(folder)
    assert load_policy(folder.parent, **SETTINGS).source == str(folder)


def test_home_is_known(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve("~/model") == str(folder)


def test_a_shipped_model_goes_by_its_name(folder, monkeypatch, tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "tiny").symlink_to(folder)
    monkeypatch.setattr("papo.policy.loading.resources.files", lambda package: tmp_path)
    monkeypatch.chdir(tmp_path)
    assert resolve("tiny") == str(tmp_path / "assets" / "tiny")
    assert load_policy("tiny", **SETTINGS).policy.chunk_tokens == 100


def test_anything_else_is_a_hub_id():
    assert resolve("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"


def test_end_of_sequence_and_padding_fall_back_to_the_tokenizer(copy_of, processor):
    (copy_of / "generation_config.json").write_text("{}")
    config = json.loads((copy_of / "config.json").read_text())
    for part in (config, config["text_config"]):
        part.pop("eos_token_id", None)
        part.pop("pad_token_id", None)
    (copy_of / "config.json").write_text(json.dumps(config))
    policy = load_policy(copy_of, **SETTINGS).policy
    assert policy.eos.tolist() == [processor.tokenizer.eos_token_id]
    assert policy.pad_token_id == processor.tokenizer.pad_token_id


def test_padding_that_is_no_token_is_the_tokenizers(copy_of, processor):
    """As -1 is in folders of old."""
    settings = copy_of / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"pad_token_id": -1}))
    assert load_policy(copy_of, **SETTINGS).policy.pad_token_id == processor.tokenizer.pad_token_id


def test_a_model_that_knows_no_end_is_refused(copy_of):
    for name in ("config", "generation_config", "tokenizer_config"):
        file = copy_of / f"{name}.json"
        settings = json.loads(file.read_text())
        for part in (settings, settings.get("text_config", {})):
            part.pop("eos_token", None)
            part.pop("eos_token_id", None)
        file.write_text(json.dumps(settings))
    refused(copy_of, "must be a model that knows an end")


def moved_template(folder, place: str) -> None:
    """The chat template into the tokenizer's own settings, or away."""
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    for name in ("processor_config.json", "tokenizer_config.json"):
        settings = json.loads((folder / name).read_text())
        settings.pop("chat_template", None)
        if name.startswith(place):
            settings["chat_template"] = template
        (folder / name).write_text(json.dumps(settings))


def test_a_chat_template_may_be_the_tokenizers_alone(copy_of, processor, items, prompts):
    moved_template(copy_of, "tokenizer")
    loaded = load_policy(copy_of, **SETTINGS)
    again = PromptProcessor(loaded.processor, processor.instruction)
    assert torch.equal(again.prompts(items).prompt_ids, prompts.prompt_ids)


def test_without_a_chat_template_there_are_no_prompts(copy_of):
    moved_template(copy_of, "nowhere")
    with pytest.raises(SettingError, match=rf"^path must be a model with a chat template .*, got {copy_of}"):
        load_policy(copy_of, **SETTINGS)


def test_what_ends_a_turn_ends_a_response(copy_of, tmp_path, caplog):
    """A base model's generation settings beside a chat's tokenizer: what is imitated would end no response."""
    settings = copy_of / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"eos_token_id": 0}))
    loaded = load_policy(copy_of, **SETTINGS)
    assert loaded.policy.eos.tolist() == [0, loaded.processor.tokenizer.eos_token_id]
    (said,) = [record.getMessage() for record in caplog.records if "generation_config.json" in record.getMessage()]
    assert f"model.path={copy_of}" in said
    assert "<|im_end|>" in said
    save_policy(loaded.policy, loaded.processor, tmp_path / "saved")
    caplog.clear()
    assert load_policy(tmp_path / "saved", **SETTINGS).policy.eos.tolist() == loaded.policy.eos.tolist()
    assert not [record for record in caplog.records if "generation_config.json" in record.getMessage()]


def test_a_tokenizer_that_knows_no_padding_pads_all_the_same(
    copy_of, processor, items, policy, prompts, make_responses
):
    settings = json.loads((copy_of / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (copy_of / "tokenizer_config.json").write_text(json.dumps(settings))
    words = json.loads((copy_of / "tokenizer.json").read_text())
    (copy_of / "tokenizer.json").write_text(json.dumps(words | {"padding": None}))  # of an earlier call
    loaded = load_policy(copy_of, **SETTINGS)
    again = PromptProcessor(loaded.processor, processor.instruction).prompts(items)
    assert torch.equal(again.prompt_mask, prompts.prompt_mask)
    assert not torch.equal(again.prompt_ids, prompts.prompt_ids)
    responses = make_responses([4] * 5)
    found, expected = (scores(loaded.policy, again, responses), scores(policy, prompts, responses))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------------------------------------- errors


def refused(path, *words, **settings):
    with pytest.raises(SettingError, match=rf"^path must .*{re.escape(f'got {path}')}") as caught:
        load_policy(path, **SETTINGS | settings)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_path_is_refused(tmp_path):
    for path in (tmp_path / "nowhere", "./nowhere", "~/nowhere/at/all"):
        refused(path, "must exist")  # and not something about a hub


def test_a_hub_id_that_cannot_be_reached_is_refused():
    refused("some-people/some-model", "must be a model folder, run directory, shipped model or reachable hub id")


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path)


def test_a_language_model_without_vision_is_refused(tmp_path):
    GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    refused(tmp_path, "'gpt2'", "qwen2_5_vl")


def test_corrupt_weights_are_refused(copy_of):
    (copy_of / "model.safetensors").write_bytes(b"these are not weights")
    refused(copy_of, "that can be loaded")


def test_truncated_weights_are_refused(copy_of):
    weights = (copy_of / "model.safetensors").read_bytes()
    (copy_of / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(copy_of, "that can be loaded")


def test_missing_weights_are_refused(copy_of):
    (copy_of / "model.safetensors").unlink()
    refused(copy_of, "that can be loaded")


def test_weights_that_lack_a_layer_are_refused(copy_of):
    weights = load_file(copy_of / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}
    assert len(kept) < len(weights)
    save_file(kept, copy_of / "model.safetensors", metadata={"format": "pt"})
    refused(copy_of)


def test_weights_of_another_shape_are_refused(copy_of):
    config = json.loads((copy_of / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 64
    (copy_of / "config.json").write_text(json.dumps(config))
    refused(copy_of, "that can be loaded")


def test_a_missing_processor_is_refused(copy_of):
    for file in copy_of.iterdir():
        if "processor" in file.name:
            file.unlink()
    refused(copy_of, "that can be loaded")


def test_a_missing_tokenizer_is_refused(copy_of):
    for file in copy_of.iterdir():
        if "token" in file.name:
            file.unlink()
    refused(copy_of, "must have a tokenizer", "<|image_pad|>")


def test_a_damaged_config_is_refused(copy_of):
    (copy_of / "config.json").write_text("{not json")
    refused(copy_of)


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Theirs"}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "theirs.Theirs"}, "processor_class": "Theirs"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["theirs.Theirs", None]}, "tokenizer_class": "T"}),
        (
            "processor_config.json",
            {"image_processor": {"auto_map": {"AutoImageProcessor": "theirs.Theirs"}, "image_processor_type": "T"}},
        ),
    ],
    ids=["model", "processor", "tokenizer", "image processor"],
)
@pytest.mark.parametrize("torchvision", [False, True])
def test_code_that_comes_with_a_model_is_not_run(copy_of, monkeypatch, file, settings, torchvision):
    """Not even by somebody who says yes to everything that transformers asks at the terminal."""
    found = json.loads((copy_of / file).read_text())
    (copy_of / file).write_text(json.dumps(found | settings))
    (copy_of / "theirs.py").write_text(f"open({str(copy_of / 'was_run')!r}, 'w').close()\nclass Theirs: pass\n")
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    monkeypatch.setattr("papo.policy.processing.is_torchvision_available", lambda: torchvision)
    with contextlib.suppress(SettingError):
        load_policy(copy_of, **SETTINGS)
    assert not (copy_of / "was_run").exists()


def test_an_unknown_precision_names_its_override(folder):
    with pytest.raises(SettingError, match=r"^dtype must be .*'float8'"):
        load_policy(folder, **SETTINGS | {"dtype": "float8"})


def test_the_pixel_budget_is_set_and_saved(folder, tmp_path):
    """Small images are enlarged, large ones shrunk; a model that was trained so is evaluated so."""
    loaded = load_policy(folder, **SETTINGS, min_pixels=112 * 112, max_pixels=140 * 140)
    save_policy(loaded.policy, loaded.processor, tmp_path / "again")
    again = load_policy(tmp_path / "again", **SETTINGS)
    items = [Item("a", "?", (Image.new("RGB", (side, side)),), "1", "integer") for side in (30, 120, 400)]
    for each in (loaded, again):
        grid = PromptProcessor(each.processor, "").prompts(items).images.grid
        assert grid.prod(-1).tolist() == [64, 64, 100]


@pytest.mark.parametrize(
    ("low", "high"), [(100, None), (200_000, 100_000), (None, 783)], ids=["below a token", "swapped", "no token"]
)
def test_an_impossible_pixel_budget_is_refused(folder, low, high):
    with pytest.raises(SettingError, match=r"^min_pixels and max_pixels must .*, got \d+ and \d+"):
        load_policy(folder, **SETTINGS, min_pixels=low, max_pixels=high)
