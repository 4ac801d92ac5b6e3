"""A run's configuration as a list of settings, which can be held against another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# Where a run goes, how it got there and what was planned, which makes it no other run.
PLACE = ("run_dir", "overwrite", "resume", "plan", "export")
# Settings that came later and do nothing unless they are set, by the last part of their key: older runs have none.
LATER = {"allow_outside": False, "prompts_at_once": None, "captured": True}
LATER |= {"rollout_correction": None, "best": None, "require_image": False}
LATER |= {"devices": 1, "num_nodes": 1, "strategy": "auto", "lightning": "auto"}


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that a run directory records."""
    # By the C library's parser: there are hundreds of runs, and a file of 300 lines takes Python's 0.1 s.
    return settings(yaml.load((folder / "config.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader))


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Each setting of a resolved configuration by its whole key, but for where the run lies.

    >>> settings({"run_dir": "a/b", "log": {"dir": "a/b/log", "every": 2}})
    {'log.dir': '/log', 'log.every': 2}
    """
    place = config["run_dir"]
    return {
        key: value.replace(place, "") if isinstance(value, str) else value
        for key, value in leaves(config)
        if key.partition(".")[0] not in PLACE and not came_later(key, value)
    }


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
