"""The scalar that the policy is optimised for, as a weighted sum of named parts."""

from __future__ import annotations

import re

from papo.rewards.grading import Verdict, grade
from papo.types import Item, RewardResult

# Reasoning, then the boxed answer, nothing in between; one <think> only. [^<] keeps the match linear in the length.
FORMAT = re.compile(r"\s*<think>[^<]*</think>\s*\\boxed\{[^<]*\}\s*")


class Reward:
    """R = accuracy_weight * accuracy + format_weight * format.

    The paper's reward is accuracy alone (binary); its released code uses 0.9 and 0.1.

    Raises:
        ValueError: a weight is negative or both are 0.
    """

    def __init__(self, accuracy_weight: float = 1.0, format_weight: float = 0.0) -> None:
        if accuracy_weight < 0 or format_weight < 0 or accuracy_weight + format_weight == 0:
            raise ValueError(
                "reward.accuracy_weight and reward.format_weight must be non-negative and not both 0, "
                f"got {accuracy_weight} and {format_weight}"
            )
        self.weights = {"accuracy": accuracy_weight, "format": format_weight}

    def __call__(self, item: Item, response: str) -> RewardResult:
        grading = grade(item, response)
        parts = {"accuracy": float(grading.correct), "format": float(FORMAT.fullmatch(response) is not None)}
        return RewardResult(
            total=sum(self.weights[name] * value for name, value in parts.items()),
            parts=parts,
            answer=grading.answer,
            scorable=grading.verdict is not Verdict.UNSCORABLE,
        )
