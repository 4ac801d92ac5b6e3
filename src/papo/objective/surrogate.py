"""The clipped policy-gradient surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from papo.objective.aggregation import weighted_sum
from papo.objective.kl import LOG_RATIO_LIMIT

RATIO_LEVELS = ("token", "sequence")


@dataclass(frozen=True)
class Surrogate:
    """-sum_t w_t min(r_t A, clip(r_t, 1 - eps_l, 1 + eps_h) A); Eq. 2 of arXiv 2507.06448, to be minimised.

    Attributes:
        clip_low: eps_l in (0, 1].
        clip_high: eps_h; above eps_l it is DAPO's clip-higher, None is no upper bound (the seed's variant).
        dual_clip: c > 1: where A < 0 the objective is at least c A, so that a token which the policy has made far
            likelier cannot dominate (arXiv 1912.09729, Eq. 5; the released code uses 3, the paper none). None = off.
        ratio: "token", or "sequence" for GSPO's geometric mean of the token ratios (arXiv 2507.18071, Eq. 7).
        visual_token_share: only this share of each response's tokens, those that depend most on the image, gets a
            policy gradient, averaged over them alone (the idea of VPPO, arXiv 2510.09285, with 0.4). None = all tokens.
    """

    clip_low: float = 0.2
    clip_high: float | None = 0.2
    dual_clip: float | None = None
    ratio: str = "token"
    visual_token_share: float | None = None

    def __post_init__(self) -> None:
        key = "algorithm.objective.surrogate"
        if not 0 < self.clip_low <= 1:
            raise ValueError(f"{key}.clip_low must lie in (0, 1], got {self.clip_low}")
        if self.clip_high is not None and self.clip_high <= 0:
            raise ValueError(f"{key}.clip_high must be positive, or null for no upper bound, got {self.clip_high}")
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise ValueError(f"{key}.dual_clip must exceed 1, or be null for none, got {self.dual_clip}")
        if self.ratio not in RATIO_LEVELS:
            raise ValueError(f"{key}.ratio must be one of {', '.join(RATIO_LEVELS)}, got {self.ratio!r}")
        if self.visual_token_share is not None and not 0 < self.visual_token_share <= 1:
            raise ValueError(f"{key}.visual_token_share must lie in (0, 1], or be null, got {self.visual_token_share}")

    def __call__(
        self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, weights: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar, and metrics.

        Args:
            logprobs: [B, T] nats, log pi of the policy that is updated; carries the gradient.
            old_logprobs: [B, T] nats, log pi_old of the policy that wrote the responses; constant.
            advantages: [B], one per response; constant.
            mask: [B, T] bool, the tokens of each response.
            weights: [B, T] from `token_weights`.

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
        loss = -weighted_sum(objective, weights)
        with torch.no_grad():
            stopped = {"clip_frac_low": (ratio < low) & (advantages < 0)}
            if high is not None:
                stopped["clip_frac_high"] = (ratio > high) & (advantages > 0)
            if self.dual_clip is not None:
                stopped["clip_frac_dual"] = (ratio > self.dual_clip) & (advantages < 0)
            metrics = {name: weighted_sum(where.to(weights.dtype), weights) for name, where in stopped.items()}
            # The contract's tag exists without an upper bound too: nothing is clipped by it.
            metrics.setdefault("clip_frac_high", torch.zeros_like(loss))
            metrics["ratio_mean"] = weighted_sum(ratio, weights)
        return loss, metrics
