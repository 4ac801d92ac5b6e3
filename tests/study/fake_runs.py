"""Run directories as train.py leaves them, with measured effects that are known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ITEMS = [f"item-{n}" for n in range(12)]


def config(name: str, seed: int, folder: Path, **settings: Any) -> dict[str, Any]:
    """A resolved configuration; `settings` by whole keys, with __ for the point."""
    found = {
        "name": name,
        "seed": seed,
        "run_dir": str(folder),
        "guessable_share": 0.0,
        "perception_coef": 0.0,
        "data": {"seed": seed, "train": {"guessable_share": 0.0, "size": 100}, "val": {"size": len(ITEMS), "seed": 0}},
        "model": {"path": "lab_qwen", "train": ["vision", "language"]},
        "prompt": {"instruction": "Think."},
        "val": {"samples": 4, "every": 20},
        "algorithm": {"seed": seed, "objective": {"perception": {"coef": 0.0}}},
        "trainer": {"max_steps": 40},
        "logger": {"save_dir": f"{folder}"},
    }
    for key, value in settings.items():
        node, *path = found, *key.split("__")
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return found


def write_run(
    folder: Path,
    name: str = "grpo",
    seed: int = 0,
    *,
    values: Mapping[tuple[int, str, str], np.ndarray] | None = None,
    pictures: list[str] | None = None,
    asked: list[str] | None = None,
    items: list[str] = ITEMS,
    metrics: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """Writes a run.

    Args:
        values: of each item by step, set and measure.
        pictures: of each item; its own where none are given.
        asked: what each item asks; None = not known, as of runs of before.
        metrics, provenance: what metrics.json and provenance.json say otherwise.
    """
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config(name, seed, folder, **settings)))
    told = {"name": name, "steps": 40, "interrupted": False, "seconds": 80.0, "seconds_per_step": 2.0}
    told |= {"peak_memory_gib": 1.0, "seed": seed, "accuracy_before": 0.3, "accuracy_after": 0.5}
    (folder / "metrics.json").write_text(json.dumps(told | dict(metrics or {})))
    made = {"git_commit": "abc", "git_dirty": False, "platform": "here"} | dict(provenance or {})
    (folder / "provenance.json").write_text(json.dumps(made))
    if values is None:
        values = {(step, "held_out", "accuracy"): np.full(len(items), level) for step, level in ((0, 0.25), (40, 0.5))}
    with (folder / "held_out.jsonl").open("w") as file:
        for (step, of_set, measure), of_items in values.items():
            rows = zip(items, pictures or items, asked or [None] * len(items), of_items, strict=True)
            for item, picture, words, value in rows:
                row = {"step": step, "set": of_set, "measure": measure, "item": item, "picture": picture}
                row |= {"asked": words} if words else {}
                file.write(json.dumps(row | {"value": None if np.isnan(value) else float(value)}) + "\n")
    return folder
