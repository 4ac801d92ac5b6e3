"""Which parameters are trained, and what is refused."""

import re

import pytest

from papo.errors import SettingError
from papo.policy.families import family_of
from papo.policy.trained import PARTS, choose_trained

TOWER, MERGER, LANGUAGE = "visual", "visual.merger", "language_model"


def trained(policy) -> set[str]:
    return {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}


def within(policy, *places: str, but: str = "nothing") -> set[str]:
    names = {name for name, _ in policy.model.named_parameters()}
    return {name for name in names if any(place in name for place in places) and but not in name}


@pytest.mark.parametrize(
    ("train", "places", "but", "encode"),
    [
        (PARTS, ["visual", LANGUAGE, "lm_head"], "nothing", True),
        (["language"], [LANGUAGE, "lm_head"], "nothing", False),
        (["projector"], [MERGER], "nothing", True),
        (["vision"], ["visual."], "merger", True),
        (["vision:1"], ["visual.blocks.1."], "nothing", True),
        (["language:1", "projector:full"], ["language_model.layers.1.", MERGER], "nothing", True),
        (["language:2"], ["language_model.layers."], "nothing", False),
        ([], [], "nothing", False),
    ],
)
def test_what_is_named_is_trained_and_nothing_else(make_policy, train, places, but, encode):
    policy = make_policy(train=train)
    assert trained(policy) == within(policy, *places, but=but)
    assert policy.train_vision is encode  # features may be kept exactly where no gradient reaches them


def test_the_parts_are_the_whole_model_without_overlap(make_policy):
    model = make_policy().model
    family = family_of(model)
    parts = [family.vision_modules(), family.projector_modules(), family.language_modules()]
    found = [{p for module in part for p in module.parameters()} for part in parts]
    assert set.union(*found) == set(model.parameters())
    assert sum(map(len, found)) == len(set(model.parameters()))


def test_features_carry_gradient_where_the_projector_alone_is_trained(make_policy, prompts):
    policy = make_policy(train=["projector"])
    sum(tokens.sum() for tokens in policy.encode(prompts.images)).backward()
    assert all((p.grad is not None) == ("merger" in name) for name, p in policy.model.named_parameters())


def test_through_an_adapter_and_beside_it(make_policy):
    policy = make_policy(
        train=["projector:full", "language"], lora={"r": 2, "alpha": 4, "targets": ["q_proj"], "export": "merged"}
    )
    names = trained(policy)
    assert within(policy, MERGER) <= names
    assert all("q_proj.lora_" in name and LANGUAGE in name for name in names - within(policy, MERGER))
    assert len(names - within(policy, MERGER)) == 4  # A and B in each of two layers


@pytest.mark.parametrize(
    ("train", "lora", "message"),
    [
        (["tower"], None, "train must name each of vision, projector, language at most once, got ['tower']"),
        (["vision", "vision:1"], None, "at most once"),
        (["vision:3"], None, "vision:N for its last N of 2 blocks, got vision:3"),
        (["language:0"], None, "got language:0"),
        (["projector:1"], None, "train must have projector, projector:full, got projector:1"),
        (["language:lora"], None, "got language:lora"),
        (["language:full"], {"r": 2, "alpha": 4}, "lora must be null where no part is trained through it"),
        ([], {"r": 2, "alpha": 4}, "lora must be null"),
        (["vision", "language:1"], {"r": 2, "alpha": 4}, "lora.export must be merged"),
        (["language"], {"r": 0, "alpha": 4}, "lora.r must be a whole number of at least 1, got 0"),
        (["language"], {"r": 2, "alpha": 0}, "lora.alpha must be positive"),
        (["language"], {"r": 2, "alpha": 4, "export": "zip"}, "lora.export must be one of adapter, merged, both"),
        (["language"], {"r": 2, "alpha": 4, "targets": ["qkv"]}, "lora.targets must be among down_proj, gate_proj"),
        (["language"], {"r": 2, "alpha": 4, "targets": "q_proj"}, 'must be "all-linear" or a list'),
        (["language"], {"rank": 2}, "lora.rank is unknown; known are r, alpha, targets, export"),
    ],
)
def test_what_cannot_be_trained_is_refused(make_policy, train, lora, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        choose_trained(make_policy(), train, lora)
