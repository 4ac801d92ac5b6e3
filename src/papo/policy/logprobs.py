"""Log-probabilities, entropies and divergences without a [tokens, vocabulary] tensor for the whole batch.

Logits exist for one chunk of tokens at a time, and are made again in the backward pass. What is computed from them has
its gradient written out: a real vocabulary has 150,000 tokens, and autograd would keep half a dozen tensors of that
width where one or two do.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

Head = Callable[[Tensor], Tensor]  # [k, H] to logits [k, V]


def token_scores(
    hidden: Tensor, targets: Tensor, lm_head: Head, *, temperature: float, chunk_tokens: int
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
        return _Scores.apply(scaled_logits(lm_head, hidden, temperature), targets)

    logprobs, entropy = zip(*in_chunks(score_chunk, (hidden, targets), chunk_tokens), strict=True)
    return torch.cat(logprobs), torch.cat(entropy)


def token_kl(
    hidden: Tensor,
    other_hidden: Tensor,
    lm_head: Head,
    other_lm_head: Head,
    *,
    temperature: float,
    chunk_tokens: int,
    constant: Literal["p", "q"] | None = None,
) -> Tensor:
    """KL(p || q) over the whole vocabulary at each token: sum_v p(v) (log p(v) - log q(v)).

    Args:
        hidden, other_hidden: [K, H] last hidden states of p and of q at the same K tokens.
        lm_head, other_lm_head: map [k, H] to logits [k, V].
        temperature, chunk_tokens: see `token_scores`.
        constant: the side that sends no gradient anywhere. Detached states alone would leave it one: into its head,
            which is the other side's too and often the embedding.

    Returns:
        [K] float32 nats, with gradient into both sides' states and heads where these have it, but for `constant`.
    """

    def kl_chunk(hidden: Tensor, other_hidden: Tensor) -> tuple[Tensor]:
        with torch.no_grad() if constant == "p" else nullcontext():
            logits = scaled_logits(lm_head, hidden, temperature)
        with torch.no_grad() if constant == "q" else nullcontext():
            other_logits = scaled_logits(other_lm_head, other_hidden, temperature)
        return (_Divergence.apply(logits, other_logits),)

    return torch.cat([kl for (kl,) in in_chunks(kl_chunk, (hidden, other_hidden), chunk_tokens)])


def scaled_logits(lm_head: Head, hidden: Tensor, temperature: float) -> Tensor:
    """[k, V] float32, because sums of 150,000 terms in bfloat16 lose nats."""
    logits = lm_head(hidden).float()
    return logits if temperature == 1 else logits / temperature  # each division is a tensor of this size, twice


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


class _Scores(torch.autograd.Function):
    """log pi(target) [k] and H[pi] [k] of logits z [k, V].

    With g and h the gradients of the two: dz = g (1[v = target] - pi(v)) - h pi(v) (log pi(v) + H[pi]).
    """

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        log_z = logits.logsumexp(-1)
        logprobs = logits.gather(-1, targets[:, None]).squeeze(-1) - log_z
        entropy = log_z - (logits - log_z[:, None]).exp_().mul_(logits).sum(-1)
        ctx.save_for_backward(logits, targets, log_z, entropy)
        ctx.set_materialize_grads(False)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, of_logprobs: Tensor | None, of_entropy: Tensor | None) -> tuple[Tensor, None]:
        logits, targets, log_z, entropy = ctx.saved_tensors
        pi = (logits - log_z[:, None]).exp_()
        if of_logprobs is None:
            of_logprobs = torch.zeros_like(log_z)
        if of_entropy is None:
            gradient = pi.mul_(-of_logprobs[:, None])
        else:
            offset = of_entropy * (log_z - entropy) - of_logprobs
            gradient = pi.mul_(torch.addcmul(offset[:, None], logits, of_entropy[:, None], value=-1))
        return gradient.scatter_add_(-1, targets[:, None], of_logprobs[:, None]), None


class _Divergence(torch.autograd.Function):
    """KL(p || q) [k] of logits y and z, [k, V] each.

    With g its gradient: dy = g p(v) (log p(v) - log q(v) - KL) and dz = g (q(v) - p(v)).
    """

    @staticmethod
    def forward(ctx, logits: Tensor, other_logits: Tensor) -> Tensor:
        log_p, log_q = logits.log_softmax(-1), other_logits.log_softmax(-1)
        kl = (log_p - log_q).mul_(log_p.exp()).sum(-1)
        ctx.save_for_backward(log_p, log_q, kl)
        return kl

    @staticmethod
    @once_differentiable
    def backward(ctx, of_kl: Tensor) -> tuple[Tensor | None, Tensor | None]:
        log_p, log_q, kl = ctx.saved_tensors
        p, into_p, into_q = log_p.exp(), None, None
        if ctx.needs_input_grad[0]:
            into_p = (log_p - log_q).sub_(kl[:, None]).mul_(p).mul_(of_kl[:, None])
        if ctx.needs_input_grad[1]:
            into_q = log_q.exp().sub_(p).mul_(of_kl[:, None])
        return into_p, into_q
