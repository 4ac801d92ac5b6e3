"""Log-probabilities and entropies without a [tokens, vocabulary] tensor for the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def token_scores(
    hidden: Tensor, targets: Tensor, lm_head: Callable[[Tensor], Tensor], *, temperature: float, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """log pi(target) and H[pi] of each token, pi = softmax(lm_head(hidden) / temperature).

    Args:
        hidden: [K, H] last hidden states, K tokens of any rows.
        targets: [K] int64, the token that each state predicts.
        lm_head: maps [k, H] to logits [k, V].
        temperature: the sampling temperature; a policy is scored as it is sampled.
        chunk_tokens: k, the tokens whose logits exist at one time. Logits are recomputed in the backward pass.

    Returns:
        logprobs [K] and entropy [K], float32 nats, both with gradient where `hidden` or `lm_head` has it.
    """

    def score_chunk(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = lm_head(hidden).float() / temperature  # [k, V]; float32 because bfloat16 sums of 150k terms lose nats
        log_z = logits.logsumexp(-1)
        logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - log_z
        entropy = log_z - ((logits - log_z[:, None]).exp() * logits).sum(-1)
        return logprobs, entropy

    logprobs, entropy = zip(*in_chunks(score_chunk, (hidden, targets), chunk_tokens), strict=True)
    return torch.cat(logprobs), torch.cat(entropy)


def token_kl(
    hidden: Tensor,
    other_hidden: Tensor,
    lm_head: Callable[[Tensor], Tensor],
    other_lm_head: Callable[[Tensor], Tensor],
    *,
    temperature: float,
    chunk_tokens: int,
) -> Tensor:
    """KL(p || q) over the whole vocabulary at each token: sum_v p(v) (log p(v) - log q(v)).

    Args:
        hidden, other_hidden: [K, H] last hidden states of p and of q at the same K tokens.
        lm_head, other_lm_head: map [k, H] to logits [k, V].
        temperature, chunk_tokens: see `token_scores`.

    Returns:
        [K] float32 nats, with gradient into both sides where they have it.
    """

    def kl_chunk(hidden: Tensor, other_hidden: Tensor) -> tuple[Tensor]:
        log_p = (lm_head(hidden).float() / temperature).log_softmax(-1)
        log_q = (other_lm_head(other_hidden).float() / temperature).log_softmax(-1)
        return ((log_p.exp() * (log_p - log_q)).sum(-1),)

    return torch.cat([kl for (kl,) in in_chunks(kl_chunk, (hidden, other_hidden), chunk_tokens)])


def in_chunks(
    compute: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], chunk_tokens: int
) -> list[tuple[Tensor, ...]]:
    """`compute` on chunks of the inputs' first dimension; what it makes is made again in the backward pass."""
    parts = []
    for chunk in zip(*(tensor.split(chunk_tokens) for tensor in inputs), strict=True):
        if torch.is_grad_enabled() and len(inputs[0]) > chunk_tokens:
            parts.append(checkpoint(compute, *chunk, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(compute(*chunk))
    return parts
