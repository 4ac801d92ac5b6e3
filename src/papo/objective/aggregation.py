"""How per-token values become one number: each term of the objective is sum(weights * values)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

AGGREGATIONS = ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm")


@dataclass(frozen=True)
class Denominators:
    """What one update averages over, counted over ALL its micro-batches, so that they add up to the same gradient."""

    responses: float  # sum of the response weights of responses with at least one token
    tokens: float  # sum over responses of response weight times tokens
    horizon: int  # longest possible response, the constant divisor of seq-mean-token-sum-norm

    @staticmethod
    def of(lengths: Tensor, horizon: int, response_weights: Tensor | None = None) -> Denominators:
        """Counts for a whole update.

        Args:
            lengths: [B] tokens of each response that the term averages over.
            horizon: `max_new_tokens`.
            response_weights: [B] >= 0, 1 throughout if None.
        """
        weights = torch.ones(len(lengths)) if response_weights is None else response_weights
        # First to the CPU: not every device has float64.
        lengths, weights = lengths.cpu().double(), weights.cpu().double()
        return Denominators(
            responses=float((weights * (lengths > 0)).sum()), tokens=float((weights * lengths).sum()), horizon=horizon
        )


def token_weights(
    mask: Tensor,
    aggregation: str,
    denominators: Denominators,
    response_weights: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weight of each token, [B, T], 0 outside of `mask`.

    seq-mean-token-mean: 1/B 1/|o_i|, GRPO and PAPO-G (Eq. 2 of arXiv 2507.06448: 1/G sum_i 1/|o_i| sum_t).
    token-mean: 1/sum_i |o_i|, DAPO and PAPO-D (arXiv 2503.14476, Eq. 8).
    seq-mean-token-sum-norm: 1/B 1/horizon, Dr. GRPO: no response counts less for being long (arXiv 2503.20783).

    The first two sum to 1 over a whole update. With response weights w_i, 1/B becomes w_i / sum w, and a token of
    token-mean w_i / sum_i w_i |o_i|. All weights are 0 where the update has nothing to average over.

    Args:
        mask: [B, T] bool, the tokens that the term averages over, rows of one micro-batch.
        denominators: counts over the whole update.
        response_weights: [B], as given to `Denominators.of`.
        dtype: of the weights; that of the values they will weigh.

    Raises:
        ValueError: the aggregation is unknown.
    """
    weights = mask.to(dtype)
    if response_weights is not None:
        weights = weights * response_weights.to(dtype)[:, None]
    if aggregation == "seq-mean-token-mean":
        # The clamp only keeps a row without tokens at 0 instead of NaN.
        weights = weights / mask.sum(-1, keepdim=True).clamp(min=1)
        total = denominators.responses
    elif aggregation == "token-mean":
        total = denominators.tokens
    elif aggregation == "seq-mean-token-sum-norm":
        total = denominators.responses * denominators.horizon
    else:
        raise ValueError(
            f"algorithm.objective.loss_aggregation must be one of {', '.join(AGGREGATIONS)}, got {aggregation!r}"
        )
    return weights / total if total > 0 else torch.zeros_like(weights)


def weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """sum(weights * values) over [B, T], where a weight of 0 removes even a NaN or an infinity."""
    return (values.masked_fill(weights == 0, 0.0) * weights).sum()


def top_share_lengths(lengths: Tensor, share: float) -> Tensor:
    """[B] how many tokens `top_share` keeps of responses with the given lengths: ceil(share * |o_i|)."""
    # In whole millionths: 0.28 * 25 is 7.000000000000001 in floating point, and not every device has float64.
    return (lengths * max(1, round(share * 1_000_000)) + 999_999) // 1_000_000


def top_share(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """[B, T] bool: of each response the ceil(share * |o_i|) tokens with the largest values; ties go to the earlier one.

    How many is known from the lengths alone, so that the denominators of an update are known before its values are.

    Args:
        values: [B, T], detached by the choice itself.
        mask: [B, T] bool.
        share: in (0, 1].
    """
    if share == 1:
        return mask
    kept = top_share_lengths(mask.sum(-1), share)[:, None]  # [B, 1]
    ordered = values.detach().masked_fill(~mask, -math.inf).argsort(dim=-1, descending=True, stable=True)
    rank = ordered.argsort(-1)
    return (rank < kept) & mask
