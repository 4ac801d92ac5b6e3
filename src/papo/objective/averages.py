"""Means over the tokens of an update, taken micro-batch by micro-batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from papo.objective.aggregation import (
    AGGREGATIONS,
    Denominators,
    token_weights,
    top_share,
    top_share_lengths,
    weighted_sum,
)

RESPONSES = ("all", "correct", "weighted")


@dataclass(frozen=True)
class Over:
    """What a mean is taken over.

    Attributes:
        token_share: of each response's tokens, those with the largest values; all of one without a picture, whose
            other view is the same.
        responses: "all", "correct" ones only, or "weighted" by their reward.
        pictured: only responses to prompts with a picture: of the others there is no other view.
    """

    token_share: float = 1.0
    responses: str = "all"
    pictured: bool = False

    def response_weights(self, rewards: Tensor, correct: Tensor, pictured: Tensor) -> Tensor | None:
        """[B] how much each response counts; None = all alike."""
        weights = None
        if self.responses == "correct":
            weights = correct.to(rewards.dtype)
        elif self.responses == "weighted":
            weights = rewards.clamp(min=0)
        if self.pictured:
            weights = pictured.to(rewards.dtype) if weights is None else weights * pictured
        return weights


ALL = Over()


def count(
    overs: Iterable[Over], response_mask: Tensor, rewards: Tensor, correct: Tensor, pictured: Tensor, *, horizon: int
) -> dict[Over, Denominators]:
    """The denominators of every mean over a whole update, from [B, T], [B], [B] and [B].

    Args:
        horizon: longest possible response, tokens.
    """
    lengths = response_mask.sum(-1)

    def kept(share: float) -> Tensor:
        return torch.where(pictured.to(lengths.device).bool(), top_share_lengths(lengths, share), lengths)

    return {
        over: Denominators.of(kept(over.token_share), horizon, over.response_weights(rewards, correct, pictured))
        for over in overs
    }


class Means:
    """A micro-batch's share of the means over its update.

    Args:
        response_mask: [B, T] bool, the tokens that are trained on.
        rewards, correct, pictured: [B], of the responses.
        aggregation: of the loss, see `token_weights`.
        denominators: from `count`, over the whole update.
        dtype: of the values that are averaged.
    """

    def __init__(
        self,
        response_mask: Tensor,
        rewards: Tensor,
        correct: Tensor,
        pictured: Tensor,
        *,
        aggregation: str,
        denominators: Mapping[Over, Denominators],
        dtype: torch.dtype,
    ) -> None:
        assert aggregation in AGGREGATIONS
        self.mask = response_mask
        self.responses = (rewards, correct, pictured)
        self.aggregation = aggregation
        self.denominators = denominators
        self.dtype = dtype

    def weights(self, over: Over = ALL, values: Tensor | None = None) -> Tensor:
        """[B, T] weight of each token in the loss; `values` [B, T] rank the tokens where a share of them is kept."""
        return self._weights(over, values, self.aggregation)

    def loss(self, values: Tensor, over: Over = ALL) -> Tensor:
        """The mean of [B, T] as the loss takes it, a scalar; gradient into `values`, not into which were kept."""
        return weighted_sum(values, self.weights(over, values))

    def metric(self, values: Tensor, over: Over = ALL, rank: Tensor | None = None) -> Tensor | None:
        """The mean with weights that sum to 1 over the update, detached; tokens ranked by `rank`, else by `values`.

        None where the update has nothing to average over: a mean of 0 would be a statement.
        """
        if self.denominators[over].tokens == 0:
            return None
        # Dr. GRPO's weights sum to mean length over horizon: its mean over tokens is that of all tokens alike.
        aggregation = "token-mean" if self.aggregation == "seq-mean-token-sum-norm" else self.aggregation
        values = values.detach()
        return weighted_sum(values, self._weights(over, values if rank is None else rank, aggregation))

    def _weights(self, over: Over, values: Tensor | None, aggregation: str) -> Tensor:
        tokens = self.mask
        if over.token_share < 1:
            pictured = self.responses[-1].to(tokens.device).bool()[:, None]
            tokens = torch.where(pictured, top_share(values, tokens, over.token_share), tokens)
        return token_weights(
            tokens, aggregation, self.denominators[over], over.response_weights(*self.responses), dtype=self.dtype
        )
