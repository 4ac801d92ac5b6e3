"""Attention of whole responses to a prompt that their group shares, without a copy of the prompt for each.

Scoring G responses of T tokens to a prompt of P would otherwise put its keys and values before each of them, in
every layer, and keep them for the backward pass. Here the queries of a group meet the one copy of its prompt in one
fused attention, those of each response its own tokens in another; a softmax over both sets of keys is the two weighted
by their normalisers. Backwards, the fused kernels are given the output and the normaliser of the whole: with
P = exp(q k^T - log Z) and D = rowsum(dO * O), each part's gradient is exact for its own keys and values, and those of
the queries add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface

from papo.policy.caches import Group, GroupCache
from papo.policy.feed_forward import PIECE_TOKENS

NAME = "papo_group"

# Prompt tokens that would be copied, rows times P, from which sharing is worth its second pass over the queries.
SHARED_FROM = 8192

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def worth_sharing(rows: int, prompt_tokens: int, device: torch.device) -> bool:
    """Whether rows that continue prompts of P tokens share them. Of torch's fused kernels the CPU's are used here."""
    return device.type == "cpu" and rows * prompt_tokens >= SHARED_FROM


def group_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    group_cache: GroupCache,
    **kwargs,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, of [b, heads, T, D] queries; [b, T, heads, D].

    Args:
        key, value: [b, kv_heads, T, D], the rows' own; padding lies right.
        attention_mask: unused; own tokens are causal, and all of a prompt's are visible.
        group_cache: the prompts, and which rows continue each.
    """
    # Under autocast rotary positions leave queries and keys in float32; torch's own attention would cast them.
    query, key, *prompt = (x.to(value.dtype) for x in (query, key, *group_cache.prefix[module.layer_idx]))
    output = _GroupAttention.apply(query, key, value, *prompt, group_cache.groups, scaling)
    return output.transpose(1, 2), None


class _GroupAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, prompt_key, prompt_value, groups, scaling):
        b, heads, T, D = query.shape
        output = query.new_empty(b, T, heads, D).transpose(1, 2)  # as the kernel lays it out
        log_z = query.new_empty(query.shape[:-1], dtype=torch.promote_types(query.dtype, torch.float32))
        for n, start, rows in pieces(groups, T):
            asked, prompt = query[rows], (prompt_key[n : n + 1, :, start:], prompt_value[n : n + 1, :, start:])
            mine, own_mass = _forward(asked, *spread(heads, key[rows], value[rows]), 0.0, True, scale=scaling)
            theirs, mass = _forward(side_by_side(asked, prompt[0]), *prompt, 0.0, False, scale=scaling)
            theirs, mass = apart(theirs, asked), apart(mass[..., None], asked).squeeze(-1)
            log_z[rows] = total = torch.logaddexp(own_mass, mass)
            weights = [(part - total).exp()[..., None] for part in (own_mass, mass)]
            output[rows] = (mine * weights[0] + theirs * weights[1]).to(output.dtype)
        ctx.save_for_backward(query, key, value, prompt_key, prompt_value, output, log_z)
        ctx.groups, ctx.scaling = groups, scaling
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, of_output):
        query, key, value, prompt_key, prompt_value, output, log_z = ctx.saved_tensors
        heads, T, kv_heads = *query.shape[1:3], key.shape[1]
        of_query, of_key, of_value = (torch.empty_like(x) for x in (query, key, value))
        of_prompt = torch.zeros_like(prompt_key), torch.zeros_like(prompt_value)
        for n, start, rows in pieces(ctx.groups, T):
            of, asked, made, mass = (x[rows] for x in (of_output, query, output, log_z))
            own = spread(heads, key[rows], value[rows])
            of_asked, *of_own = _backward(of, asked, *own, made, mass, 0.0, True, scale=ctx.scaling)
            of_key[rows], of_value[rows] = (grad.unflatten(1, (kv_heads, -1)).sum(2) for grad in of_own)
            prompt = prompt_key[n : n + 1, :, start:], prompt_value[n : n + 1, :, start:]
            of, beside, made, mass = (side_by_side(x, prompt[0]) for x in (of, asked, made, mass[..., None]))
            grads = _backward(of, beside, *prompt, made, mass.squeeze(-1), 0.0, False, scale=ctx.scaling)
            of_query[rows] = of_asked + apart(grads[0], asked)
            for whole, part in zip(of_prompt, grads[1:], strict=True):
                whole[n, :, start:] += part[0]
        return of_query, of_key, of_value, *of_prompt, None, None


def pieces(groups: Iterable[Group], T: int) -> Iterator[Group]:
    """The groups, their rows of T tokens a few at a time: what is made on the way is small beside the whole."""
    for n, start, rows in groups:
        for few in rows.split(max(1, PIECE_TOKENS // T)):
            yield n, start, few


def spread(heads: int, *own: Tensor) -> list[Tensor]:
    """Keys or values of each head that asks, where several share theirs."""
    return [x.repeat_interleave(heads // x.shape[1], 1) for x in own]


def side_by_side(x: Tensor, prompt: Tensor) -> Tensor:
    """[r, heads, T, D] to [1, kv_heads, r * heads / kv_heads * T, D]: all that is asked of one key head of a prompt."""
    return x.unflatten(1, (prompt.shape[1], -1)).transpose(0, 1).flatten(1, 3)[None]


def apart(x: Tensor, like: Tensor) -> Tensor:
    """The way back, to the rows, heads and tokens of `like`; D is that of x."""
    rows, heads, tokens, _ = like.shape
    return x[0].view(x.shape[1], rows, heads // x.shape[1], tokens, -1).transpose(0, 1).flatten(1, 2)


AttentionInterface.register(NAME, group_attention)
