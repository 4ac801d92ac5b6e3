"""Entropy regularisers: keep the perception term from growing by making either policy random."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class DoubleEntropy:
    """eta_1 H[pi] + eta_2 H[pi_mask], MINIMISED (Eq. 5 of arXiv 2507.06448: the loss adds eta * H).

    Attributes:
        coef, corrupted_coef: eta_1, eta_2. Gradient reaches both branches (in the released code eta_2 has none).
        estimator: "full", over the whole next-token distribution; "sampled", -log pi of the sampled token (the released
            code), whose gradient has expectation zero in the policy that drew it.
    """

    coef: float = 0.0
    corrupted_coef: float = 0.0
    estimator: str = "full"

    def __post_init__(self) -> None:
        for name, value in (("entropy_coef", self.coef), ("corrupted_entropy_coef", self.corrupted_coef)):
            if value < 0:
                raise ValueError(f"{name} must be 0 (off) or positive, got {value}")
        if self.estimator not in ("full", "sampled"):
            raise ValueError(f"algorithm.objective.entropy.estimator must be full or sampled, got {self.estimator!r}")

    def values(self, logprobs: Tensor, entropy: Tensor) -> Tensor:
        """[B, T] nats per token of one branch, from its scores."""
        return entropy if self.estimator == "full" else -logprobs


@dataclass(frozen=True)
class EntropyHinge:
    """Keeps the entropies of both branches inside [low, high] nats at every token: the seed's regulariser.

        coef * (max(0, low - H) + max(0, H - high)), for H[pi] and H[pi_mask]

    It is another regulariser than the paper's double entropy: it pushes up as well as down, and rests in between.
    """

    coef: float = 0.0
    low: float = 0.1
    high: float = 2.0

    def __post_init__(self) -> None:
        key = "algorithm.objective.entropy_hinge"
        if self.coef < 0:
            raise ValueError(f"{key}.coef must be 0 (off) or positive, got {self.coef}")
        if not 0 <= self.low < self.high:
            raise ValueError(f"{key}.low and .high must satisfy 0 <= low < high, got {self.low} and {self.high}")

    def values(self, entropy: Tensor) -> Tensor:
        """[B, T] nats outside the bounds per token of one branch."""
        return (self.low - entropy).clamp(min=0) + (entropy - self.high).clamp(min=0)
