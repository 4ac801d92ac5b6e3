"""What runs must have in common for the difference between them to be that of their arms."""

from __future__ import annotations

from collections.abc import Sequence

from papo.errors import ConfigError
from papo.settings import lies_in
from papo.study.arms import ABSENT, Cell
from papo.study.runs import HELD_OUT, Run

# Data, base model and evaluation, and how long is trained. data.train is here too: what it gives away, or how much of
# it there is, is a factor (--by) where it differs.
COMMON = ("data.train", "data.val", "data.guessable", "model", "prompt", "val", "trainer.max_steps")

ASKING = ("data.val", "data.guessable")  # what decides how held-out items ask

# Not the base model but what is done with it.
OF_ARMS = ("model.train", "model.lora")


def check_alike(cells: Sequence[Cell], allow: Sequence[str] = ()) -> None:
    """Whether the runs at each level of the factors can be compared.

    Args:
        allow: settings, or the beginnings of their keys, that may differ nevertheless.

    Raises:
        ConfigError: the first difference, with both values.
    """
    for levels in {cell.levels for cell in cells}:
        first, *others = (run for cell in cells if cell.levels == levels for run in cell.runs.values())
        for other in others:
            check_settings(first, other, allow)
            check_items(first, other)


def check_settings(first: Run, other: Run, allow: Sequence[str]) -> None:
    for key in sorted(first.settings.keys() | other.settings.keys()):
        if not lies_in(key, COMMON) or lies_in(key, (*OF_ARMS, *allow)):
            continue
        a, b = (run.settings.get(key, ABSENT) for run in (first, other))
        if a != b:
            raise ConfigError(
                f"{key} is {a} in {first.name} and {b} in {other.name}: runs whose data, base model, evaluation or "
                f"length differ cannot be compared; --by {key} compares within each value, --allow {key} nevertheless"
            )


def check_items(first: Run, other: Run) -> None:
    """Items tell what settings cannot: files that have changed since. Those that a run cannot grade are no others: runs
    of before know nothing of an item that they never could."""
    for key in first.items.keys() & other.items.keys():
        a, b = (run.items[key] for run in (first, other))
        only = sorted((a ^ b) - first.never_graded(key) - other.never_graded(key))
        if only:
            raise ConfigError(
                f"{HELD_OUT} of {first.name} and {other.name} are about other items ({key[0]}, {key[1]}: {len(a)} and "
                f"{len(b)}, {only[0]} in one alone)"
            )
    for key in first.pictures.keys() & other.pictures.keys():
        if first.pictures[key] != other.pictures[key]:
            raise ConfigError(f"{HELD_OUT} of {first.name} and {other.name}: {key[1]} has another picture")
    asking = (key for key in first.settings.keys() | other.settings.keys() if lies_in(key, ASKING))
    if any(first.settings.get(key) != other.settings.get(key) for key in asking):
        return  # with leave: another template asks otherwise
    for key in first.asked.keys() & other.asked.keys():
        if first.asked[key] != other.asked[key]:
            raise ConfigError(
                f"{HELD_OUT} of {first.name} and {other.name}: {key[1]} asks something else, or has another right "
                "answer, in one than in the other; run one of them again, on the data of the other"
            )
