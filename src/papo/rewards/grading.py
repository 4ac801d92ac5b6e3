"""Is the final answer right? Correct, wrong, or unscorable when the item itself cannot be graded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from string import ascii_uppercase

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


def option(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the option that `answer` names, "A" for the first; None where it names none.

    An option's text names it, without regard to case; so does its letter, with or without parentheses. Text goes first:
    an option may be a letter itself. Without `choices` (the question alone lists them) any single letter will do.
    """
    texts = [choice.strip().casefold() for choice in choices]
    if answer.casefold() in texts:
        return ascii_uppercase[texts.index(answer.casefold())]
    letter = answer.strip("() ").upper()
    known = ascii_uppercase[: len(choices)] if choices else ascii_uppercase
    return letter if len(letter) == 1 and letter in known else None


def grade(item: Item, response: str) -> Grade:
    r"""Grades the last \boxed{} of a response against the item's answer by its answer type.

    integer: equal as integers ("07" is 7, "7.0" is wrong). text: equal without regard to case and surrounding space.
    choice: the same option, named by its text or by its letter (see `option`).

    Raises:
        ValueError: the item's answer_type is unknown.
    """
    if item.answer_type not in ("integer", "choice", "text"):
        raise ValueError(f"item {item.id} has answer_type {item.answer_type!r}; known are integer, choice, text")
    gold = item.answer.strip()
    if (
        not gold
        or (item.answer_type == "integer" and not INTEGER.fullmatch(gold))
        or (item.answer_type == "choice" and option(gold, item.choices) is None)
    ):
        return Grade(Verdict.UNSCORABLE, None, f"the item's answer {gold!r} is no {item.answer_type}")
    answer = last_boxed(response)
    if answer is None:
        return Grade(Verdict.WRONG, None, "no complete \\boxed{}")
    if item.answer_type == "integer":
        right = INTEGER.fullmatch(answer) is not None and int(answer) == int(gold)
    elif item.answer_type == "choice":
        right = option(answer, item.choices) == option(gold, item.choices)
    else:
        right = answer.casefold() == gold.casefold()
    return Grade(Verdict.CORRECT if right else Verdict.WRONG, answer, f"{answer!r} against {gold!r}")
