"""A run's configuration as a list of settings, which can be held against another's."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

# Where a run goes, how it got there, what was planned and what was shown meanwhile, which makes it no other run. A
# finished one had the time that it needed.
PLACE = ("run_dir", "overwrite", "resume", "plan", "export", "callbacks.progress", "trainer.lightning.max_time")
PLACES = ("dir", "path", "folder")  # how keys of folders end
# Settings that came later and do nothing unless they are set, by the last part of their key: older runs have none.
LATER = {"allow_outside": False, "prompts_at_once": None, "captured": True}
LATER |= {"rollout_correction": None, "best": None, "require_image": False}
LATER |= {"devices": 1, "num_nodes": 1, "strategy": "auto", "lightning": "auto"}


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that a run directory records.

    Where its learning rate or its loss depend on how long it is meant to be, and that was changed on the way, it is not
    the run that its trainer.max_steps alone says: trainer.max_steps.before tells them apart.
    """
    # By the C library's parser: there are hundreds of runs, and a file of 300 lines takes Python's 0.1 s.
    found = settings(yaml.load((folder / "config.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader))
    provenance = folder / "provenance.json"
    facts = json.loads(provenance.read_text(encoding="utf-8")) if provenance.is_file() else {}
    before = [f"{part['max_steps']} up to step {part['step']}" for part in facts.get("replanned", ())]
    return found | {"trainer.max_steps.before": ", ".join(before)} if before else found


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Each setting of a resolved configuration by its whole key, but for where the run lies.

    A run that went on from its own checkpoint is the same as one that was never stopped.

    >>> settings({"run_dir": "a/b", "log": {"dir": "a/b/log", "every": 2}, "ckpt_path": "a/b/checkpoints/last.ckpt"})
    {'log.dir': '/log', 'log.every': 2, 'ckpt_path': None}
    """
    found = {
        key: value
        for key, value in leaves(moved(config, config["run_dir"], ""))
        if not lies_in(key, PLACE) and not came_later(key, value)
    }
    own = str(found.get("ckpt_path")).startswith("/checkpoints/")
    return found | {"ckpt_path": None} if own else found


def moved(node: Any, place: str, to: str, key: str = "") -> Any:
    """A configuration, or what stands at `key` of one, with `to` for the folder `place` where a value lies in it.

    A folder in the working one may be any word: a value that is it is the folder where its key says so.

    >>> moved({"name": "out", "save_dir": "out", "uri": "sqlite:///out/a.db", "by": "papo.rollout"}, "out", ".")
    {'name': 'out', 'save_dir': '.', 'uri': 'sqlite:///./a.db', 'by': 'papo.rollout'}
    >>> moved({"to": "/a/b", "uri": "file:///a/b/c", "all": ["/a/b/d", "/a/bc", "/x/a/b"]}, "/a/b", ".")
    {'to': '.', 'uri': 'file://./c', 'all': ['./d', '/a/bc', '/x/a/b']}
    """
    if isinstance(node, dict):
        return {name: moved(child, place, to, str(name)) for name, child in node.items()}
    if isinstance(node, list):
        return [moved(child, place, to, key) for child in node]
    word = "/" not in place
    if not isinstance(node, str) or (word and node == place and not key.endswith(PLACES)):
        return node
    # Of a folder elsewhere its name is not the end: /x/a/b is not /a/b, nor is x/a/b the a/b in the working folder.
    before = r"(?<![\w.-])" if place.startswith("/") else r"(?:^|(?<=///)|(?<=file:))"
    return re.sub(rf"{before}{re.escape(place)}(?=/|$)", lambda _: to, node)


def changed_setting(folder: Path, cfg: DictConfig, besides: Collection[str] = ()) -> str | None:
    """The first setting that is not what a run had, in words; None where all are.

    Args:
        folder: the run's.
        cfg: the settings that are asked for.
        besides: keys that may differ.
    """
    had = settings_of(folder)
    asked = settings(OmegaConf.to_container(cfg, resolve=True))
    for key in sorted((had.keys() | asked.keys()).difference(besides)):
        if key not in had or key not in asked or had[key] != asked[key]:
            then, now = (of.get(key, "absent") for of in (had, asked))
            return f"{key}: {then} then, {now} now"
    return None


def lies_in(key: str, places: Iterable[str]) -> bool:
    """Whether a key is one of these, or inside of one."""
    return any(key == place or key.startswith(f"{place}.") for place in places)


def came_later(key: str, value: Any) -> bool:
    name = key.rpartition(".")[2]
    return name in LATER and value == LATER[name]


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What is no mapping, or an empty one, with its whole key."""
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, node
