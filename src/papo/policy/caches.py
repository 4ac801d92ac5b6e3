"""Key/value caches for the ways in which a language model is run here.

transformers calls `update(keys, values, layer_idx)` once per layer with tensors [batch, heads, tokens, head_dim] and
attends to what it returns. That one method is the whole contract: masks and positions are passed explicitly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache

Layers = list[tuple[Tensor, Tensor]]  # keys and values of each layer, [N, heads, P, head_dim]
Group = tuple[int, int, Tensor]  # which prompt, its first token behind the padding, and the rows [r] that continue it


class PrefillCache(Cache):
    """Remembers the keys and values of a prompt; gradient flows through them."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.prefix: Layers = []

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        if layer_idx == len(self.prefix):
            self.prefix.append((keys, values))
        # Else a checkpointed layer, run again in the backward pass: what others read stays what it first put here.
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


class GroupCache(Cache):
    """Leaves a prompt's keys and values, already computed, in one place for all rows that continue it.

    Args:
        prefix: of the N prompts.
        prompt_of_row: [b] int64, which prompt each row continues.
        prompt_mask: [N, P] bool; padding lies left.

    Attributes:
        groups: of each prompt that is continued.
    """

    def __init__(self, prefix: Layers, prompt_of_row: Tensor, prompt_mask: Tensor) -> None:
        super().__init__(layers=[])
        self.prefix = prefix
        starts = prompt_mask.int().argmax(-1).tolist()
        self.groups: list[Group] = [
            (n, starts[n], (prompt_of_row == n).nonzero().squeeze(-1)) for n in prompt_of_row.unique().tolist()
        ]

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        return keys, values


class DecodeCache(Cache):
    """Keys and values while b rows are decoded: each prompt's once, each row's own written in place.

    Rows continue prompts in order. Where some have finished, prompts have different numbers of rows left; `by_prompt`
    and `by_row` go between rows and a grid of n prompts with g rows each, whose free places hold zeros.

    Args:
        prefix: of the N prompts.
        prompt_mask: [N, P] bool.
        group_size: G, rows of each prompt.
        max_new_tokens: T, for which memory is set aside at once; no step copies what is already there.
    """

    def __init__(self, prefix: Layers, prompt_mask: Tensor, group_size: int, max_new_tokens: int) -> None:
        super().__init__(layers=[])
        N = len(prompt_mask)
        self.prefix = prefix
        self.prefix_mask = torch.zeros(prompt_mask.shape, device=prompt_mask.device).masked_fill(
            ~prompt_mask, float("-inf")
        )[:, None, None]  # [n, 1, 1, P]
        self.prompt_of_row = torch.arange(N, device=prompt_mask.device).repeat_interleave(group_size)  # [b]
        self.own_mask: Tensor | None = None  # of what `update` returns; None = all visible
        self.length = 0  # tokens that each row holds itself, the one that is being run included
        self.own: Layers = [
            tuple(kv.new_empty(N * group_size, kv.shape[1], max_new_tokens, kv.shape[3]) for kv in layer)
            for layer in prefix
        ]
        self._lay_out()

    def advance(self) -> None:
        """Makes room for one more token of each row; comes before the model is run on it."""
        self.length += 1

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Takes one token per row; the rows' own keys and values, this token's included."""
        for buffer, new in zip(self.own[layer_idx], (keys, values), strict=True):
            buffer[:, :, self.length - 1 : self.length] = new
        own_keys, own_values = self.own[layer_idx]
        return own_keys[:, :, : self.length], own_values[:, :, : self.length]

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but the given ones (in order), and prompts without rows: they cost nothing any more."""
        self.own = [(keys[rows], values[rows]) for keys, values in self.own]
        left, self.prompt_of_row = self.prompt_of_row[rows].unique_consecutive(return_inverse=True)
        if len(left) < len(self.prefix_mask):
            self.prefix = [(keys[left], values[left]) for keys, values in self.prefix]
            self.prefix_mask = self.prefix_mask[left]
        self._lay_out()

    def _lay_out(self) -> None:
        counts = self.prompt_of_row.bincount(minlength=len(self.prefix_mask))
        first = counts.cumsum(0) - counts
        rank = torch.arange(len(self.prompt_of_row), device=counts.device) - first[self.prompt_of_row]
        self.rows_per_prompt = int(counts.max())  # g
        self.place = self.prompt_of_row * self.rows_per_prompt + rank  # [b], in the flattened grid

    def by_prompt(self, x: Tensor) -> Tensor:
        """[b, heads, r, D] to [n, heads, g * r, D]: what the rows of a prompt ask, side by side."""
        n, g = len(self.prefix_mask), self.rows_per_prompt
        grid = x if len(x) == n * g else x.new_zeros(n * g, *x.shape[1:]).index_copy_(0, self.place, x)
        return grid.unflatten(0, (n, g)).transpose(1, 2).flatten(2, 3)

    def by_row(self, x: Tensor) -> Tensor:
        """[n, heads, g * r, D] to [b, heads, r, D]: the way back."""
        grid = x.unflatten(2, (self.rows_per_prompt, -1)).transpose(1, 2).flatten(0, 1)
        return grid if len(grid) == len(self.place) else grid.index_select(0, self.place)


class FixedDecodeCache(DecodeCache):
    """A DecodeCache in which nothing changes its shape or place from token to token, as a captured step needs it.

    Rows' own keys and values are read from a window that is wider than what is written, and `own_mask` hides the rest.
    The window doubles when it is full, so that no token reads much more than there is.

    Attributes:
        layout: a number that changes when shapes or places do: what was captured before is of no use then.
    """

    FIRST_WINDOW = 128  # tokens

    def __init__(self, prefix: Layers, prompt_mask: Tensor, group_size: int, max_new_tokens: int) -> None:
        self.layout = 0
        super().__init__(prefix, prompt_mask, group_size, max_new_tokens)
        self.most = max_new_tokens
        for kv in (kv for layer in self.own for kv in layer):
            kv.zero_()  # a place that holds NaN spoils the sum however little it weighs
        self.slot = torch.zeros(1, dtype=torch.long, device=prompt_mask.device)  # where the token is written
        self.own_mask = torch.zeros(0, device=prompt_mask.device)

    def advance(self) -> None:
        super().advance()
        window = len(self.own_mask)
        if self.length > window:
            wider = min(max(self.FIRST_WINDOW, 2 * window), self.most)
            self.own_mask = self.own_mask.new_full((wider,), float("-inf"))
            self.own_mask[:window] = 0
            self.layout += 1
        self.slot.fill_(self.length - 1)
        self.own_mask.index_fill_(0, self.slot, 0.0)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Takes one token per row; the window of the rows' own keys and values."""
        for buffer, new in zip(self.own[layer_idx], (keys, values), strict=True):
            buffer.index_copy_(2, self.slot, new)
        own_keys, own_values = self.own[layer_idx]
        window = len(self.own_mask)
        return own_keys[:, :, :window], own_values[:, :, :window]

    def _lay_out(self) -> None:
        super()._lay_out()
        self.layout += 1
