"""Feed-forward layers that work on a few tokens at a time where no gradient is recorded.

Their intermediates are two to seven times as wide as a state. Where nothing keeps them for a backward pass they would
be the largest tensors of scoring, prefill and the vision tower. Tokens do not meet there: pieces give the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Few enough that what is wide is small beside the states of a batch, enough for full matrix products.
PIECE_TOKENS = 2048


class InPieces:
    """A feed-forward layer's forward, of states [..., H]; within the module's call, so hooks around it run once."""

    def __init__(self, layer: nn.Module) -> None:
        self.forward = layer.forward

    def __call__(self, states: Tensor) -> Tensor:
        if torch.is_grad_enabled() or states.shape[:-1].numel() <= PIECE_TOKENS:
            return self.forward(states)
        pieces = states.flatten(0, -2).split(PIECE_TOKENS)
        return torch.cat([self.forward(piece) for piece in pieces]).unflatten(0, states.shape[:-1])


def in_pieces(blocks: Iterable[nn.Module]) -> None:
    """Changes each transformer block in place. One of experts is left as it is: it sends tokens about by itself."""
    for block in blocks:
        layer = getattr(block, "mlp", None)
        if isinstance(layer, nn.Module) and not hasattr(layer, "experts"):
            layer.forward = InPieces(layer)
