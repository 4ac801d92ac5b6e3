"""What a constructor refuses is said of the key that was set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from papo.building import built, check, place, settings_of
from papo.errors import ConfigError, SettingError


@dataclass
class Leaf:
    value: float
    other: int = 0

    def __post_init__(self) -> None:
        if self.value < 0:
            raise SettingError("value", f"must not be negative, got {self.value}")
        if self.other == 7:
            raise ValueError("seven is unlucky")
        if self.other == 8:
            raise ConfigError("elsewhere.key is the reason")
        if self.other == 9:
            raise KeyError("a bug of ours")


class Tree:
    def __init__(self, leaf: Leaf, leaves: Mapping[str, Any], policy: object, most: float = 9.0) -> None:
        if leaf.value > most:
            raise SettingError("leaf.value", f"must be at most {most}, got {leaf.value}")
        self.leaf, self.leaves, self.policy = leaf, leaves, policy


HERE = __name__
CONF = f"""
coef: 1.0
leaf:
  _target_: {HERE}.Leaf
  value: ${{coef}}
limits: {{most: 9.0}}
top:
  tree:
    _target_: {HERE}.Tree
    leaf: ${{leaf}}
    leaves:
      a: {{_target_: {HERE}.Leaf, value: 1.0}}
    most: ${{limits.most}}
partial:
  _target_: {HERE}.Leaf
  _partial_: true
  other: 1
only_in_a_run: ${{nowhere:else}}
"""


def conf(**settings: Any) -> DictConfig:
    cfg = OmegaConf.create(CONF)
    for key, value in settings.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
    return cfg


def refused(cfg: DictConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        built(cfg, policy=None)
    return str(caught.value)


def test_what_can_work_is_built():
    policy = object()
    tree = built(conf().top.tree, policy=policy)
    assert (tree.leaf.value, tree.leaves["a"].value) == (1.0, 1.0)
    assert tree.policy is policy


def test_the_configuration_stays_as_it_is():
    """Hydra itself resolves references of the whole configuration in place: later messages would name other keys."""
    cfg = conf()
    built(cfg.top.tree, policy=None)
    assert cfg == conf()
    assert OmegaConf.to_container(cfg, resolve=False) == OmegaConf.to_container(conf(), resolve=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coef": -1.0}, "coef must not be negative, got -1.0"),
        ({"leaf__value": -1.0}, "leaf.value must not be negative, got -1.0"),
        ({"top__tree__leaves__a__value": -1.0}, "top.tree.leaves.a.value must not be negative, got -1.0"),
        ({"coef": 10.0}, "coef must be at most 9.0, got 10.0"),  # what the tree says of the leaf's value
        ({"coef": "abc"}, "coef must be a number, got 'abc'"),
        ({"limits__most": "abc"}, "limits.most must be a number, got 'abc'"),
        ({"top__tree__leave": 3}, "top.tree.leave is unknown; did you mean leaves?"),
        ({"leaf__valeu": 3}, "leaf.valeu is unknown; did you mean value?"),
        ({"leaf__other": 7}, "leaf: seven is unlucky"),
        ({"leaf__other": 8}, "elsewhere.key is the reason"),
        ({"leaf__other": 1.5}, "leaf.other must be a whole number, got 1.5"),
        ({"leaf___target_": f"{HERE}.Leef"}, f"leaf._target_ must be a class or function, got '{HERE}.Leef'"),
        ({"leaf": 3}, "leaf must be a Leaf, got 3"),
    ],
    ids=str,
)
def test_the_key_that_was_set_is_named(settings, message):
    cfg = conf(**settings)
    built(conf().top.tree, policy=None)
    assert refused(cfg.top.tree) == message
    assert "\n" not in message


def test_a_missing_argument_is_named():
    cfg = conf()
    del cfg.top.tree.leaves
    assert refused(cfg.top.tree) == "top.tree.leaves must be set"
    with pytest.raises(ConfigError, match=r"^top\.tree\.policy must be set"):
        built(conf().top.tree)


def test_a_bug_of_ours_is_no_mistake_of_the_users():
    with pytest.raises(Exception, match="a bug of ours") as caught:
        built(conf(leaf__other=9).leaf)
    assert not isinstance(caught.value, ConfigError)


def test_an_object_without_surroundings():
    with pytest.raises(ConfigError, match=r"^value must not be negative"):
        built(OmegaConf.create({"_target_": f"{HERE}.Leaf", "value": -1}))
    with pytest.raises(ConfigError, match=r"^seven is unlucky"):
        built(OmegaConf.create({"_target_": f"{HERE}.Leaf", "value": 1, "other": 7}))


def test_the_rest_of_a_partial_may_follow():
    assert built(conf().partial)(value=2.0) == Leaf(2.0, 1)
    with pytest.raises(ConfigError, match=r"^partial\.othr is unknown; did you mean other\?"):
        built(conf(partial__othr=3).partial)


def test_everything_can_be_looked_through_before_anything_is_built():
    check(conf())
    for settings, message in (
        ({"coef": "abc"}, "coef must be a number"),
        ({"top__tree__leaves__a__b": 1}, r"top\.tree\.leaves\.a\.b is unknown"),
        ({"partial__other": "b"}, r"partial\.other must be a whole number"),
    ):
        with pytest.raises(ConfigError, match=f"^{message}"):
            check(conf(**settings))


def test_what_is_built_by_hand():
    cfg = conf(coef=-1.0)
    with pytest.raises(ConfigError, match=r"^coef must not be negative"), settings_of(cfg, "leaf"):
        Leaf(cfg.leaf.value)
    with pytest.raises(ConfigError, match=r"^value must not be negative"), settings_of(cfg):
        Leaf(cfg.leaf.value)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("top.tree.leaf.value", "coef"),
        ("top.tree.leaf.other", "leaf.other"),
        ("top.tree.most", "limits.most"),
        ("top.tree.leaves.a.value", "top.tree.leaves.a.value"),
        ("nothing.there", "nothing.there"),
    ],
)
def test_references_are_followed_to_their_end(key, expected):
    assert place(conf(), key) == expected
    assert place(conf().top, key) == expected
