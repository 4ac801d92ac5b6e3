"""Attention of one new token per row to a prompt that many rows share, and to the row's own tokens.

Decoding reads every key and value once per token. Repeating a prompt's for each of the G responses makes that G times
the reading and G times the memory; here the G queries meet the one copy in one matrix product. Exact: a softmax over
two sets of keys is the two softmaxes weighted by their normalisers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from papo.policy.caches import DecodeCache
from papo.policy.casting import autocasts

NAME = "papo_shared_prefix"
LOW = (torch.bfloat16, torch.float16)  # what torch multiplies into float32 on a CUDA device


def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    decode_cache: DecodeCache,
    **kwargs,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, of [b, heads, 1, D] queries; [b, 1, heads, D].

    Args:
        key, value: [b, kv_heads, t, D], the rows' own.
        attention_mask: unused; what is visible is known from the cache.
        decode_cache: holds the shared prefix and which prompt each row continues.
    """
    b, heads, _, D = query.shape
    kv_heads = key.shape[1]
    q = query.view(b, kv_heads, heads // kv_heads, D)  # the query heads of one key head, side by side
    if value.dtype == torch.float32:  # nothing is lost, and there are fewer queries than scores
        q, scaling = q * scaling, 1.0
    own, own_mass = attend(q, key, value, decode_cache.own_mask, scaling)
    prefix = decode_cache.prefix[module.layer_idx]
    shared, shared_mass = attend(decode_cache.by_prompt(q), *prefix, decode_cache.prefix_mask, scaling)
    shared, shared_mass = decode_cache.by_row(shared), decode_cache.by_row(shared_mass)
    weight = (shared_mass - own_mass).sigmoid()  # of the prefix in one softmax over both sets of keys
    output = torch.lerp(own.float(), shared.float(), weight).to(query.dtype)
    return output.view(b, 1, heads, D), None


def attend(
    q: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scaling: float = 1.0
) -> tuple[Tensor, Tensor]:
    """softmax(q K^T * scaling) V and the logarithm of the softmax's normaliser.

    Args:
        q: [..., r, D].
        key, value: [..., t, D]; what is computed in is the type of the values.
        mask: additive, broadcast to [..., r, t].

    Returns:
        [..., r, D] and [..., r, 1] float32.
    """
    # Under autocast rotary positions leave queries and keys in float32; torch's own attention would cast them.
    scores = products(q.to(value.dtype), key.to(value.dtype))
    if mask is not None:
        scores = torch.add(mask, scores, alpha=scaling)
    elif scaling != 1:
        scores = scores.mul_(scaling)
    highest = scores.amax(-1, keepdim=True)
    weights = (scores - highest).exp_()
    total = weights.sum(-1, keepdim=True)
    return torch.matmul(weights.to(value.dtype), value) / total.to(value.dtype), highest + total.log()


def products(q: Tensor, key: Tensor) -> Tensor:
    """q K^T of [..., r, D] and [..., t, D] in float32, whatever these are in, also under autocast.

    A softmax is of differences of scores, and where all are large, as models with large biases of keys have them
    (Qwen2.5), bfloat16's eight bits hold no differences. Torch's own attention keeps scores in float32 too.
    """
    with torch.autocast(q.device.type, enabled=False) if autocasts(q.device.type) else nullcontext():
        if q.dtype in LOW and q.is_cuda and torch.version.cuda:
            of = torch.bmm(q.flatten(0, -3), key.flatten(0, -3).transpose(-1, -2), out_dtype=torch.float32)
            return of.view(*q.shape[:-1], -1)
        return torch.matmul(q.float(), key.float().transpose(-1, -2))


@contextmanager
def attending(language_model: PreTrainedModel, name: str) -> Iterator[None]:
    """Within it the model attends by the function registered under that name."""
    config = language_model.config
    usual = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = usual


AttentionInterface.register(NAME, shared_prefix_attention)
