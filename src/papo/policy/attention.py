"""Attention of one new token per row to a prompt that many rows share, and to the row's own tokens.

Decoding reads every key and value once per token. Repeating a prompt's for each of the G responses makes that G times
the reading and G times the memory; here the G queries meet the one copy in one matrix product. Exact: a softmax over
two sets of keys is the two softmaxes weighted by their normalisers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from papo.policy.caches import DecodeCache

NAME = "papo_shared_prefix"


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
    q = query.view(b, kv_heads, heads // kv_heads, D) * scaling  # the query heads of one key head, side by side
    own, own_mass = attend(q, key, value, decode_cache.own_mask)
    prefix_key, prefix_value = decode_cache.prefix[module.layer_idx]
    shared, shared_mass = attend(decode_cache.by_prompt(q), prefix_key, prefix_value, decode_cache.prefix_mask)
    shared, shared_mass = decode_cache.by_row(shared), decode_cache.by_row(shared_mass)
    weight = (shared_mass - own_mass).sigmoid()  # of the prefix in one softmax over both sets of keys
    output = torch.lerp(own.float(), shared.float(), weight).to(query.dtype)
    return output.view(b, 1, heads, D), None


def attend(q: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """softmax(q K^T) V and the logarithm of the softmax's normaliser.

    Args:
        q: [..., r, D], already scaled.
        key, value: [..., t, D].
        mask: additive, broadcast to [..., r, t].

    Returns:
        [..., r, D] and [..., r, 1] float32.
    """
    scores = torch.matmul(q, key.transpose(-1, -2)).float()
    if mask is not None:
        scores = scores + mask
    highest = scores.amax(-1, keepdim=True)
    weights = (scores - highest).exp_()
    total = weights.sum(-1, keepdim=True)
    return torch.matmul(weights.to(value.dtype), value) / total.to(value.dtype), highest + total.log()


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
