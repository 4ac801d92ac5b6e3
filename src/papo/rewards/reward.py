"""The scalar that the policy is optimised for, as a weighted sum of named parts."""

from __future__ import annotations

import re

from papo.errors import SettingError
from papo.rewards.extraction import last_box
from papo.rewards.grading import Verdict, grade
from papo.types import Item, RewardResult

# Reasoning, then the boxed answer, nothing in between; one <think> only, though x < 3 may stand in it. What is
# possessive keeps the match linear in the length.
TEXT = r"(?:[^<]|<(?!/?think>))"
FORMAT = re.compile(rf"\s*<think>{TEXT}*+</think>\s*\\boxed\s*\{{({TEXT}*)\}}\s*")


def formatted(response: str) -> bool:
    r"""Whether a response is its reasoning in <think> </think> and one \boxed{} with something in it, and nothing else.

    The paper's prompt asks for the final answer in a box. The released code also pays where more follows it, as another
    box, of which the last is graded.

    >>> [formatted(rf"<think> 3 + 4 </think> \boxed{{{rest}") for rest in ("7}", "}", "7} apples", r"6} or \boxed{7}")]
    [True, False, False, False]
    """
    found = FORMAT.fullmatch(response)
    return found is not None and found[1].strip() != "" and found.span(1) == last_box(response)


class Reward:
    """R = accuracy_weight * accuracy + format_weight * format.

    The paper's reward is accuracy alone (binary); its released code uses 0.9 and 0.1.

    Raises:
        SettingError: a weight is negative or both are 0.
    """

    def __init__(self, accuracy_weight: float = 1.0, format_weight: float = 0.0) -> None:
        for name, value in (("accuracy_weight", accuracy_weight), ("format_weight", format_weight)):
            if value < 0:
                raise SettingError(name, f"must be 0 (off) or positive, got {value}")
        if accuracy_weight + format_weight == 0:
            raise SettingError("accuracy_weight", "must be positive where format_weight is 0, got 0")
        self.weights = {"accuracy": accuracy_weight, "format": format_weight}

    def __call__(self, item: Item, response: str) -> RewardResult:
        grading = grade(item, response)
        parts = {"accuracy": float(grading.correct), "format": float(formatted(response))}
        return RewardResult(
            total=sum(self.weights[name] * value for name, value in parts.items()),
            parts=parts,
            answer=grading.answer,
            scorable=grading.verdict is not Verdict.UNSCORABLE,
            reason=grading.reason,
            failed=grading.failed,
        )
