"""What the validations of a run found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from papo.evaluation.held_out import ItemValues
from papo.statistics import Estimate, mean_difference, mean_over_items

# What is validated on, in the order of the data's loaders: data.val and data.guessable.
HELD_OUT, GUESSABLE = SETS = ("held_out", "guessable")

HELD_OUT_LOG = "held_out.jsonl"  # in a run's folder: each validation's values, item by item

Measured = dict[str, list[float]]  # the items' values by measure
Items = dict[str, list[str]]  # the ids of those items


@dataclass
class History:
    """The validations of a run; part of its checkpoints.

    Attributes:
        before: what was measured before the first step, of all items.
        last: what was measured last.
        course: means by step, of the items that were measured then; see `over_steps`.
        items_before, items_last: of which items, in the same order; older checkpoints have none.
        items_during: of which items in the midst of training, where they may be fewer.
        last_step: of the last validation.
    """

    before: Measured = field(default_factory=dict)
    last: Measured = field(default_factory=dict)
    course: dict[int, dict[str, float]] = field(default_factory=dict)
    items_before: Items = field(default_factory=dict)
    items_last: Items = field(default_factory=dict)
    items_during: Items = field(default_factory=dict)
    last_step: int = 0

    def add(self, step: int, measured: Measured, items: Items | None = None, *, during: bool = False) -> None:
        """Args:
        during: whether this is in the midst of training.
        """
        if step == 0:
            self.before, self.items_before = measured, items or {}
        if during:
            self.items_during = items or {}
        self.last, self.items_last, self.last_step = measured, items or {}, step
        self.course[step] = {name: fmean(values) for name, values in measured.items()}

    def change(self, name: str) -> Estimate | None:
        """What a measure gained from before the run to the last validation, paired by item; None where no item has it
        in both."""
        before, last = self.paired(name)
        return mean_difference(before, last) if before else None

    def paired(self, name: str) -> tuple[list[float], list[float]]:
        """A measure before the run and in the last validation, of the items that have it in both.

        The last one may be a short one; a grader may leave an item out of either. Where the ids of either are not
        known, only as many items are taken for the same ones.
        """
        before, last = self.before.get(name, []), self.last.get(name, [])
        of_before, of_last = self.items_before.get(name), self.items_last.get(name)
        if of_before and of_last and of_before != of_last:
            had, has = dict(zip(of_before, before, strict=True)), dict(zip(of_last, last, strict=True))
            both = [item for item in had if item in has]
            before, last = [had[item] for item in both], [has[item] for item in both]
        return (before, last) if len(before) == len(last) else ([], [])

    def over_steps(self) -> dict[int, dict[str, float]]:
        """Means by step, before the run and at its end too of the items that were measured in between: the mean of
        fewer items is another one, which would pass for a rise and a fall."""
        found = {step: dict(means) for step, means in sorted(self.course.items())}
        for step, measured, items in (
            (0, self.before, self.items_before),
            (max(found, default=0), self.last, self.items_last),
        ):
            for name in measured.keys() & self.items_during.keys() & items.keys():
                few = set(self.items_during[name])
                values = [v for item, v in zip(items[name], measured[name], strict=True) if item in few]
                if values:
                    found[step][name] = fmean(values)
        return found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> History:
        """Those of an older checkpoint in between are not comparable, but were made."""
        history = History(**fields)
        if "last_step" not in fields:
            history.last_step = max(history.course, default=0)
        if "items_during" not in fields:  # of an older checkpoint, whose validations in between were of other items
            history.course = {step: means for step, means in history.course.items() if step == 0}
        return history


def estimate(measured: Measured, name: str) -> Estimate | None:
    """The mean of a measure; None where it was not measured."""
    return mean_over_items(measured[name]) if name in measured else None


def by_measure(kind: str, found: Sequence[ItemValues]) -> Measured:
    """The values of the items that could be graded, by measure; of items that the words give away accuracy alone, as
    the measure of their name."""
    measured: Measured = {}
    for item in found:
        for name, value in item.values.items():
            if value is not None and (kind != GUESSABLE or name == "accuracy"):
                measured.setdefault(GUESSABLE if kind == GUESSABLE else name, []).append(value)
    return measured


def items_by_measure(rows: Iterable[Mapping[str, Any]]) -> Items:
    """The ids of the items whose values `by_measure` has, in the same order; from what `rows` makes of them."""
    items: Items = {}
    for row in rows:
        name = row["measure"] if row["set"] == HELD_OUT else GUESSABLE
        if row["value"] is not None and (row["set"] == HELD_OUT or row["measure"] == "accuracy"):
            items.setdefault(name, []).append(row["item"])
    return items


def rows(step: int, kind: str, found: Iterable[ItemValues]) -> list[dict[str, Any]]:
    """One JSON-able record per item and measure; its value is None where the item could not be graded."""
    return [
        {"step": step, "set": kind, "measure": name}
        | {"item": item.item, "asked": item.asked, "picture": item.picture, "value": value}
        for item in found
        for name, value in item.values.items()
    ]


def tag(name: str, samples: int) -> str:
    """What a measure of all items is called where metrics are logged."""
    averages = {"accuracy": "avg", "blind": "blind_avg", "masked": "masked_avg"}
    return f"val/{averages[name]}@{samples}" if name in averages else f"val/{name}"
