"""An optional reward for answers that depend on the picture."""

from __future__ import annotations

import math
from dataclasses import replace

from papo.errors import SettingError
from papo.rewards.reward import Reward
from papo.types import Item, RewardResult


class PerceptionReward:
    """R = graded + weight * (1 - exp(-D / scale)), D = the response's mean KL(pi || pi_mask) per token, in nats.

    The paper keeps perception in the loss; the seed of this project pays for it too. Bounded by `weight`, so that no
    divergence outbids a right answer; a constant for the gradient, as every reward.

    Args:
        graded: what the text alone earns.
        weight: largest perception reward.
        scale: nats at which 63 % of it are reached.
        correct_only: whether wrong answers earn none: otherwise being different on the corrupted image pays by itself.

    Raises:
        SettingError: weight or scale is not positive.
    """

    def __init__(self, graded: Reward, weight: float, scale: float, correct_only: bool) -> None:
        for name, value in (("weight", weight), ("scale", scale)):
            if value <= 0:
                raise SettingError(name, f"must be positive, got {value}; reward=accuracy has no perception part")
        self.graded, self.weight, self.scale, self.correct_only = graded, weight, scale, correct_only

    def __call__(self, item: Item, response: str) -> RewardResult:
        """What the text earns; `add` completes it once the divergence is known."""
        return self.graded(item, response)

    def add(self, result: RewardResult, divergence: float) -> RewardResult:
        """`result` with the perception part."""
        part = (
            0.0
            if self.correct_only and result.parts["accuracy"] < 1
            else 1 - math.exp(-max(0.0, divergence) / self.scale)
        )
        return replace(result, total=result.total + self.weight * part, parts={**result.parts, "perception": part})
