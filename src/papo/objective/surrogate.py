"""The clipped policy-gradient surrogate."""

from __future__ import annotations

import torch
from torch import Tensor

from papo.objective.aggregation import weighted_sum
from papo.objective.kl import LOG_RATIO_LIMIT


def clipped_surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """-sum_t w_t min(r_t A, clip(r_t, 1 - eps_l, 1 + eps_h) A); Eq. 2 of arXiv 2507.06448, to be minimised.

    Args:
        logprobs: [B, T] nats, log pi of the policy that is updated; carries the gradient.
        old_logprobs: [B, T] nats, log pi_old of the policy that wrote the responses; constant.
        advantages: [B], one per response; constant.
        weights: [B, T] from `token_weights`.
        clip_low, clip_high: eps_l and eps_h; eps_h > eps_l is DAPO's clip-higher.

    Returns:
        The loss, a scalar, and metrics: ratio_mean, and the weighted shares of tokens at which the lower and the upper
        bound takes the gradient away.
    """
    log_ratio = (logprobs - old_logprobs.detach()).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()  # [B, T]
    advantages = advantages.detach()[:, None]
    unclipped = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    loss = -weighted_sum(torch.minimum(unclipped, clipped), weights)
    with torch.no_grad():
        metrics = {
            "ratio_mean": weighted_sum(ratio, weights),
            "clip_frac_low": weighted_sum(((ratio < 1 - clip_low) & (advantages < 0)).float(), weights),
            "clip_frac_high": weighted_sum(((ratio > 1 + clip_high) & (advantages > 0)).float(), weights),
        }
    return loss, metrics
