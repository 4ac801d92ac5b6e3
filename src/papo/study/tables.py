"""What a study found as tables, for study.md and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from papo.report import ReportTable
from papo.study.comparison import Comparison, Effect, Effects

# Metrics that stand in one table, by what they begin with; the first that fits has it.
GROUPS = {
    "cost": ("seconds", "steps", "peak_memory"),
    "what went wrong": ("error_",),
    "questions that the words give away": ("guessable",),
    "what it looks at": ("guessed", "blind", "masked", "readable", "unlikely", "repeated"),
    "accuracy": ("",),
}
NOT_SHARES = "cost"  # of GROUPS: seconds, steps, GiB; all else is shares


def tables(comparison: Comparison) -> Iterator[ReportTable]:
    """For each group of metrics, the differences from the baseline and the arms themselves."""
    for title, effects, unit in (
        ("difference from the baseline", comparison.differences, "percentage points"),
        ("each arm", comparison.arms, "%"),
    ):
        for group, names in reversed(grouped(effects).items()):
            alone = any(effect.seeds == 1 for of in effects.values() for effect in of.values())
            note = "95 % intervals over seeds and items" + ", of one seed over items alone" * alone
            if group == NOT_SHARES:
                note = "95 % intervals over seeds" + ", of one seed none" * alone
            shown = [
                [label, *(cell(of.get(name), group) for name in names), seeds(of)] for label, of in effects.items()
            ]
            unit_of = "s, steps, GiB" if group == NOT_SHARES else unit
            yield ReportTable(
                f"{group.capitalize()}: {title}",
                ("arm", *names, "seeds"),
                tuple(map(tuple, shown)),
                f"{unit_of}; {note}",
            )


def grouped(effects: Mapping[str, Effects]) -> dict[str, list[str]]:
    """The metrics that any arm has, by group, in the order in which runs have them."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in dict.fromkeys(name for of in effects.values() for name in of):
        found[group_of(name)].append(name)
    return {group: names for group, names in found.items() if names}


def group_of(metric: str) -> str:
    return next(group for group, beginnings in GROUPS.items() if metric.startswith(beginnings))


def cell(effect: Effect | None, group: str) -> str | None:
    if effect is None:
        return None
    if group == NOT_SHARES:
        return told(effect, 1, ".3g")
    return told(effect, 100, ".1f")


def told(effect: Effect, scale: float, digits: str) -> str:
    """The mean with its interval, if it has one."""
    mean = f"{scale * effect.mean:{digits}}"
    if effect.ci95 is None:
        return mean
    low, high = effect.ci95
    return f"{mean} [{scale * low:{digits}}, {scale * high:{digits}}]"


def seeds(effects: Effects) -> str:
    """How many; fewer for a metric that not all of them have do not occur: such a metric is left out."""
    return str(max((effect.seeds for effect in effects.values()), default=0))
