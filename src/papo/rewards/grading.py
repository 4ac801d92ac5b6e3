"""Is the final answer right? Correct, wrong, or unscorable when the item itself cannot be graded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from papo.rewards.extraction import last_boxed
from papo.types import Item


class Verdict(Enum):
    CORRECT = "correct"
    WRONG = "wrong"
    UNSCORABLE = "unscorable"  # the fault of the item, not of the response


@dataclass(frozen=True)
class Grade:
    verdict: Verdict
    answer: str | None  # what was read out of the response
    reason: str

    @property
    def correct(self) -> bool:
        return self.verdict is Verdict.CORRECT


# At most 18 digits: an untrusted answer never becomes a huge integer. ASCII only: \d would admit other scripts.
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def grade(item: Item, response: str) -> Grade:
    r"""Grades the last \boxed{} of a response against the item's answer by its answer type.

    integer: equal as integers ("07" is 7, "7.0" is wrong). choice: the letter, with or without parentheses, any case.
    text: equal without regard to case and surrounding space.

    Raises:
        ValueError: the item's answer_type is unknown.
    """
    if item.answer_type not in ("integer", "choice", "text"):
        raise ValueError(f"item {item.id} has answer_type {item.answer_type!r}; known are integer, choice, text")
    gold = item.answer.strip()
    if not gold or (item.answer_type == "integer" and not INTEGER.fullmatch(gold)):
        return Grade(Verdict.UNSCORABLE, None, f"the item's answer {gold!r} is no {item.answer_type}")
    answer = last_boxed(response)
    if answer is None:
        return Grade(Verdict.WRONG, None, "no complete \\boxed{}")
    if item.answer_type == "integer":
        right = INTEGER.fullmatch(answer) is not None and int(answer) == int(gold)
    elif item.answer_type == "choice":
        right = answer.strip("() ").upper() == gold.upper()
    else:
        right = answer.casefold() == gold.casefold()
    return Grade(Verdict.CORRECT if right else Verdict.WRONG, answer, f"{answer!r} against {gold!r}")
