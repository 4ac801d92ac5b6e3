"""Signs that a policy writes nonsense: tokens that chance would not take, and text that says itself again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from papo.types import Responses

# Tokens in a row that count as repeated: one or two come again in any list ("red = 4, blue = 4").
NGRAM = 3

SIGNS = ("unlikely", "repeated")


def gibberish(responses: Responses, vocabulary: int) -> dict[str, Tensor]:
    """Each sign of each response, [B] in [0, 1] on the CPU.

    unlikely: share of its tokens with log p < -log V, which a uniform distribution over the vocabulary would rather
        draw. At temperature 1 a policy that knows what to write draws few of them.
    repeated: share of its runs of NGRAM tokens that it has had before.
    """
    mask = responses.response_mask
    unlikely = ((responses.logprobs < -math.log(vocabulary)) & mask).sum(-1) / mask.sum(-1).clamp(min=1)
    texts = [ids[real].tolist() for ids, real in zip(responses.response_ids, mask, strict=True)]
    return {"unlikely": unlikely.float().cpu(), "repeated": torch.tensor([repeated(tokens) for tokens in texts])}


def repeated(tokens: list[int]) -> float:
    """
    >>> repeated([1, 2, 3, 4]), repeated([1, 2, 1, 2, 1, 2])
    (0.0, 0.5)
    """
    runs = [tuple(tokens[start : start + NGRAM]) for start in range(len(tokens) - NGRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
