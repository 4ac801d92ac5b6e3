"""Key/value caches for the three ways in which a language model is run here.

transformers calls `update(keys, values, layer_idx)` once per layer with tensors [batch, heads, tokens, head_dim] and
attends to what it returns. That one method is the whole contract: masks and positions are passed explicitly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache

Layers = list[tuple[Tensor, Tensor]]  # keys and values of each layer, [N, heads, P, head_dim]


class PrefillCache(Cache):
    """Remembers the keys and values of a prompt; gradient flows through them."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.prefix: Layers = []

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        assert layer_idx == len(self.prefix), "layers run in order, once each"
        self.prefix.append((keys, values))
        return keys, values


class SharedPrefixCache(Cache):
    """Puts each row's prompt, already computed, in front of its response, all response tokens at once.

    Args:
        prefix: of the N prompts.
        prompt_of_row: [b] int64, which prompt each row continues. Gradient sums into the shared prompt.
    """

    def __init__(self, prefix: Layers, prompt_of_row: Tensor) -> None:
        super().__init__(layers=[])
        self.prefix = prefix
        self.prompt_of_row = prompt_of_row

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        prefix_keys, prefix_values = self.prefix[layer_idx]
        return self._join(prefix_keys, keys), self._join(prefix_values, values)

    def _join(self, prefix: Tensor, own: Tensor) -> Tensor:
        return torch.cat([prefix.index_select(0, self.prompt_of_row), own], dim=2)  # [b, heads, P + T, head_dim]


class DecodeCache(Cache):
    """Preallocated for B rows, written in place one token at a time; no step copies what is already there."""

    def __init__(self, prefix: Layers, group_size: int, max_new_tokens: int) -> None:
        super().__init__(layers=[])
        self.length = prefix[0][0].shape[2]  # P; the caller raises it by one per token
        self.buffers: Layers = [
            (self._allocate(keys, group_size, max_new_tokens), self._allocate(values, group_size, max_new_tokens))
            for keys, values in prefix
        ]

    @staticmethod
    def _allocate(prefix: Tensor, group_size: int, max_new_tokens: int) -> Tensor:
        N, heads, P, head_dim = prefix.shape
        buffer = prefix.new_empty(N, group_size, heads, P + max_new_tokens, head_dim)
        buffer[:, :, :, :P] = prefix.unsqueeze(1)
        return buffer.flatten(0, 1)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        end = self.length + keys.shape[2]
        for buffer, new in zip(self.buffers[layer_idx], (keys, values), strict=True):
            buffer[:, :, self.length : end] = new
        key_buffer, value_buffer = self.buffers[layer_idx]
        return key_buffer[:, :, :end], value_buffer[:, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but the given ones, so that finished responses cost nothing any more."""
        self.buffers = [(keys[rows], values[rows]) for keys, values in self.buffers]
