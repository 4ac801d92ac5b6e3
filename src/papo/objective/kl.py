"""Estimates of a KL divergence from the log-probabilities of tokens that the current policy drew."""

from __future__ import annotations

import torch
from torch import Tensor

# exp(20) = 4.9e8 is still exact enough in float32; beyond it a ratio says "unrelated" and only risks overflow.
LOG_RATIO_LIMIT = 20.0

ESTIMATORS = ("k1", "k2", "k3", "full")


def sampled_kl(
    logprobs: Tensor, other_logprobs: Tensor, estimator: str, *, reverse: bool = False, cap: float | None = None
) -> Tensor:
    """KL(p || q) per token, for tokens drawn from p; KL(q || p) if reverse. http://joschu.net/blog/kl-approx.html

    With d = log q - log p:

        k1 = -d             unbiased, may be negative; its gradient in p has expectation zero
        k2 = d^2 / 2        biased, the gradient that k1 should have
        k3 = e^d - d - 1    unbiased, never negative

    In reverse the same three of q against p, each weighted by q / p = e^d because the tokens are not q's own:

        k1 = e^d d          k2 = e^d d^2 / 2          k3 = e^d d - e^d + 1

    Args:
        logprobs: log p of each token, nats, any shape.
        other_logprobs: log q of each token, nats, same shape.
        estimator: "k1", "k2" or "k3".
        reverse: the direction.
        cap: largest magnitude of a token's value, nats, beyond which its gradient is zero; None = none. Unbounded, one
            token that q excludes outweighs the batch.

    Returns:
        The estimate per token, nats, same shape; gradient into both arguments.

    Raises:
        ValueError: the estimator is unknown, or is "full", which no sample can give.
    """
    d = (other_logprobs - logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    if estimator == "k1":
        value = d.exp() * d if reverse else -d
    elif estimator == "k2":
        value = d.square() / 2
        value = d.exp() * value if reverse else value
    elif estimator == "k3":
        value = d.exp() * d - d.exp() + 1 if reverse else d.exp() - d - 1
    else:
        raise ValueError(f"a sampled estimator is k1, k2 or k3, got {estimator!r}")
    return clamp(value, cap)


def clamp(value: Tensor, cap: float | None) -> Tensor:
    """`value` within [-cap, cap]."""
    return value if cap is None else torch.clamp(value, -cap, cap)
