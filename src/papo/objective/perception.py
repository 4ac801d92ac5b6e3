"""The implicit perception loss: how much the answer depends on the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from papo.objective.kl import ESTIMATORS, clamp, sampled_kl

DIRECTIONS = ("clean_to_corrupted", "corrupted_to_clean")
RESPONSES = ("all", "correct", "weighted")
SCHEDULES = ("constant", "linear", "cosine", "warmup")


@dataclass(frozen=True)
class PerceptionKL:
    """KL_prcp between pi(. | q, I) and pi_mask = pi(. | q, I_mask), MAXIMISED with weight gamma (Eq. 2).

    The paper prints the inverse ratio inside k3, which would estimate chi^2 - KL; its released code and the default
    here estimate KL(pi || pi_mask), which its text describes.

    Attributes:
        coef: gamma at its full height.
        estimator: "k1", "k2", "k3" on the sampled tokens, or "full": the sum over the whole vocabulary at each token.
        direction: "clean_to_corrupted" is KL(pi || pi_mask), "corrupted_to_clean" is KL(pi_mask || pi).
        corrupted_gradient: whether the corrupted branch is pushed away too. Without it the gradient of k3 is, in
            expectation, that of the other direction; the full estimator has no such gap.
        recompute: "update" scores the corrupted branch with the current parameters; "rollout" once per step with those
            that wrote the responses (the released code), constant and stale from the second update on.
        cap: largest magnitude of a token's value, nats; None = none. Unbounded, one token that pi_mask excludes
            outweighs the batch; at the cap its gradient is zero (released code: 10; TRL's 0.2 silences the most
            visual).
        token_share: averages over this share of each response's tokens, those with the largest values.
        responses: "all", "correct" ones only, or "weighted" by their reward.
        schedule: of the weight over the run: "constant"; "linear" or "cosine" down to 0; "warmup" from 0 over
            the first `warmup_share` of the run. A function of the step alone, which the checkpoint holds.
        warmup_share: see schedule.
        masks: "prompt": the G responses of a prompt share one corrupted image; "response": each has its own, at G times
            the vision tower and prompt passes of the corrupted branch.
    """

    coef: float
    estimator: str = "k3"
    direction: str = "clean_to_corrupted"
    corrupted_gradient: bool = True
    recompute: str = "update"
    cap: float | None = 10.0
    token_share: float = 1.0
    responses: str = "all"
    schedule: str = "constant"
    warmup_share: float = 0.1
    masks: str = "prompt"

    def __post_init__(self) -> None:
        key = "algorithm.objective.perception"
        if self.coef < 0:
            raise ValueError(f"perception_coef must be 0 (off) or positive, got {self.coef}")
        for name, known in (
            ("estimator", ESTIMATORS),
            ("direction", DIRECTIONS),
            ("recompute", ("update", "rollout")),
            ("responses", RESPONSES),
            ("schedule", SCHEDULES),
            ("masks", ("prompt", "response")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{key}.{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.cap is not None and self.cap <= 0:
            raise ValueError(f"{key}.cap must be positive, or null for none, got {self.cap}")
        for name in ("token_share", "warmup_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{key}.{name} must lie in (0, 1], got {getattr(self, name)}")
        if self.recompute == "rollout" and self.estimator == "full":
            raise ValueError(
                f"{key}.estimator=full needs {key}.recompute=update: the other branch's logits are not kept"
            )

    def values(self, logprobs: Tensor, corrupted_logprobs: Tensor, full_kl: Tensor | None = None) -> Tensor:
        """[B, T] nats per token, with gradient into what carries one.

        Args:
            logprobs: [B, T] nats, log pi on the image.
            corrupted_logprobs: [B, T] nats, log pi_mask: the same policy on the corrupted image.
            full_kl: [B, T] nats, over the whole vocabulary in this term's direction; where the estimator is "full".
        """
        if self.estimator == "full":
            return clamp(full_kl, self.cap)
        if not self.corrupted_gradient:
            corrupted_logprobs = corrupted_logprobs.detach()
        reverse = self.direction == "corrupted_to_clean"
        return sampled_kl(logprobs, corrupted_logprobs, self.estimator, reverse=reverse, cap=self.cap)

    def scale(self, progress: float) -> float:
        """Factor on the weight at `progress`, the share of the run that lies behind, in [0, 1]."""
        if self.schedule == "linear":
            return 1 - progress
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "warmup":
            return min(1.0, progress / self.warmup_share)
        return 1.0
