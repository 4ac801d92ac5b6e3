"""Shapes without weights, and the numbers of parameters that they give."""

import json
from pathlib import Path

import pytest

from papo.building import built
from papo.errors import ConfigError
from papo.planning.outline import numbers, outline
from papo.policy.loading import resolve


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.train=[language]"],
        ["model.train=[projector,'language:2']"],
        ["model.train=[language]", "+model.lora={r: 4, alpha: 8}"],
    ],
    ids=["all", "frozen vision", "last blocks", "lora"],
)
def test_there_are_as_many_parameters_as_in_the_model_itself(composed, overrides):
    cfg = composed("model.fast_layers=off", *overrides)
    policy, found = built(cfg.model).policy, numbers(outline(cfg))
    parameters = list(policy.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    assert found.total == sum(found.by_part.values()) == sum(p.numel() for p in parameters)
    assert found.trained == sum(p.numel() for p in trained)
    assert found.trained_bytes == sum(p.numel() * p.element_size() for p in trained)
    assert found.largest == max(p.numel() for p in trained)
    vision = [parameter for module in policy.family.vision_modules() for parameter in module.parameters()]
    assert found.by_part["vision"] == sum(p.numel() for p in vision)
    assert found.by_part["head"] == 0  # tied
    assert found.by_part["adapter"] == sum(p.numel() for name, p in policy.named_parameters() if ".lora_" in name)


# Of the weights that their makers publish: bytes of the bfloat16 files, halved.
PUBLISHED = {
    "qwen2_5_vl_3b": 3_754_622_976,
    "qwen2_5_vl_7b": 8_292_166_656,
    "qwen3_vl_4b": 4_437_815_808,
    "llava_7b": 7_063_427_072,
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_shapes_that_come_with_papo(composed, model):
    policy = outline(composed(f"model={model}"))
    assert all(parameter.is_meta for parameter in policy.parameters())
    assert numbers(policy).total == numbers(policy).trained == PUBLISHED[model]


def test_a_folder_needs_its_config_alone(composed, tmp_path):
    settings = json.loads(Path(resolve("lab_qwen"), "config.json").read_text())
    settings["text_config"]["num_hidden_layers"] = 2
    settings["text_config"]["layer_types"] = ["full_attention"] * 2
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert len(outline(composed(f"model.path={tmp_path}")).family.language_layers()) == 2


def test_a_model_without_shapes_here_is_refused_by_its_override(composed):
    with pytest.raises(ConfigError, match=r"^model\.path=nobody/nothing has no shapes here; .*model\.path=FOLDER"):
        outline(composed("model.path=nobody/nothing"))


def test_the_untrained_lab_model_has_the_sizes_of_its_file(composed):
    cfg = composed("model=lab_qwen_scratch", "model.layers=3")
    policy = outline(cfg)
    assert len(policy.family.language_layers()) == 3
    assert policy.family.embed.weight.shape == (cfg.model.vocab_size, cfg.model.hidden_size)
