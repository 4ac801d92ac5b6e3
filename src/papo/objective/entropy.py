"""Entropy regularisers: keep the perception term from growing by making either policy random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from papo.errors import SettingError
from papo.objective.averages import ALL, Means, Over
from papo.objective.branch import CURRENT, Branch, Need, Passes, check_other_view
from papo.objective.term import Evidence, Term, Value

PICTURED = Over(pictured=True)


@dataclass(frozen=True)
class DoubleEntropy(Term):
    """eta_1 H[pi] + eta_2 H[pi_mask], MINIMISED (Eq. 5 of arXiv 2507.06448: the loss adds eta * H).

    Attributes:
        coef, corrupted_coef: eta_1, eta_2. Gradient reaches both branches (in the released code eta_2 has none).
        estimator: "full", over the whole next-token distribution; "sampled", -log pi of the sampled token (the released
            code), whose gradient has expectation zero in the policy that drew it.
        view: what I_mask is.
    """

    coef: float = 0.0
    corrupted_coef: float = 0.0
    estimator: str = "full"
    view: str = "corrupted"

    def __post_init__(self) -> None:
        for name in ("coef", "corrupted_coef"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingError(name, f"must be 0 (off) or positive, got {getattr(self, name)}")
        if self.estimator not in ("full", "sampled"):
            raise SettingError("estimator", f"must be full or sampled, got {self.estimator!r}")
        check_other_view(self.view)

    def passes(self) -> Passes:
        """Only what is trained; the entropy of a branch that others ask for is reported all the same."""
        coefs = {CURRENT: self.coef, Branch("current", self.view): self.corrupted_coef}
        return {branch: Need(gradient=True) for branch, coef in coefs.items() if coef > 0}

    def overs(self) -> Sequence[Over]:
        return (ALL, PICTURED)

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        branches = {"entropy": (CURRENT, self.coef, ALL)}
        for policy in ("current", "rollout"):
            if (branch := Branch(policy, self.view)) in evidence.scores:
                branches.setdefault("corrupted_entropy", (branch, self.corrupted_coef, PICTURED))
        parts, metrics = {}, {}
        for name, (branch, coef, over) in branches.items():
            scores = evidence.scores[branch]
            metrics[f"policy/{name}"] = means.metric(scores.entropy, over)
            if coef > 0:
                parts[name] = coef * means.loss(self.values(scores.logprobs, scores.entropy), over)
        return Value(parts, metrics)

    def values(self, logprobs: Tensor, entropy: Tensor) -> Tensor:
        """[B, T] nats per token of one branch, from its scores."""
        return entropy if self.estimator == "full" else -logprobs


@dataclass(frozen=True)
class EntropyHinge(Term):
    """Keeps the entropies of both branches inside [low, high] nats at every token: the seed's regulariser.

        coef * (max(0, low - H) + max(0, H - high)), for H[pi] and H[pi_mask]

    It is another regulariser than the paper's double entropy: it pushes up as well as down, and rests in between.

    Attributes:
        view: what I_mask is.
    """

    coef: float = 0.0
    low: float = 0.1
    high: float = 2.0
    view: str = "corrupted"

    def __post_init__(self) -> None:
        if not 0 <= self.coef < float("inf"):
            raise SettingError("coef", f"must be 0 (off) or positive, got {self.coef}")
        if not self.high > 0:
            raise SettingError("high", f"must be positive, got {self.high}")
        if not 0 <= self.low < self.high:
            raise SettingError("low", f"must lie in [0, {self.high}) (high), got {self.low}")
        check_other_view(self.view)

    def passes(self) -> Passes:
        if self.coef == 0:
            return {}
        return {CURRENT: Need(gradient=True), Branch("current", self.view): Need(gradient=True)}

    def overs(self) -> Sequence[Over]:
        return (ALL, PICTURED)

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        if self.coef == 0:
            return Value({}, {})
        both = {CURRENT: ALL, Branch("current", self.view): PICTURED}
        outside = sum(means.loss(self.values(evidence.scores[branch].entropy), over) for branch, over in both.items())
        return Value({"entropy_hinge": self.coef * outside}, {})

    def values(self, entropy: Tensor) -> Tensor:
        """[B, T] nats outside the bounds per token of one branch."""
        return (self.low - entropy).clamp(min=0) + (entropy - self.high).clamp(min=0)
