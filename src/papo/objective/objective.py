"""GRPO, DAPO, GSPO and PAPO as one sum of terms; a coefficient of 0 removes a term and the passes that it needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from papo.objective.aggregation import (
    AGGREGATIONS,
    Denominators,
    token_weights,
    top_share,
    top_share_lengths,
    weighted_sum,
)
from papo.objective.entropy import DoubleEntropy, EntropyHinge
from papo.objective.perception import PerceptionKL
from papo.objective.reference import ReferenceKL
from papo.objective.robustness import RobustnessKL
from papo.objective.surrogate import Surrogate
from papo.types import Scores


@dataclass(frozen=True)
class Evidence:
    """What the terms look at, for B responses: a whole update, or a micro-batch of it.

    The scores of other branches are given where the objective `needs_...` them, and constant or not as it says.
    """

    current: Scores  # the policy on the image
    old_logprobs: Tensor  # [B, T] nats, of the policy that wrote the responses
    advantages: Tensor  # [B]
    response_mask: Tensor  # [B, T] bool, the tokens that are trained on
    rewards: Tensor  # [B], what responses="weighted" weighs by
    correct: Tensor  # [B] bool, what responses="correct" keeps
    reference: Scores | None = None
    corrupted: Scores | None = None  # with the current parameters
    rollout_corrupted: Scores | None = None  # with the parameters that wrote the responses
    noised: Scores | None = None  # on the lightly noised image


@dataclass(frozen=True)
class UpdateDenominators:
    """What each kind of average divides by, over one update."""

    all_tokens: Denominators
    perception: Denominators
    visual: Denominators


@dataclass(frozen=True)
class Objective:
    """loss = surrogate + beta KL_ref - gamma KL_prcp + eta_1 H[pi] + eta_2 H[pi_mask] + hinge + robustness; minimised.

    Attributes:
        surrogate, reference, perception, entropy, entropy_hinge, robustness: the terms; each file has its equation.
        loss_aggregation: see `token_weights`; of all terms.
    """

    surrogate: Surrogate
    reference: ReferenceKL
    perception: PerceptionKL
    loss_aggregation: str
    entropy: DoubleEntropy = field(default_factory=DoubleEntropy)
    entropy_hinge: EntropyHinge = field(default_factory=EntropyHinge)
    robustness: RobustnessKL = field(default_factory=RobustnessKL)

    def __post_init__(self) -> None:
        if self.loss_aggregation not in AGGREGATIONS:
            raise ValueError(
                f"algorithm.objective.loss_aggregation must be one of {', '.join(AGGREGATIONS)}, "
                f"got {self.loss_aggregation!r}"
            )

    # ------------------------------------------------------------------------------------- which passes a step makes

    @property
    def needs_reference(self) -> bool:
        return self.reference.coef > 0

    @property
    def needs_corrupted(self) -> bool:
        """In every update, with the current parameters."""
        return (
            (self.perception.coef > 0 and self.perception.recompute == "update")
            or self.entropy.corrupted_coef > 0
            or self.entropy_hinge.coef > 0
            or self.surrogate.visual_token_share is not None
        )

    @property
    def needs_corrupted_gradient(self) -> bool:
        return (
            (self.perception.coef > 0 and self.perception.recompute == "update" and self.perception.corrupted_gradient)
            or self.entropy.corrupted_coef > 0
            or self.entropy_hinge.coef > 0
        )

    @property
    def needs_rollout_corrupted(self) -> bool:
        """Once per step, with the parameters that wrote the responses."""
        return self.perception.coef > 0 and self.perception.recompute == "rollout"

    @property
    def needs_states(self) -> bool:
        """Of the current policy: a full-vocabulary KL is made of them."""
        return (
            (self.reference.coef > 0 and self.reference.estimator == "full")
            or (self.needs_corrupted and self.perception.estimator == "full")
            or (self.robustness.coef > 0 and self.robustness.estimator == "full")
        )

    @property
    def needs_noised(self) -> bool:
        return self.robustness.coef > 0

    # ---------------------------------------------------------------------------------------------------------- loss

    def denominators(
        self, response_mask: Tensor, rewards: Tensor, correct: Tensor, *, horizon: int
    ) -> UpdateDenominators:
        """Counts over a whole update, from [B, T], [B] and [B]; `horizon` is the longest possible response."""
        lengths = response_mask.sum(-1)
        perception = Denominators.of(
            top_share_lengths(lengths, self.perception.token_share), horizon, self.response_weights(rewards, correct)
        )
        visual = Denominators.of(top_share_lengths(lengths, self.surrogate.visual_token_share or 1.0), horizon)
        return UpdateDenominators(Denominators.of(lengths, horizon), perception, visual)

    def response_weights(self, rewards: Tensor, correct: Tensor) -> Tensor | None:
        """[B] how much each response counts in the perception term; None = all alike."""
        if self.perception.responses == "correct":
            return correct.to(rewards.dtype)
        if self.perception.responses == "weighted":
            return rewards.clamp(min=0)
        return None

    def __call__(
        self, evidence: Evidence, denominators: UpdateDenominators, *, perception_scale: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics of one micro-batch.

        Args:
            evidence: of the micro-batch.
            denominators: counts over the whole update.
            perception_scale: factor on gamma at this step, from its schedule and the collapse monitor.

        Returns:
            The loss, a scalar, and detached metrics. Both are sums over the micro-batch with the update's
            denominators: added over all micro-batches they are the values of the update.
        """
        assert evidence.corrupted is not None or not self.needs_corrupted, (
            "a term would drop out, or look at stale scores"
        )
        current, mask = evidence.current, evidence.response_mask
        dtype = current.logprobs.dtype
        weights = token_weights(mask, self.loss_aggregation, denominators.all_tokens, dtype=dtype)  # [B, T]

        surrogate_weights = weights
        if self.surrogate.visual_token_share is not None:
            # On which tokens the image matters is read off, not trained, whichever way the perception term is set.
            dependency = self.perception.values(
                current.logprobs.detach(), evidence.corrupted.logprobs.detach(), _detached(evidence.corrupted.full_kl)
            )
            visual = top_share(dependency, mask, self.surrogate.visual_token_share)
            surrogate_weights = token_weights(visual, self.loss_aggregation, denominators.visual, dtype=dtype)
        loss, metrics = self.surrogate(
            current.logprobs, evidence.old_logprobs, evidence.advantages, mask, surrogate_weights
        )
        metrics = {f"policy/{name}": value for name, value in metrics.items()}
        parts = {"policy": loss}

        if self.reference.coef > 0:
            values = self.reference.values(current.logprobs, evidence.reference.logprobs, evidence.reference.full_kl)
            metrics["policy/ref_kl"] = kl = weighted_sum(values, weights)
            if self.reference.place == "loss":
                parts["kl"] = self.reference.coef * kl

        if self.perception.coef > 0:
            corrupted = evidence.corrupted if self.perception.recompute == "update" else evidence.rollout_corrupted
            values = self.perception.values(current.logprobs, corrupted.logprobs, corrupted.full_kl)
            chosen = top_share(values, mask, self.perception.token_share)
            chosen_weights = token_weights(
                chosen,
                self.loss_aggregation,
                denominators.perception,
                self.response_weights(evidence.rewards, evidence.correct),
                dtype=dtype,
            )
            metrics["perception/kl"] = kl = weighted_sum(values, chosen_weights)
            parts["perception"] = -self.perception.coef * perception_scale * kl

        branches, corrupted = {"entropy": current}, evidence.corrupted or evidence.rollout_corrupted
        if corrupted is not None:
            branches["corrupted_entropy"] = corrupted
        coefs = {"entropy": self.entropy.coef, "corrupted_entropy": self.entropy.corrupted_coef}
        for name, scores in branches.items():
            metrics[f"policy/{name}"] = weighted_sum(scores.entropy, weights)
            if coefs[name] > 0:
                parts[name] = coefs[name] * weighted_sum(self.entropy.values(scores.logprobs, scores.entropy), weights)
        if self.entropy_hinge.coef > 0:
            outside = sum(
                weighted_sum(self.entropy_hinge.values(scores.entropy), weights) for scores in branches.values()
            )
            parts["entropy_hinge"] = self.entropy_hinge.coef * outside

        if self.robustness.coef > 0:
            values = self.robustness.values(current.logprobs, evidence.noised.logprobs, evidence.noised.full_kl)
            metrics["perception/robustness_kl"] = kl = weighted_sum(values, weights)
            parts["robustness"] = self.robustness.coef * kl

        loss = sum(parts.values())
        metrics |= {f"loss/{name}": value for name, value in parts.items()} | {"loss/total": loss}
        return loss, {name: value.detach() for name, value in metrics.items()}


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
