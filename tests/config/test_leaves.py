"""Every value of every configuration, set to what it cannot be: one line that names its key, and nothing is written.

What a value can be is read from conf/: from the value that stands there, and from the comment above it.
"""

import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from papo.arguments import parameters
from papo.errors import ConfigError
from papo.evaluation import run as evaluation
from papo.evaluation.published import Protocol
from papo.overrides import refusal
from papo.training import run as training

CONF = Path(__file__).parents[2] / "conf"
CHECKS = {"train": training.check_settings, "evaluate": evaluation.check_settings}
TRIED = {
    "text": "abc",
    "list": [1],
    "mapping": {"a": 1},
    "nan": math.nan,
    "negative": -1,
    "huge": 10**30,
    "huge number": 1e30,
    "empty": "",
    "null": None,
    "no list": [],
}
# What may be negative: seeds of data and policies, and two of Lightning's, where it means a name and off.
# A table's split is named by whoever made it, and what is measured is known once it has been.
FREE = ("split", "measure")
NEGATIVE = ("seed", "version", "refresh_rate")


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def every_choice() -> Iterator[tuple[str, list[str]]]:
    """Entry points with overrides that together make every choice of every group."""
    own = ("hydra", "experiment", "benchmarks", "source")  # source: the benchmarks' tables
    choices = {path.name: names(path.name) for path in CONF.iterdir() if path.is_dir() and path.name not in own}
    for number in range(max(map(len, choices.values()))):
        yield "train", [f"{group}={of[number % len(of)]}" for group, of in choices.items()]
    for name in names("experiment"):
        yield "train", [f"experiment={name}"]
    yield "evaluate", [f"benchmarks=[{','.join(names('benchmarks'))}]", "benchmarks.folder.path=data.jsonl"]


@functools.cache
def comments() -> dict[str, str]:
    """What conf/ says above each key, under the last part of its name."""
    found: dict[str, str] = {}
    for path in CONF.rglob("*.yaml"):
        above: list[str] = []
        for line in path.read_text().splitlines():
            key = re.match(r"\s*(\w+):", line)
            if line.lstrip().startswith("#"):
                above = [*above, line] if above and above[-1].lstrip().startswith("#") else [line]
            elif key:
                found[key[1]] = found.get(key[1], "") + " ".join([*above, line.partition("#")[2]])
                above = [*above, ""]
            else:
                above = []
    return found


def leaves(
    node: Any, key: str = "", target: str | None = None, own: bool = True
) -> Iterator[tuple[str, Any, Any, bool]]:
    """Each value that is no mapping, with its key, the target that it is inside, and whether as its own argument."""
    target, own = (node["_target_"], True) if "_target_" in node else (target, target is None)
    for name, value in node.items():
        here = f"{key}.{name}" if key else name
        if isinstance(value, dict) and value:
            yield from leaves(value, here, target, own)
        else:
            yield here, value, target, own


def can_be(key: str, shipped: Any, tried: str) -> bool:
    """Whether what is tried may be accepted in the place of what is shipped."""
    name = key.rpartition(".")[2]
    said = comments().get(name, "")
    match tried:
        case "text":
            closed = shipped and name not in FREE and re.search(rf"\b{re.escape(shipped)}\b", said)
            return isinstance(shipped, str | None) and not name.startswith("_") and not closed
        case "list":
            return shipped is None and "layers" in name.lower()
        case "mapping":
            return shipped == {} or (shipped is None and "{" in said)
        case "negative":
            return name in NEGATIVE
        case "huge" | "huge number":
            return isinstance(shipped, float | None)  # merely large
        case "empty":
            return shipped == "" or "empty" in said
        case "null":
            of_card = key.startswith("published.") and name in Protocol.__dataclass_fields__
            return shipped is None or "null" in said or of_card  # of a protocol anything may be unknown
        case "no list":
            return shipped == []
    return False


def refused(check: Any, cfg: DictConfig) -> str | None:
    """What is said; None = it is accepted. Anything else that is raised would be a traceback."""
    try:
        check(cfg)
    except (ConfigError, OmegaConfBaseException) as error:
        return str(error) if isinstance(error, ConfigError) else refusal(error)
    return None


def misspelt(check: Any, cfg: DictConfig, key: str, inside: bool) -> str | None:
    """What is said of a key that is not there: by us where it is a target's argument, else by Hydra."""
    try:
        OmegaConf.update(cfg, key, 1, force_add=inside)
        return refused(check, cfg)
    except OmegaConfBaseException as error:
        composing = ConfigCompositionException()
        composing.__cause__ = error
        return refusal(composing)


@pytest.fixture
def packages(monkeypatch):
    """Those of extras are there."""
    monkeypatch.setattr("papo.rollout.vllm.find_spec", lambda name: name)


def test_every_value_is_refused_where_it_cannot_work(tmp_path, monkeypatch, packages):
    monkeypatch.chdir(tmp_path)
    wrong, walked = [], set()
    for entry, overrides in every_choice():
        check = CHECKS[entry]
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose(entry, overrides=["run_dir=elsewhere", *overrides])
        if entry == "train" and "path" in cfg.data.train and cfg.data.train.path is None:
            cfg.data.train.path = "data.jsonl"
        assert refused(check, cfg) is None, overrides
        for key, shipped, target, own in leaves(OmegaConf.to_container(cfg, resolve=False)):
            name = key.rpartition(".")[2]
            place = (target, name) if target and own else (entry, key)
            if place in walked:
                continue
            walked.add(place)
            if isinstance(shipped, str) and shipped.startswith("${"):
                meant = OmegaConf.select(cfg, key)
                meant = OmegaConf.to_container(meant) if OmegaConf.is_config(meant) else meant
                if isinstance(meant, dict):
                    continue  # whose values are walked where they stand
            else:
                meant = shipped
            for tried, value in TRIED.items():
                OmegaConf.update(cfg, key, value, merge=False, force_add=True)
                said = refused(check, cfg)
                good = can_be(key, meant, tried) if said is None else key in said and "\n" not in said
                if not good:
                    wrong.append(f"{key}={value!r} for {meant!r}: {said}")
            OmegaConf.update(cfg, key, shipped, merge=False, force_add=True)
            if target is None or (own and not parameters(get_object(target))[1]):
                said = misspelt(check, cfg, f"{key}x", inside=target is not None)
                if said is None or f"{key}x is unknown" not in said or "\n" in said:
                    wrong.append(f"{key}x: {said}")
                if target is not None:
                    parent = OmegaConf.select(cfg, key.rpartition(".")[0])
                    OmegaConf.set_struct(parent, False)
                    del parent[f"{name}x"]
                    OmegaConf.set_struct(parent, None)
    assert wrong == []
    assert list(tmp_path.iterdir()) == []
    assert len(walked) > 300
