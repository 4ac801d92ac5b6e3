"""Every arm, and every arm less the baseline: means over seeds and items, paired in both."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from papo.errors import ConfigError
from papo.study.arms import Cell
from papo.study.crossed import Crossed, crossed
from papo.study.measures import GAIN, item_metrics, run_metrics
from papo.study.runs import Rows, Run, course, graded_in_all

CURVES = ("accuracy", "guessed")
SETS = ("held_out", "guessable")


@dataclass(frozen=True)
class Effect:
    """A mean with a 95 % interval over seeds and items; None = one run says nothing about others' seconds."""

    mean: float
    ci95: tuple[float, float] | None
    seeds: int
    parts: Crossed

    def to_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "ci95": self.ci95 and list(self.ci95), "seeds": self.seeds}


Effects = dict[str, Effect]


@dataclass(frozen=True)
class Comparison:
    """What a study found, by the label of a cell.

    Args:
        cells: all of them.
        baselines: the cell that each other one is compared with, where it is.
        arms: metrics of each.
        differences: those of each but the baselines, less the baseline's.
        curves: of each, the measures of CURVES by step.
        missing: seeds that the baseline has and a cell has not, or the other way round, and cells that therefore are
            compared with nothing; in words.
        ungraded: how many items are in a difference where not every run could grade all, in words.
    """

    cells: Sequence[Cell]
    baselines: Mapping[str, Cell]
    arms: Mapping[str, Effects]
    differences: Mapping[str, Effects]
    curves: Mapping[str, Mapping[str, Mapping[int, Effect]]]
    missing: Sequence[str]
    ungraded: Sequence[str]


def compare(cells: Sequence[Cell], baseline: str, reach: Sequence[float] = (), *, partial: bool = False) -> Comparison:
    """Compares every cell with the baseline's at the same levels.

    Args:
        partial: a cell beside which the baseline has no run is compared with nothing, and named, instead of refused.

    Raises:
        ConfigError: no arm has the baseline's name, or none has it at some level, or no seed is common.
    """
    known = sorted({cell.arm for cell in cells})
    if baseline not in known:
        raise ConfigError(f"--baseline {baseline} is no arm; arms are {', '.join(map(shlex.quote, known))}")
    of_levels = {cell.levels: cell for cell in cells if cell.arm == baseline}
    others = [cell for cell in cells if cell.arm != baseline]
    alone = {cell.label: why for cell in others if (why := unpaired(cell, of_levels.get(cell.levels), baseline))}
    if alone and not partial:
        raise ConfigError(next(iter(alone.values())))
    compared = [cell for cell in others if cell.label not in alone]
    baselines = {cell.label: of_levels[cell.levels] for cell in compared}
    return Comparison(
        cells,
        baselines,
        arms={cell.label: dict(effects(list(cell.runs.values()), None, reach)) for cell in cells},
        differences={cell.label: dict(paired(cell, baselines[cell.label], reach)) for cell in compared},
        curves={cell.label: curves(list(cell.runs.values())) for cell in cells},
        missing=[
            *(f"{why}: it is compared with nothing" for why in alone.values()),
            *(text for cell in compared for text in missing(cell, baselines[cell.label])),
        ],
        ungraded=[text for cell in compared for text in ungraded(cell, baselines[cell.label])],
    )


def unpaired(cell: Cell, base: Cell | None, baseline: str) -> str | None:
    """Why a cell cannot be compared with the baseline's at its levels; None where it can."""
    if base is None:
        return f"{cell.label} has no run of the baseline {baseline} beside it"
    return None if cell.runs.keys() & base.runs.keys() else f"{cell.label} and {base.label} have no seed in common"


def missing(cell: Cell, base: Cell) -> Iterator[str]:
    """Seeds without a partner, which arms count and differences do not."""
    for one, other in ((cell, base), (base, cell)):
        lacking = sorted(other.runs.keys() - one.runs.keys())
        if lacking:
            yield f"{one.label} has no seed {', '.join(map(str, lacking))}, {other.label} has"


def ungraded(cell: Cell, base: Cell) -> Iterator[str]:
    """Of how many items a difference is, where a grader of one's own, or an answer that its rule cannot use, left some
    out of a run."""
    runs = [run for seed in cell.runs.keys() & base.runs.keys() for run in (cell.runs[seed], base.runs[seed])]
    for of_set in SETS:
        key = of_set, "accuracy"
        if all(key in run.last for run in runs):
            graded = graded_in_all([run.last[key] for run in runs])[0].items
            known = frozenset().union(*(run.items[key] for run in runs))  # not by all, where some are of before
            if len(graded) < len(known):
                yield (
                    f"{cell.label} less {base.label} is of {len(graded)} of {len(known)} items ({of_set}): the others "
                    "were not graded in every run"
                )


def paired(cell: Cell, base: Cell, reach: Sequence[float]) -> Iterator[tuple[str, Effect]]:
    """Each metric of a cell less the baseline's, over the seeds that both have."""
    seeds = [seed for seed in cell.runs if seed in base.runs]
    return effects([cell.runs[seed] for seed in seeds], [base.runs[seed] for seed in seeds], reach)


def effects(runs: Sequence[Run], base: Sequence[Run] | None, reach: Sequence[float]) -> Iterator[tuple[str, Effect]]:
    """Each metric that all runs have; less that of `base`, run by run, where there is one."""
    everywhere = [*runs, *(base or ())]
    of_items = [item_metrics(run) for run in everywhere]
    for name in of_items[0]:
        if all(name in of_run for of_run in of_items):
            rows = [of_run[name] for of_run in of_items]
            of_set = "guessable" if name.startswith("guessable") else "held_out"
            is_gain = name.endswith(GAIN)
            effect = over_items(rows[: len(runs)], rows[len(runs) :] or None, everywhere[0], of_set, is_gain=is_gain)
            if effect is not None:
                yield name, effect
    of_runs = [run_metrics(run, reach) for run in everywhere]
    for name in of_runs[0]:
        values = np.array([of_run[name] for of_run in of_runs], dtype=float)
        if not np.isnan(values).any():  # a mean over those runs alone that came so far would flatter
            less = values[len(runs) :] if base else 0.0
            parts = crossed((values[: len(runs)] - less)[:, None], np.zeros(1, dtype=int))
            yield name, effect_of(parts, parts.unbounded)


def over_items(
    rows: Sequence[Rows], base: Sequence[Rows] | None, run: Run, of_set: str, *, is_gain: bool = False
) -> Effect | None:
    """Over the items that have a value in every run; None where there is no such item.

    Args:
        rows: of each run, in [0, 1]; what training changed of such, in [-1, 1], where `is_gain`.
        base: what is taken off, run by run.
    """
    graded = graded_in_all([*rows, *(base or ())])
    if not graded[0].items:
        return None
    values = np.stack([of_run.values for of_run in graded])  # [S, n], or [2 S, n]
    if base is not None:
        values = values[: len(rows)] - values[len(rows) :]
    _, pictures = np.unique([run.pictures[of_set, item] for item in graded[0].items], return_inverse=True)
    parts = crossed(values, pictures)
    differences = is_gain + (base is not None)  # how often shares were taken from shares
    return effect_of(parts, parts.of_difference(differences) if differences else parts.of_share)


def effect_of(parts: Crossed, interval: tuple[float, float] | None) -> Effect:
    return Effect(parts.mean, interval, parts.seeds, parts)


def curves(runs: Sequence[Run]) -> dict[str, dict[int, Effect]]:
    """Held-out measures over the steps at which all runs were measured."""
    found: dict[str, dict[int, Effect]] = {}
    for measure in CURVES:
        of_runs = [course(run, measure) for run in runs]
        for step in sorted(set.intersection(*map(set, of_runs))):
            effect = over_items([of_run[step] for of_run in of_runs], None, runs[0], "held_out")
            if effect is not None:
                found.setdefault(measure, {})[step] = effect
    return found
