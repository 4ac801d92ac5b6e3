"""The clipped policy-gradient surrogate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from papo.errors import SettingError
from papo.objective.aggregation import weighted_sum
from papo.objective.averages import ALL, Means, Over
from papo.objective.branch import CURRENT, OLD, Branch, Need, Passes, check_other_view
from papo.objective.kl import ESTIMATORS, LOG_RATIO_LIMIT, sampled_kl
from papo.objective.term import Evidence, Term, Value

RATIO_LEVELS = ("token", "sequence")


@dataclass(frozen=True)
class Surrogate(Term):
    """-sum_t w_t min(r_t A, clip(r_t, 1 - eps_l, 1 + eps_h) A); Eq. 2 of arXiv 2507.06448, to be minimised.

    Attributes:
        clip_low: eps_l in (0, 1].
        clip_high: eps_h; above eps_l it is DAPO's clip-higher, None is no upper bound (the seed's variant).
        dual_clip: c > 1: where A < 0 the objective is at least c A, so that a token which the policy has made far
            likelier cannot dominate (arXiv 1912.09729, Eq. 5; the released code uses 3, the paper none). None = off.
        ratio: "token", or "sequence" for GSPO's geometric mean of the token ratios (arXiv 2507.18071, Eq. 7).
        visual_token_share: only this share of each response's tokens, those that depend most on the image, gets a
            policy gradient, averaged over them alone (the idea of VPPO, arXiv 2510.09285, with 0.4). None = all tokens.
        visual_estimator: by which KL(pi || pi_mask) that is told: "k1", "k2", "k3" or "full".
        view: what I_mask is.
    """

    clip_low: float = 0.2
    clip_high: float | None = 0.2
    dual_clip: float | None = None
    ratio: str = "token"
    visual_token_share: float | None = None
    visual_estimator: str = "k3"
    view: str = "corrupted"

    def __post_init__(self) -> None:
        if not 0 < self.clip_low <= 1:
            raise SettingError("clip_low", f"must lie in (0, 1], got {self.clip_low}")
        if self.clip_high is not None and not self.clip_high > 0:
            raise SettingError("clip_high", f"must be positive, or null for no upper bound, got {self.clip_high}")
        if self.dual_clip is not None and not self.dual_clip > 1:
            raise SettingError("dual_clip", f"must exceed 1, or be null for none, got {self.dual_clip}")
        for name, known in (("ratio", RATIO_LEVELS), ("visual_estimator", ESTIMATORS)):
            if getattr(self, name) not in known:
                raise SettingError(name, f"must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.visual_token_share is not None and not 0 < self.visual_token_share <= 1:
            raise SettingError("visual_token_share", f"must lie in (0, 1], or be null, got {self.visual_token_share}")
        check_other_view(self.view)

    def passes(self) -> Passes:
        passes = {CURRENT: Need(gradient=True), OLD: Need()}
        if self.visual_token_share is not None:
            states = self.visual_estimator == "full"
            passes |= {CURRENT: Need(gradient=True, states=states), Branch("current", self.view): Need(states=states)}
        return passes

    @property
    def over(self) -> Over:
        return ALL if self.visual_token_share is None else Over(self.visual_token_share)

    def overs(self) -> Sequence[Over]:
        return (self.over,)

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        dependency = None if self.visual_token_share is None else self.dependency(evidence)
        loss, metrics = self.loss(
            evidence.scores[CURRENT].logprobs,
            evidence.scores[OLD].logprobs,
            evidence.advantages,
            evidence.response_mask,
            means.weights(self.over, dependency),
            lambda values: means.metric(values, self.over, dependency),
            evidence.importance,
        )
        return Value({"policy": loss}, {f"policy/{name}": value for name, value in metrics.items()})

    @torch.no_grad()
    def dependency(self, evidence: Evidence) -> Tensor:
        """[B, T] nats, how much each token depends on the picture: read off, not trained."""
        corrupted = Branch("current", self.view)
        if self.visual_estimator == "full":
            return evidence.full_kl(CURRENT, corrupted)
        clean, masked = (evidence.scores[branch].logprobs for branch in (CURRENT, corrupted))
        return sampled_kl(clean, masked, self.visual_estimator)

    def loss(
        self,
        logprobs: Tensor,
        old_logprobs: Tensor,
        advantages: Tensor,
        mask: Tensor,
        weights: Tensor,
        mean: Callable[[Tensor], Tensor],
        importance: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar, and metrics.

        Args:
            logprobs: [B, T] nats, log pi of the policy that is updated; carries the gradient.
            old_logprobs: [B, T] nats, log pi_old of the policy that wrote the responses; constant.
            advantages: [B], one per response; constant.
            mask: [B, T] bool, the tokens of each response.
            weights: [B, T] of the loss, from `token_weights`.
            mean: of [B, T] over the update's tokens, for the metrics.
            importance: [B, T], factor on each token's loss where another program drew it; constant. None = 1.

        Returns:
            The loss, and ratio_mean and the weighted shares of tokens at which the lower bound, the upper bound and the
            dual clip take the gradient away.
        """
        log_ratio = (logprobs - old_logprobs.detach()).masked_fill(~mask, 0.0)
        if self.ratio == "sequence":
            log_ratio = log_ratio.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
        ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().expand_as(logprobs)  # [B, T]
        advantages = advantages.detach()[:, None]
        low, high = 1 - self.clip_low, None if self.clip_high is None else 1 + self.clip_high
        objective = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
        if self.dual_clip is not None:
            floor = self.dual_clip * advantages
            objective = torch.where(advantages < 0, torch.maximum(objective, floor), objective)
        if importance is not None:
            objective = importance.detach() * objective
        loss = -weighted_sum(objective, weights)
        with torch.no_grad():
            stopped = {"clip_frac_low": (ratio < low) & (advantages < 0)}
            if high is not None:
                stopped["clip_frac_high"] = (ratio > high) & (advantages > 0)
            if self.dual_clip is not None:
                stopped["clip_frac_dual"] = (ratio > self.dual_clip) & (advantages < 0)
            metrics = {name: mean(where.to(weights.dtype)) for name, where in stopped.items()}
            # The contract's tag exists without an upper bound too: nothing is clipped by it.
            metrics.setdefault("clip_frac_high", torch.zeros_like(loss))
            metrics["ratio_mean"] = mean(ratio)
        return loss, metrics
