"""Finished runs, read: their settings, and what every held-out item showed at every validation."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from papo.errors import ConfigError
from papo.settings import settings_of

HELD_OUT = "held_out.jsonl"
OTHERWISE = "was run with other settings"  # than those that its study asks for by now


class Rows(NamedTuple):
    """One measure of one set at one step."""

    items: tuple[str, ...]  # ids in order of the alphabet, so that equal sets are equal tuples
    values: np.ndarray  # [n], NaN = it could not be graded

    @property
    def graded(self) -> set[str]:
        return {item for item, missing in zip(self.items, np.isnan(self.values), strict=True) if not missing}

    def only(self, items: Collection[str]) -> Rows:
        """Those of these items alone."""
        kept = [n for n, item in enumerate(self.items) if item in items]
        return Rows(tuple(self.items[n] for n in kept), self.values[kept])


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        name: its folder below the one that was searched.
        settings: by whole keys; see papo.settings.
        metrics: metrics.json.
        provenance: provenance.json.
        rows: by set and measure, then by step, in order.
        pictures: what tells an item's pictures from other items', by set and item.
        asked: the same of its words, right answer and all, where it is known; of runs of before it is not.
    """

    name: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    rows: Mapping[tuple[str, str], Mapping[int, Rows]] = field(repr=False)
    pictures: Mapping[tuple[str, str], str] = field(repr=False)
    asked: Mapping[tuple[str, str], str] = field(repr=False)

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @cached_property
    def last(self) -> dict[tuple[str, str], Rows]:
        """The rows of the end."""
        return {key: of_step[max(of_step)] for key, of_step in self.rows.items()}

    @cached_property
    def items(self) -> dict[tuple[str, str], frozenset[str]]:
        """What any validation looked at, by set and measure: runs of before say nothing of items in a validation that
        could not grade them."""
        return {
            key: frozenset().union(*(rows.items for rows in of_step.values())) for key, of_step in self.rows.items()
        }

    def never_graded(self, key: tuple[str, str]) -> set[str]:
        """The items of a set and measure that have a value in no validation."""
        return set(self.items[key]).difference(*(rows.graded for rows in self.rows[key].values()))


def collect(folder: Path, names: Mapping[str, str | None] | None = None) -> tuple[list[Run], dict[str, str]]:
    """The finished runs anywhere below `folder`, and why others are left out, by name.

    Args:
        names: of the runs that a study asks for, and why one is left out though it is finished; None = any run.

    Raises:
        ConfigError: there is no finished run.
    """
    runs, left_out = [], {}
    for config in sorted(folder.rglob("config.yaml")):
        name = str(config.parent.relative_to(folder))
        if names is not None and name not in names:
            reason = "study.yaml does not ask for it"
        else:
            reason = (names or {}).get(name) or unfinished(config.parent)
        if reason is None:
            runs.append(read_run(config.parent, name))
        else:
            left_out[name] = reason
    if not runs:
        found = "; ".join(f"{name}: {reason}" for name, reason in left_out.items()) or "no config.yaml"
        raise ConfigError(f"{folder} holds no finished run ({found})")
    return runs, left_out


def unfinished(folder: Path) -> str | None:
    """Why a run directory cannot be compared; None where it can."""
    file = folder / "metrics.json"
    if not file.is_file():
        return "not finished"
    if json.loads(file.read_text())["interrupted"]:
        return "interrupted"
    return None if (folder / HELD_OUT).is_file() else f"no {HELD_OUT}"


def read_run(folder: Path, name: str) -> Run:
    found: dict[tuple[str, str], dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    pictures, asked = {}, {}
    with (folder / HELD_OUT).open() as lines:
        for line in lines:
            row = json.loads(line)
            item = sys.intern(row["item"])  # hundreds of runs name the same items
            value = np.nan if row["value"] is None else row["value"]
            # A later row replaces an earlier one: the last step is measured as any other, and again at length.
            found[row["set"], row["measure"]][row["step"]][item] = value
            pictures[row["set"], item] = sys.intern(row["picture"])
            if row.get("asked"):
                asked[row["set"], item] = sys.intern(row["asked"])
    rows = {key: {step: in_order(values) for step, values in sorted(of_step.items())} for key, of_step in found.items()}
    metrics, provenance = (json.loads((folder / file).read_text()) for file in ("metrics.json", "provenance.json"))
    return Run(name, settings_of(folder), metrics, provenance, rows, pictures, asked)


def in_order(values: Mapping[str, float]) -> Rows:
    items = sorted(values)
    return Rows(tuple(items), np.array([values[item] for item in items], dtype=float))


def course(run: Run, measure: str) -> dict[int, Rows]:
    """A held-out measure by step, of the items that every validation looked at and could grade: those during a run are
    shorter."""
    of_step = run.rows.get(("held_out", measure), {})
    everywhere = set.intersection(*(rows.graded for rows in of_step.values())) if of_step else set()
    return {step: rows.only(everywhere) for step, rows in of_step.items()}


def graded_in_all(rows: Sequence[Rows]) -> list[Rows]:
    """Those of the items that have a value in each of them."""
    everywhere = set.intersection(*(of.graded for of in rows))
    return [of.only(everywhere) for of in rows]
