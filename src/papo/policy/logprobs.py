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

    parts = []
    for chunk in zip(hidden.split(chunk_tokens), targets.split(chunk_tokens), strict=True):
        if torch.is_grad_enabled() and hidden.shape[0] > chunk_tokens:
            parts.append(checkpoint(score_chunk, *chunk, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(score_chunk(*chunk))
    logprobs, entropy = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropy)
