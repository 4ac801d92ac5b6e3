"""How per-token values become one number: each term of the objective is sum(weights * values)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

AGGREGATIONS = ("seq-mean-token-mean", "token-mean")


@dataclass(frozen=True)
class Denominators:
    """What one update averages over, counted over ALL its micro-batches, so that they add up to the same gradient."""

    responses: int
    tokens: int

    @staticmethod
    def of(response_mask: Tensor) -> Denominators:
        """Counts for a whole update from its response_mask [B, T]."""
        return Denominators(responses=response_mask.shape[0], tokens=int(response_mask.sum()))


def token_weights(response_mask: Tensor, aggregation: str, denominators: Denominators) -> Tensor:
    """Weight of each token, [B, T] float32, 0 at padding; over a whole update the weights sum to 1.

    seq-mean-token-mean: 1/B 1/|o_i|, GRPO and PAPO-G (Eq. 2 of arXiv 2507.06448: 1/G sum_i 1/|o_i| sum_t).
    token-mean: 1/sum_i |o_i|, DAPO and PAPO-D.

    Args:
        response_mask: [B, T] bool, the rows of one micro-batch.
        denominators: counts over the whole update.

    Raises:
        ValueError: the aggregation is unknown.
    """
    mask = response_mask.float()
    if aggregation == "seq-mean-token-mean":
        # A response has at least one token; the clamp only keeps a fully masked row at 0 instead of NaN.
        return mask / mask.sum(-1, keepdim=True).clamp(min=1) / denominators.responses
    if aggregation == "token-mean":
        return mask / denominators.tokens
    raise ValueError(
        f"algorithm.objective.loss_aggregation must be one of {', '.join(AGGREGATIONS)}, got {aggregation!r}"
    )


def weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """sum(weights * values) over [B, T], where a weight of 0 removes even a NaN or an infinity."""
    return (values.masked_fill(weights == 0, 0.0) * weights).sum()
