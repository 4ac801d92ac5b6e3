"""The reference KL: how far the policy may drift from where it started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from papo.errors import SettingError
from papo.objective.averages import Means
from papo.objective.branch import OLD, REFERENCE, Branch, Need, Passes
from papo.objective.divergence import DivergenceTerm
from papo.objective.term import Evidence, RewardPart, Value
from papo.types import Scores


@dataclass(frozen=True)
class ReferenceKL(DivergenceTerm):
    """beta KL(pi || pi_ref), minimised; Eq. 2 of arXiv 2507.06448.

    Attributes:
        coef, estimator, direction, cap: see DivergenceTerm; coef is beta. The released code's cap is 10.
        place: "loss" adds it to the loss (GRPO); "reward" takes beta * sum_t k(o_t) of the policy that wrote the
            response from its reward before advantages are formed, as RLHF's PPO did; no gradient flows through it then.
    """

    DIRECTIONS: ClassVar[tuple[str, str]] = ("policy_to_reference", "reference_to_policy")

    direction: str = "policy_to_reference"
    place: str = "loss"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("place", ("loss", "reward"))
        if self.place == "reward" and self.estimator == "full":
            raise SettingError("place", "must be loss for estimator=full, got 'reward'")

    @property
    def other(self) -> Branch:
        return REFERENCE

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        if self.coef == 0:
            return Value({}, {})
        kl = self.kl(evidence)
        parts = {"kl": self.coef * means.loss(kl, self.over)} if self.place == "loss" else {}
        return Value(parts, {"policy/ref_kl": means.metric(kl, self.over)})

    def reward_parts(self) -> Sequence[RewardPart]:
        return (ReferenceReward(self),) if self.coef > 0 and self.place == "reward" else ()


class ReferenceReward(RewardPart):
    """sum_t k(o_t) of the policy that wrote the response, weighted by -beta."""

    name = "ref_kl"

    def __init__(self, term: ReferenceKL) -> None:
        self.term, self.weight = term, -term.coef

    def passes(self) -> Passes:
        return {OLD: Need(), REFERENCE: Need()}

    def values(self, scores: Mapping[Branch, Scores], response_mask: Tensor, correct: Tensor) -> Tensor:
        return (self.term.values(scores[OLD].logprobs, scores[REFERENCE].logprobs) * response_mask).sum(-1)
