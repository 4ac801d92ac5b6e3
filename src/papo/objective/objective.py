"""GRPO, DAPO and PAPO as one sum of terms; a coefficient of 0 removes a term and the forward pass that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from papo.objective.aggregation import AGGREGATIONS, Denominators, token_weights, weighted_sum
from papo.objective.entropy import mean_entropy
from papo.objective.kl import k3
from papo.objective.perception import perception_kl
from papo.objective.surrogate import clipped_surrogate
from papo.types import Scores


@dataclass(frozen=True)
class Objective:
    """loss = surrogate + beta KL_ref - gamma KL_prcp + eta_1 H[pi] + eta_2 H[pi_mask]; minimised.

    Attributes:
        clip_low, clip_high: eps_l, eps_h.
        kl_coef: beta, weight of KL(pi || pi_ref).
        perception_coef: gamma.
        entropy_coef, corrupted_entropy_coef: eta_1, eta_2.
        corrupted_gradient: whether KL_prcp also trains the corrupted branch.
        kl_cap: largest k3 value of one token, nats (released code: 10).
        loss_aggregation: see `token_weights`.
    """

    clip_low: float
    clip_high: float
    kl_coef: float
    perception_coef: float
    entropy_coef: float
    corrupted_entropy_coef: float
    corrupted_gradient: bool
    kl_cap: float
    loss_aggregation: str

    def __post_init__(self) -> None:
        for name in ("kl_coef", "perception_coef", "entropy_coef", "corrupted_entropy_coef"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 (off) or positive, got {getattr(self, name)}")
        if not 0 < self.clip_low < 1:
            raise ValueError(f"algorithm.objective.clip_low must lie in (0, 1), got {self.clip_low}")
        if self.clip_high <= 0:
            raise ValueError(f"algorithm.objective.clip_high must be positive, got {self.clip_high}")
        if self.kl_cap <= 0:
            raise ValueError(f"algorithm.objective.kl_cap must be positive, got {self.kl_cap}")
        if self.loss_aggregation not in AGGREGATIONS:
            raise ValueError(
                f"algorithm.objective.loss_aggregation must be one of {', '.join(AGGREGATIONS)}, "
                f"got {self.loss_aggregation!r}"
            )

    @property
    def needs_reference(self) -> bool:
        return self.kl_coef > 0

    @property
    def needs_corrupted(self) -> bool:
        return self.perception_coef > 0 or self.corrupted_entropy_coef > 0

    @property
    def needs_corrupted_gradient(self) -> bool:
        return (self.perception_coef > 0 and self.corrupted_gradient) or self.corrupted_entropy_coef > 0

    def __call__(
        self,
        current: Scores,
        old_logprobs: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        denominators: Denominators,
        *,
        ref_logprobs: Tensor | None = None,
        corrupted: Scores | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics of one micro-batch.

        Args:
            current: scores of the updated policy on the image, [B, T], with gradient.
            old_logprobs: [B, T] nats, of the policy that wrote the responses.
            advantages: [B].
            response_mask: [B, T] bool.
            denominators: counts over the whole update.
            ref_logprobs: [B, T] nats, where `needs_reference`.
            corrupted: scores on the corrupted image, [B, T], where `needs_corrupted`.

        Returns:
            The loss, a scalar, and detached metrics. Both are sums over the micro-batch with the update's
            denominators: added over all micro-batches they are the values of the update.
        """
        weights = token_weights(response_mask, self.loss_aggregation, denominators)  # [B, T]
        surrogate, metrics = clipped_surrogate(
            current.logprobs, old_logprobs, advantages, weights, clip_low=self.clip_low, clip_high=self.clip_high
        )
        metrics = {f"policy/{name}": value for name, value in metrics.items()}
        parts = {"policy": surrogate}
        entropy = mean_entropy(current.entropy, weights)
        metrics["policy/entropy"] = entropy
        if self.entropy_coef > 0:
            parts["entropy"] = self.entropy_coef * entropy
        if self.needs_reference:
            kl = weighted_sum(k3(current.logprobs, ref_logprobs.detach(), cap=self.kl_cap), weights)
            metrics["policy/ref_kl"] = kl
            parts["kl"] = self.kl_coef * kl
        if self.needs_corrupted:
            kl = perception_kl(
                current.logprobs,
                corrupted.logprobs,
                weights,
                corrupted_gradient=self.corrupted_gradient,
                cap=self.kl_cap,
            )
            corrupted_entropy = mean_entropy(corrupted.entropy, weights)
            metrics |= {"perception/kl": kl, "policy/corrupted_entropy": corrupted_entropy}
            if self.perception_coef > 0:
                parts["perception"] = -self.perception_coef * kl
            if self.corrupted_entropy_coef > 0:
                parts["corrupted_entropy"] = self.corrupted_entropy_coef * corrupted_entropy
        loss = sum(parts.values())
        metrics |= {f"loss/{name}": value for name, value in parts.items()} | {"loss/total": loss}
        return loss, {name: value.detach() for name, value in metrics.items()}
