"""The suite composes by shortcuts: what comes of them is what Hydra makes alone."""

import copy

import omegaconf
import pytest
import quick_composing
from hydra import compose, initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.config_repository import ConfigRepository
from omegaconf import DictConfig, OmegaConf

from papo.overrides import CONF


def composed(*command):
    entry, *overrides = command
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(entry, [*overrides, "run_dir=."], return_hydra_config=True)


@pytest.mark.parametrize(
    "command",
    [
        ("train", "experiment=papo_qwen", "mask_ratio=0.4", "+callbacks.mine={_target_: builtins.dict}"),
        ("train", "experiment=sft_lab", "data=folder", "data.train.path=x", "algorithm.warmup_steps=3"),
        ("evaluate", "benchmarks=[lab,folder]", "benchmarks.folder.path=x"),
    ],
)
def test_shortcuts_change_nothing(command, monkeypatch):
    composed(*command)  # from now on its files are known
    quick = composed(*command)
    quick.seed = 5  # and no other's
    quick = composed(*command)
    copied = copy.deepcopy(quick)
    monkeypatch.setattr(ConfigRepository, "load_config", quick_composing.load_original)
    monkeypatch.setattr(defaults_list, "_create_interpolation_map", quick_composing.map_original)
    monkeypatch.setattr(DictConfig, "__deepcopy__", quick_composing.copy_original)
    monkeypatch.setattr(omegaconf._utils, "attr", __import__("attr"))
    plain = composed(*command)
    for found in (quick, copied):
        assert [*described(found)] == [*described(plain)]


def described(node, key=""):
    """Each node's place, class, value as written and all that OmegaConf knows of it."""
    about = node._metadata
    yield key, type(node).__name__, about.ref_type, about.object_type, about.optional, about.flags
    if OmegaConf.is_dict(node):
        for name in node:
            yield from described(node._get_node(name), f"{key}.{name}")
    elif OmegaConf.is_list(node):
        for number in range(len(node)):
            yield from described(node._get_node(number), f"{key}.{number}")
    else:
        yield node._value()


def test_a_default_may_refer_to_another_and_a_file_may_change(tmp_path):
    """As none of conf/ does."""
    (tmp_path / "main.yaml").write_text("defaults: [_self_, a: x, b: '${a}']")
    for group in ("a", "b"):
        (tmp_path / group).mkdir()
    for value in (1, 2):
        for group in ("a", "b"):
            (tmp_path / group / "x.yaml").write_text(f"value: {value}")
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            assert compose("main") == {group: {"value": value} for group in ("a", "b")}


def test_a_copy_keeps_its_parent_and_shares_what_cannot_be_copied():
    config = OmegaConf.create({"part": {"a": 1, "b": "${.a}"}})
    part = copy.deepcopy(config.part)
    config.part.a = 2
    assert (part.b, part._get_parent() is config) == (1, True)
    thing = object()
    held = OmegaConf.create({"of": {"thing": thing}}, flags={"allow_objects": True})
    assert copy.deepcopy(held).of.thing is copy.deepcopy(held.of).thing is thing
