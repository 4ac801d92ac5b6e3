"""The robustness KL: the answer should not depend on light noise in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from papo.objective.averages import Means
from papo.objective.branch import Branch, check_other_view
from papo.objective.divergence import DivergenceTerm
from papo.objective.term import Evidence, Value


@dataclass(frozen=True)
class RobustnessKL(DivergenceTerm):
    """lambda KL(pi(. | q, I) || pi(. | q, I_noised)), MINIMISED: the idea of DVRP (arXiv 2601.06801).

    It is the counterpart of the perception loss: a view that has lost what matters should change the answer, a view
    that has not should not. Gradient reaches both branches.

    Attributes:
        coef, estimator, direction, cap: see DivergenceTerm; coef is lambda.
        view: what I_noised is.
    """

    DIRECTIONS: ClassVar[tuple[str, str]] = ("clean_to_noised", "noised_to_clean")

    direction: str = "clean_to_noised"
    view: str = "noised"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_other_view(self.view)

    @property
    def other(self) -> Branch:
        return Branch("current", self.view)

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        if self.coef == 0:
            return Value({}, {})
        kl = self.kl(evidence)
        return Value(
            {"robustness": self.coef * means.loss(kl, self.over)},
            {"perception/robustness_kl": means.metric(kl, self.over)},
        )
