"""What went wrong in a wrong answer to a lab item: exactly, because its scene is known and rationales are readable."""

from __future__ import annotations

import re
from collections.abc import Iterable

from papo.rewards.extraction import last_boxed
from papo.types import Item

KINDS = ("perception", "reasoning", "calculation", "format")

THOUGHT = re.compile(r"<think>([^<]*)</think>")
# "red = 4", "rows = 0, 2, 3, 1"; bounded, because a policy wrote it.
STATEMENT = re.compile(r"([a-z]{1,20}) ?= ?([0-9]{1,4}(?: ?, ?[0-9]{1,4}){0,9})")

# In the names of tasks whose answer is computed from the values that were read.
ARITHMETIC = ("sum", "difference", "count")


def error_kind(item: Item, response: str) -> str:
    """Of a response that is not correct, the first thing that went wrong.

    format: there is no complete box, or no value is stated in <think> tags.
    perception: a value that the question needs is stated otherwise than the scene has it.
    reasoning: a needed value is not stated at all (another one was looked up), or all are right, but the answer is what
        another operation on them gives, or no computation was asked for.
    calculation: all are right, and the answer to an arithmetic question is none that any operation gives.
    """
    answer = last_boxed(response)
    thoughts = THOUGHT.findall(response)
    stated = statements(thoughts[-1]) if thoughts else {}
    if answer is None or not stated:
        return "format"
    needed = statements(item.rationale or "")
    if any(stated.get(name, values) != values for name, values in needed.items()):
        return "perception"
    if not needed.keys() <= stated.keys():
        return "reasoning"
    if any(word in item.tags["task"] for word in ARITHMETIC):
        values = [value for of_name in needed.values() for value in of_name]
        return "reasoning" if answer in map(str, operations(values)) else "calculation"
    return "reasoning"


def statements(text: str) -> dict[str, tuple[int, ...]]:
    """
    >>> statements("red = 4, blue = 7"), statements("rows = 0, 2, 3, 1")
    ({'red': (4,), 'blue': (7,)}, {'rows': (0, 2, 3, 1)})
    """
    return {name: tuple(map(int, re.findall("[0-9]+", values))) for name, values in STATEMENT.findall(text)}


def operations(values: list[int]) -> Iterable[int]:
    """What the lab's questions could have asked about the values: each of them, their number, sum and difference."""
    return {*values, len(values), sum(values), abs(values[0] - values[-1])}
