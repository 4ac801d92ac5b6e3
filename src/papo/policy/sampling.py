"""How the next token is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from papo.errors import SettingError


@dataclass(frozen=True)
class Sampling:
    """Settings of a roll-out.

    Attributes:
        max_new_tokens: a response is cut off here, in tokens.
        temperature: divides the logits; 0 takes the likeliest token.
        top_p: keeps the smallest set of tokens whose probabilities sum to at least top_p; 1 keeps all.
        top_k: keeps the top_k likeliest tokens, and those as likely as the last of them; 0 keeps all.

    Raises:
        SettingError: a setting out of range.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise SettingError("max_new_tokens", f"must be at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise SettingError("temperature", f"must be 0 (greedy) or positive, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise SettingError("top_p", f"must lie in (0, 1], got {self.top_p}")
        if self.top_k < 0:
            raise SettingError("top_k", f"must be 0 (off) or positive, got {self.top_k}")

    @property
    def score_temperature(self) -> float:
        """The temperature under which responses are scored; greedy responses are scored by the unscaled policy."""
        return self.temperature or 1.0


def next_token_probs(logits: Tensor, sampling: Sampling, banned: Tensor) -> Tensor:
    """The distribution that the next token is drawn from.

    Args:
        logits: [b, V] float32, already divided by the temperature; not modified.
        banned: [k] int64, tokens that are never drawn.

    Returns:
        [b, V] probabilities, not normalised (`draw` divides by their sum).
    """
    logits = logits.index_fill(-1, banned, float("-inf"))
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    if sampling.top_k:
        kth = logits.topk(min(sampling.top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, float("-inf"))
    probs = logits.softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probs.sort(-1, descending=True)
        # A token stays while the tokens before it have not yet reached top_p, so the likeliest always stays.
        before = running_sum(ordered) - ordered
        probs = probs.scatter(-1, order, ordered.masked_fill(before >= sampling.top_p, 0.0))
    return probs


def draw(probs: Tensor, uniform: Tensor) -> Tensor:
    """The token at which the cumulative distribution passes `uniform`.

    One number per row decides the token, drawn before decoding starts: a response does not depend on which other rows
    are still running.

    Args:
        probs: [b, V], non-negative, not necessarily normalised.
        uniform: [b] in [0, 1).

    Returns:
        [b] int64. A token of probability 0 is never drawn.
    """
    cumulative = running_sum(probs)
    if probs.device.type != "cpu":
        cumulative = rising(cumulative, probs)
    # Just below 1, so that rounding cannot push the threshold past the last possible token.
    threshold = uniform.clamp(max=1 - 1e-6)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, threshold, right=True).squeeze(-1)
    return tokens.clamp(max=probs.shape[-1] - 1)  # of NaN every comparison is false: what drew it is told by its caller


def running_sum(x: Tensor) -> Tensor:
    """x.cumsum(-1), also under `torch.use_deterministic_algorithms` on CUDA, where torch refuses its own."""
    if x.device.type != "cpu" and torch.are_deterministic_algorithms_enabled():
        return doubling_sum(x)
    return x.cumsum(-1)


def rising(cumulative: Tensor, probs: Tensor) -> Tensor:
    """A running sum of probabilities that rises where there is one, and nowhere else.

    What was added up as a tree, as accelerators do it, has each prefix rounded along its own branches: by a unit in the
    last place it may rise where nothing was added, and fall.
    """
    return cumulative.masked_fill(probs == 0, 0.0).cummax(-1).values


def doubling_sum(x: Tensor) -> Tensor:
    """The running sum along the last dimension in log2(V) additions of shifted copies."""
    shift = 1
    while shift < x.shape[-1]:
        x = x + pad(x[..., :-shift], (shift, 0))
        shift *= 2
    return x
