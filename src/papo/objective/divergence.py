"""What the KL terms share: another branch that the current policy is held against."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from papo.errors import SettingError
from papo.objective.averages import Over
from papo.objective.branch import CLEAN, CURRENT, Branch, Need, Passes
from papo.objective.kl import ESTIMATORS, clamp, sampled_kl
from papo.objective.term import Evidence, Term


@dataclass(frozen=True)
class DivergenceTerm(Term):
    """A KL divergence between the current policy on the picture and another branch, at each response token.

    Attributes:
        coef: weight in the loss; 0 = off.
        estimator: "k1", "k2", "k3" on the sampled tokens, or "full": the sum over the whole vocabulary at each token.
        direction: the first of DIRECTIONS is KL(pi || other), the second KL(other || pi).
        cap: largest magnitude of a token's value, nats; None = none. At the cap its gradient is zero. Unbounded, one
            token that the other branch excludes outweighs the batch.
    """

    DIRECTIONS: ClassVar[tuple[str, str]] = ("policy_to_other", "other_to_policy")

    coef: float = 0.0
    estimator: str = "k3"
    direction: str = "policy_to_other"
    cap: float | None = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.coef < float("inf"):
            raise SettingError("coef", f"must be 0 (off) or positive, got {self.coef}")
        self.check("estimator", ESTIMATORS)
        self.check("direction", self.DIRECTIONS)
        if self.cap is not None and not self.cap > 0:
            raise SettingError("cap", f"must be positive, or null for none, got {self.cap}")

    def check(self, name: str, known: tuple[str, ...]) -> None:
        if getattr(self, name) not in known:
            raise SettingError(name, f"must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    @property
    @abstractmethod
    def other(self) -> Branch:
        """The branch that the current policy is held against."""

    @property
    def other_gradient(self) -> bool:
        """Whether the term's gradient reaches the other branch."""
        return self.other.policy == "current"

    @property
    def over(self) -> Over:
        """What it is averaged over: not prompts without a picture, where it looks at another view."""
        return Over(pictured=self.other.view != CLEAN)

    def overs(self) -> Sequence[Over]:
        return (self.over,)

    def passes(self) -> Passes:
        if self.coef == 0:
            return {}
        full = self.estimator == "full"
        return {CURRENT: Need(gradient=True, states=full), self.other: Need(self.other_gradient, states=full)}

    def kl(self, evidence: Evidence) -> Tensor:
        """[B, T] nats per token, with gradient into what carries one."""
        full_kl = None
        if self.estimator == "full":
            p, q = (CURRENT, self.other) if self.direction == self.DIRECTIONS[0] else (self.other, CURRENT)
            full_kl = evidence.full_kl(p, q, constant=None if self.other_gradient else self.other)
        return self.values(evidence.scores[CURRENT].logprobs, evidence.scores[self.other].logprobs, full_kl)

    def values(self, logprobs: Tensor, other_logprobs: Tensor, full_kl: Tensor | None = None) -> Tensor:
        """[B, T] nats per token, with gradient into what carries one.

        Args:
            logprobs: [B, T] nats, log pi on the picture.
            other_logprobs: [B, T] nats, of the other branch.
            full_kl: [B, T] nats, over the whole vocabulary in this term's direction; where the estimator is "full".
        """
        if self.estimator == "full":
            return clamp(full_kl, self.cap)
        if not self.other_gradient:
            other_logprobs = other_logprobs.detach()
        reverse = self.direction != self.DIRECTIONS[0]
        return sampled_kl(logprobs, other_logprobs, self.estimator, reverse=reverse, cap=self.cap)
