"""Which runs belong together: arms, and levels of the factors that a study names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from papo.arguments import nearest
from papo.errors import ConfigError
from papo.study.definition import text_of
from papo.study.runs import Run

ABSENT = "absent"  # of a setting that a run does not have

Levels = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Cell:
    """The runs of one arm at one level of each factor, by seed."""

    arm: str
    levels: Levels
    runs: Mapping[int, Run]

    @property
    def label(self) -> str:
        return " ".join([self.arm, *(told(key, value) for key, value in self.levels)])


def cells(runs: Sequence[Run], by: Sequence[str] = ()) -> list[Cell]:
    """All runs in their cells, levels in order.

    Args:
        by: factors, each a setting.

    Raises:
        ConfigError: an unknown factor, or two runs with the same settings.
    """
    for key in by:
        for run in runs:
            if key not in run.settings:
                raise ConfigError(f"--by {key}: {run.name} has no such setting{nearest(key, run.settings)}")
    found: dict[tuple[str, Levels], dict[int, Run]] = defaultdict(dict)
    for run, arm in zip(runs, arm_names(runs, by), strict=True):
        of_seed = found[arm, tuple((key, level(run.settings[key])) for key in by)]
        if run.seed in of_seed:
            raise ConfigError(f"{of_seed[run.seed].name} and {run.name} are one run twice: {arm}, seed {run.seed}")
        of_seed[run.seed] = run
    in_order = sorted(found.items(), key=lambda of: [place(value) for _, value in of[0][1]])
    return [Cell(arm, levels, dict(sorted(of_seed.items()))) for (arm, levels), of_seed in in_order]


def level(value: Any) -> str | float | None:
    """A setting as a level of a factor: a list as its text."""
    return value if value is None or isinstance(value, str | int | float) else text_of(value)


def place(value: str | float | None) -> tuple[int, str | float]:
    """Where a level comes among the others: none at all, numbers, texts."""
    return (0, 0) if value is None else (2, value) if isinstance(value, str) else (1, value)


def arm_names(runs: Sequence[Run], by: Sequence[str]) -> Iterator[str]:
    """What each run states as its name, with the settings in which runs of that name differ."""
    of_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        of_name[run.settings["name"]].append(run)
    telling = {name: differing(of, by) for name, of in of_name.items()}
    for run in runs:
        name = run.settings["name"]
        yield " ".join([name, *(told(key, run.settings.get(key, ABSENT)) for key in telling[name])])


def differing(runs: Sequence[Run], besides: Collection[str]) -> list[str]:
    """The settings in which runs differ, but for seeds and `besides`; of those with equal values, the shortest key."""
    keys = {key for run in runs for key in run.settings}
    known = {_values(runs, key) for key in besides}
    shortest: dict[tuple[str, ...], str] = {}
    for key in sorted(keys, key=lambda key: (key.count("."), len(key), key)):
        values = _values(runs, key)
        is_seed = key.rpartition(".")[2] == "seed" and all(run.settings.get(key) == run.seed for run in runs)
        if len(set(values)) > 1 and values not in known and not is_seed:
            shortest.setdefault(values, key)
    return list(shortest.values())


def _values(runs: Sequence[Run], key: str) -> tuple[str, ...]:
    return tuple(repr(run.settings.get(key, ABSENT)) for run in runs)


def told(key: str, value: Any) -> str:
    return f"{key}={text_of(value)}"
