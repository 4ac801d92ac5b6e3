"""The robustness KL: the answer should not depend on light noise in the picture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from papo.objective.kl import ESTIMATORS, clamp, sampled_kl


@dataclass(frozen=True)
class RobustnessKL:
    """lambda KL(pi(. | q, I) || pi(. | q, I_noised)), MINIMISED: the idea of DVRP (arXiv 2601.06801).

    It is the counterpart of the perception loss: a view that has lost what matters should change the answer, a view
    that has not should not. The view is made by `algorithm.noise`. Gradient reaches both branches.

    Attributes:
        coef: lambda; 0 = off.
        estimator: "k1", "k2", "k3" on the sampled tokens, or "full": the sum over the whole vocabulary at each token.
        cap: largest magnitude of a token's value, nats; None = none.
    """

    coef: float = 0.0
    estimator: str = "k3"
    cap: float | None = 10.0

    def __post_init__(self) -> None:
        key = "algorithm.objective.robustness"
        if self.coef < 0:
            raise ValueError(f"{key}.coef must be 0 (off) or positive, got {self.coef}")
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"{key}.estimator must be one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")
        if self.cap is not None and self.cap <= 0:
            raise ValueError(f"{key}.cap must be positive, or null for none, got {self.cap}")

    def values(self, logprobs: Tensor, noised_logprobs: Tensor, full_kl: Tensor | None = None) -> Tensor:
        """[B, T] nats per token; `full_kl` [B, T] where the estimator is "full"."""
        if self.estimator == "full":
            return clamp(full_kl, self.cap)
        return sampled_kl(logprobs, noised_logprobs, self.estimator, cap=self.cap)
