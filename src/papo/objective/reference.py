"""The reference KL: how far the policy may drift from where it started."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from papo.objective.kl import ESTIMATORS, clamp, sampled_kl


@dataclass(frozen=True)
class ReferenceKL:
    """beta KL(pi || pi_ref), minimised; Eq. 2 of arXiv 2507.06448.

    Attributes:
        coef: beta.
        estimator: "k1", "k2", "k3" on the sampled tokens, or "full": the sum over the whole vocabulary at each token.
        cap: largest magnitude of a token's value, nats; None = none (released code: 10).
        place: "loss" adds it to the loss (GRPO); "reward" takes beta * sum_t k(o_t) of the policy that wrote the
            response from its reward before advantages are formed, as RLHF's PPO did; no gradient flows through it then.
    """

    coef: float
    estimator: str = "k3"
    cap: float | None = 10.0
    place: str = "loss"

    def __post_init__(self) -> None:
        key = "algorithm.objective.reference"
        if self.coef < 0:
            raise ValueError(f"kl_coef must be 0 (off) or positive, got {self.coef}")
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"{key}.estimator must be one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")
        if self.cap is not None and self.cap <= 0:
            raise ValueError(f"{key}.cap must be positive, or null for none, got {self.cap}")
        if self.place not in ("loss", "reward"):
            raise ValueError(f"{key}.place must be loss or reward, got {self.place!r}")
        if self.place == "reward" and self.estimator == "full":
            raise ValueError(f"{key}.estimator=full needs {key}.place=loss")

    def values(self, logprobs: Tensor, ref_logprobs: Tensor, full_kl: Tensor | None = None) -> Tensor:
        """[B, T] nats per token; `full_kl` [B, T] where the estimator is "full"."""
        if self.estimator == "full":
            return clamp(full_kl, self.cap)
        return sampled_kl(logprobs, ref_logprobs.detach(), self.estimator, cap=self.cap)
