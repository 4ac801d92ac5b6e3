"""An optional reward for answers that depend on the picture."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from papo.errors import SettingError
from papo.objective.branch import OLD, Branch, Need, Passes, check_other_view
from papo.objective.kl import sampled_kl
from papo.objective.term import RewardPart
from papo.rewards.reward import Reward
from papo.types import Item, RewardResult, Scores

# Nats of one token: unbounded, a token that the policy on the corrupted image excludes outweighs the response.
CAP = 10.0


class PerceptionReward(RewardPart):
    """R = graded + weight * (1 - exp(-D / scale)), D = the response's mean KL(pi || pi_mask) per token, in nats.

    The paper keeps perception in the loss; the seed of this project pays for it too. Bounded by `weight`, so that no
    divergence outbids a right answer; a constant for the gradient, as every reward.

    Args:
        graded: what the text alone earns.
        weight: largest perception reward.
        scale: nats at which 63 % of it are reached.
        correct_only: whether wrong answers earn none: otherwise being different on the corrupted image pays by itself.
        view: what I_mask is.

    Raises:
        SettingError: weight or scale is not positive, or the view is the picture itself.
    """

    name = "perception"

    def __init__(
        self, graded: Reward, weight: float, scale: float, correct_only: bool, view: str = "corrupted"
    ) -> None:
        for name, value in (("weight", weight), ("scale", scale)):
            if not 0 < value < float("inf"):
                raise SettingError(name, f"must be positive, got {value}; reward=accuracy has no perception part")
        check_other_view(view)
        self.graded, self.weight, self.scale, self.correct_only = graded, weight, scale, correct_only
        self.masked = Branch("rollout", view)

    def __call__(self, item: Item, response: str) -> RewardResult:
        """What the text alone earns."""
        return self.graded(item, response)

    def passes(self) -> Passes:
        return {OLD: Need(), self.masked: Need()}

    def values(self, scores: Mapping[Branch, Scores], response_mask: Tensor, correct: Tensor) -> Tensor:
        kl = sampled_kl(scores[OLD].logprobs, scores[self.masked].logprobs, "k3", cap=CAP) * response_mask
        divergence = kl.sum(-1) / response_mask.sum(-1)
        part = 1 - (-divergence.clamp(min=0) / self.scale).exp()
        return part * correct if self.correct_only else part
