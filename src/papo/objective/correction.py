"""Importance weights for responses that were drawn by another program than the one that scores them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from papo.errors import SettingError
from papo.objective.kl import LOG_RATIO_LIMIT

LEVELS = ("token", "sequence")


@dataclass(frozen=True)
class RolloutCorrection:
    """w = min(cap, pi_old / pi_engine), which multiplies the surrogate's loss of each token; constant.

    pi_old is the policy that the responses are meant to be of, as `score` has it; pi_engine the same weights as another
    program computes them, which the tokens were really drawn from (truncated importance sampling).

        token       w_t = min(cap, pi_old(o_t) / pi_engine(o_t)): what came before o_t stays the engine's
        sequence    w = min(cap, prod_t pi_old(o_t) / pi_engine(o_t)), the same at each token: without a cap the
                    expected gradient is that of responses of pi_old; its variance grows with their length

    Attributes:
        cap: largest weight; what lies above is cut off and biases the gradient. None = no bound.
        level: "token" or "sequence".

    Raises:
        SettingError: a setting out of range.
    """

    cap: float | None = 2.0
    level: str = "token"

    def __post_init__(self) -> None:
        if self.cap is not None and not self.cap > 0:
            raise SettingError("cap", f"must be positive, or null for no bound, got {self.cap}")
        if self.level not in LEVELS:
            raise SettingError("level", f"must be one of {', '.join(LEVELS)}, got {self.level!r}")

    @torch.no_grad()
    def ratios(self, old_logprobs: Tensor, engine_logprobs: Tensor, mask: Tensor) -> Tensor:
        """[B, T] pi_old / pi_engine of each token or of its whole response, before the cap; 1 outside of `mask`.

        Args:
            old_logprobs, engine_logprobs: [B, T] nats, of the same tokens under the same temperature.
            mask: [B, T] bool, the tokens of each response.
        """
        log_ratio = (old_logprobs - engine_logprobs).masked_fill(~mask, 0.0)
        if self.level == "sequence":
            log_ratio = log_ratio.sum(-1, keepdim=True).expand_as(mask).masked_fill(~mask, 0.0)
        return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()

    def capped(self, ratios: Tensor) -> Tensor:
        """The weights [B, T]."""
        return ratios if self.cap is None else ratios.clamp(max=self.cap)
