"""What a grader says about one response."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SHOWN = 80  # characters of an answer that a reason repeats: reasons are for reading, answers may be megabytes


class Verdict(Enum):
    CORRECT = "correct"
    WRONG = "wrong"
    UNSCORABLE = "unscorable"  # the fault of the item, not of the response


@dataclass(frozen=True)
class Grade:
    verdict: Verdict
    answer: str | None  # what was read out of the response
    reason: str
    failed: bool = False  # whether the grader, your own, could not say

    @property
    def correct(self) -> bool:
        return self.verdict is Verdict.CORRECT


def shown(text: str) -> str:
    """`text` as a reason repeats it: quoted, and cut off where it is long."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def judged(right: bool, answer: str, gold: str) -> Grade:
    """An answer that was compared with the item's."""
    verdict = Verdict.CORRECT if right else Verdict.WRONG
    return Grade(verdict, answer, f"{shown(answer)} against {shown(gold)}")


def unanswered(reason: str) -> Grade:
    """Wrong, because no answer could be read out of the response."""
    return Grade(Verdict.WRONG, None, reason)


def failure(reason: str) -> Grade:
    """Wrong, because the grader failed."""
    return Grade(Verdict.WRONG, None, reason, failed=True)


def unscorable(gold: str, expected: str) -> Grade:
    """The item's answer is not what its rule needs."""
    return Grade(Verdict.UNSCORABLE, None, f"the item's answer {shown(gold)} is no {expected}")


NO_BOX = "no complete \\boxed{}"
