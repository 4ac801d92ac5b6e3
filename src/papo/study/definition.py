"""A study's definition: which settings are compared, at which levels of which factors, with which seeds."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from papo.arguments import nearest
from papo.errors import ConfigError

FILE = "study.yaml"


@dataclass(frozen=True)
class Planned:
    """One run of a study: what it is called, and the overrides of conf/train.yaml that make it, but for its seed."""

    arm: str
    levels: Mapping[str, Any]  # of each factor
    seed: int
    overrides: tuple[str, ...]

    @property
    def parts(self) -> dict[str, str]:
        """What tells it from the others."""
        levels = {key: text_of(value) for key, value in self.levels.items()}
        return {"arm": self.arm, **levels, "seed": str(self.seed)}

    @property
    def folder(self) -> str:
        """Its folder's name."""
        arm, *others = self.parts.items()
        parts = [arm[1], *(f"{key}={value}" for key, value in others)]
        return re.sub(r"[^A-Za-z0-9._=,+-]+", "-", "_".join(parts))


@dataclass(frozen=True)
class Study:
    """What study.yaml says.

    Args:
        question: one sentence.
        base: overrides of all runs.
        arms: overrides of each arm, by the name that its runs get.
        baseline: the arm that the others are compared with.
        grid: values of each factor, a plain setting; arms and factors are crossed.
        seeds: a list, or {default: list, at: [{FACTOR: LEVEL, ..., seeds: list}]}: the first entry that fits counts.
        allow: settings in which runs may differ though they decide what is measured; see papo.study.alike.
        last: overrides behind those of the arms.
        only: texts of levels of a factor, of `arm` or of `seed`: runs with others are left out.

    Raises:
        ConfigError: something is no list that has to be one, the baseline is no arm, nothing is asked for or a run
            twice, or `seeds` or `only` name what there is not.
    """

    question: str
    base: Sequence[str]
    arms: Mapping[str, Sequence[str]]
    baseline: str
    seeds: Sequence[int] | Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    allow: Sequence[str] = ()
    last: Sequence[str] = ()
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.check_lists()
        self.check_seeds()
        if self.baseline not in self.arms:
            raise ConfigError(f"baseline must be an arm, got {self.baseline!r}{nearest(self.baseline, self.arms)}")
        if not self.all_runs():
            raise ConfigError("the study has no run: arms, the values of each factor and seeds must not be empty")
        for name, count in Counter(run.folder for run in self.all_runs()).items():
            if count > 1:  # two runs would write into one folder
                raise ConfigError(f"the study has {count} runs {name}: arms, values and seeds must come once each")
        for key, values in self.only.items():
            there = dict.fromkeys(run.parts.get(key) for run in self.all_runs())
            for value in values:
                if value not in there:
                    known = there if None not in there else ("arm", "seed", *self.grid)
                    raise ConfigError(f"--only {key}={value} fits no run; known are {', '.join(filter(None, known))}")

    def check_lists(self) -> None:
        """Raises ConfigError where YAML has a text or a number in place of a list, whose letters would be overrides."""
        lists = {"base": self.base, "allow": self.allow}
        for name, mapping in (("arms", self.arms), ("grid", self.grid)):
            if not isinstance(mapping, Mapping):
                raise ConfigError(f"{name} must name its lists, got {mapping!r}")
            lists |= {f"{name}.{key}": value for key, value in mapping.items()}
        if not isinstance(self.seeds, Mapping):
            lists["seeds"] = self.seeds
        elif "default" in self.seeds:
            lists["seeds.default"] = self.seeds["default"]
        for name, value in lists.items():
            if not is_list(value):
                raise ConfigError(f"{name} must be a list, got {value!r}; write [{value}]")

    def check_seeds(self) -> None:
        """Raises ConfigError where seeds are said of what there is not: runs would have the default's, and no word."""
        if not isinstance(self.seeds, Mapping):
            return
        for key in self.seeds.keys() - {"default", "at"}:
            raise ConfigError(f"seeds.{key} is unknown; known are default, at")
        for entry in self.seeds.get("at", ()):
            if not isinstance(entry, Mapping) or not is_list(entry.get("seeds")):
                raise ConfigError(f"seeds.at must have entries such as {{FACTOR: LEVEL, seeds: [0, 1]}}, got {entry!r}")
            for key, value in entry.items():
                if key == "seeds":
                    continue
                if key not in self.grid:
                    known = nearest(key, self.grid) if self.grid else "; there is none"
                    raise ConfigError(f"seeds.at names {key}, which is no factor (grid){known}")
                if self.grid[key] and value not in self.grid[key]:
                    known = ", ".join(map(text_of, self.grid[key]))
                    raise ConfigError(
                        f"seeds.at names {key}={text_of(value)}, which is no level of it; known are {known}"
                    )

    def runs(self) -> list[Planned]:
        """The runs asked for, the first seed of every arm and level before the second of any."""
        return [run for run in self.all_runs() if all(run.parts[key] in asked for key, asked in self.only.items())]

    def all_runs(self) -> list[Planned]:
        return [run for _, run in sorted(self._runs(), key=lambda of: of[0])]

    def _runs(self) -> Iterator[tuple[int, Planned]]:
        """Each run, and which of its seeds it is."""
        for values in itertools.product(*self.grid.values()):
            levels = dict(zip(self.grid, values, strict=True))
            at = [f"{key}={text_of(value)}" for key, value in levels.items()]
            for (arm, settings), (n, seed) in itertools.product(self.arms.items(), enumerate(self.seeds_at(levels))):
                told = (*self.base, *settings, *at, *self.last, f"name={arm}")
                yield n, Planned(arm, levels, seed, told)

    def seeds_at(self, levels: Mapping[str, Any]) -> Sequence[int]:
        if not isinstance(self.seeds, Mapping):
            return self.seeds
        for entry in self.seeds.get("at", ()):
            if all(levels[key] == value for key, value in entry.items() if key != "seeds"):
                return entry["seeds"]
        if "default" not in self.seeds:
            at = " ".join(f"{key}={text_of(value)}" for key, value in levels.items())
            raise ConfigError(f"seeds.default is missing, and no entry of seeds.at is of {at or 'all runs'}")
        return self.seeds["default"]


def read_study(
    folder: Path,
    variant: str | None = None,
    further: Sequence[str] = (),
    only: Mapping[str, Sequence[str]] | None = None,
) -> Study:
    """The study in `folder`/study.yaml.

    Args:
        variant: quick, the study cut down as its `quick` says: `base` there comes last, `arms` are names, `grid` and
            `seeds` replace what they name; None = the whole.
        further: overrides of all runs, behind all others.
        only: see Study.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    file = folder / FILE
    if not file.is_file():
        raise ConfigError(f"{file} does not exist; a study is a folder that holds {FILE}")
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ConfigError("must say question, base, arms, baseline and seeds")
        quick = told.pop("quick", None)
        if variant is not None:
            Study(**told)  # what is wrong with it would be cut away
            told = cut_down(told, variant, quick)
        return Study(**told | {"last": (*told.get("last", ()), *further), "only": only or {}})
    except (yaml.YAMLError, TypeError, KeyError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{file}: {error}") from error


def cut_down(told: dict[str, Any], variant: str, quick: Mapping[str, Any] | None) -> dict[str, Any]:
    """What study.yaml says, with what its `quick` says instead."""
    if variant != "quick" or quick is None:
        raise ConfigError(f"study={variant} is not defined here; {'known is quick' if quick else 'nothing is'}")
    unknown = quick.keys() - {"base", "arms", "grid", "seeds"}
    if unknown:
        raise ConfigError(f"quick.{min(unknown)} is unknown; known are base, arms, grid, seeds")
    grid = told.get("grid", {}) | quick.get("grid", {})
    return told | {
        "arms": {name: told["arms"][name] for name in quick.get("arms", told["arms"])},
        "grid": grid,
        "seeds": quick["seeds"] if "seeds" in quick else of_levels(told["seeds"], grid),
        "last": quick.get("base", ()),
    }


def of_levels(seeds: Any, grid: Mapping[str, Sequence[Any]]) -> Any:
    """Seeds without what they are at levels that are not in a grid any more."""
    if not isinstance(seeds, Mapping):
        return seeds
    at = seeds.get("at", ())
    kept = [of for of in at if all(value in grid[key] for key, value in of.items() if key != "seeds")]
    return {**seeds, "at": kept}


def is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def text_of(value: Any) -> str:
    """A value as an override states it; text is taken as it stands."""
    return value if isinstance(value, str) else json.dumps(value)
