"""Sampled estimate of a KL divergence from the log-probabilities of the tokens that were drawn."""

from __future__ import annotations

from torch import Tensor

# exp(20) = 4.9e8 is still exact enough in float32; beyond it a ratio says "unrelated" and only risks overflow.
LOG_RATIO_LIMIT = 20.0


def k3(logprobs: Tensor, other_logprobs: Tensor, *, cap: float) -> Tensor:
    """exp(d) - d - 1 with d = log q - log p: unbiased for KL(p || q) when the tokens were drawn from p, never negative.

    Args:
        logprobs: log p of each token, nats, any shape.
        other_logprobs: log q of each token, nats, same shape.
        cap: largest value of a token, nats; at the cap its gradient is zero.

    Returns:
        The estimate per token, nats, same shape; gradient into both arguments.
    """
    d = (other_logprobs - logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return (d.exp() - d - 1).clamp(max=cap)
