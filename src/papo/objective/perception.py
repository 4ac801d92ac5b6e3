"""The implicit perception loss: how much the answer depends on the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from papo.errors import SettingError
from papo.objective.averages import RESPONSES, Means, Over
from papo.objective.branch import Branch, check_other_view
from papo.objective.divergence import DivergenceTerm
from papo.objective.term import Evidence, Value

SCHEDULES = ("constant", "linear", "cosine", "warmup")


@dataclass(frozen=True)
class PerceptionKL(DivergenceTerm):
    """KL_prcp between pi(. | q, I) and pi_mask = pi(. | q, I_mask), MAXIMISED with weight gamma (Eq. 2).

    The paper prints the inverse ratio inside k3, which would estimate chi^2 - KL; its released code and the default
    here estimate KL(pi || pi_mask), which its text describes.

    Attributes:
        coef, estimator, direction, cap: see DivergenceTerm; coef is gamma at its full height. The released code's cap
            is 10; TRL's 0.2 silences the most visual tokens.
        corrupted_gradient: whether the corrupted branch is pushed away too. Without it the gradient of k3 is, in
            expectation, that of the other direction; the full estimator has no such gap.
        recompute: "update" scores the corrupted branch with the current parameters; "rollout" once per step with those
            that wrote the responses (the released code), constant and stale from the second update on.
        token_share: averages over this share of each response's tokens, those with the largest values.
        responses: "all", "correct" ones only, or "weighted" by their reward.
        schedule: of the weight over the run: "constant"; "linear" or "cosine" down to 0; "warmup" from 0 over
            `warmup_share` of the run, from `start` on. A function of the step alone, which the checkpoint holds.
        warmup_share: see schedule.
        start: share of the run before which the weight is 0.
        view: what I_mask is.
    """

    DIRECTIONS: ClassVar[tuple[str, str]] = ("clean_to_corrupted", "corrupted_to_clean")
    headlines: ClassVar[Mapping[str, str]] = {"perception/kl": "kl_prcp"}

    direction: str = "clean_to_corrupted"
    corrupted_gradient: bool = True
    recompute: str = "update"
    token_share: float = 1.0
    responses: str = "all"
    schedule: str = "constant"
    warmup_share: float = 0.1
    start: float = 0.0
    view: str = "corrupted"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("recompute", ("update", "rollout"))
        self.check("responses", RESPONSES)
        self.check("schedule", SCHEDULES)
        for name in ("token_share", "warmup_share"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingError(name, f"must lie in (0, 1], got {getattr(self, name)}")
        if not 0 <= self.start < 1:
            raise SettingError("start", f"must lie in [0, 1), got {self.start}")
        check_other_view(self.view)

    @property
    def other(self) -> Branch:
        return Branch("current" if self.recompute == "update" else "rollout", self.view)

    @property
    def other_gradient(self) -> bool:
        return self.corrupted_gradient and self.recompute == "update"

    @property
    def over(self) -> Over:
        return Over(self.token_share, self.responses, pictured=True)

    def __call__(self, evidence: Evidence, means: Means) -> Value:
        if self.coef == 0:
            return Value({}, {})
        kl = self.kl(evidence)
        return Value(
            {"perception": -self.coef * means.loss(kl, self.over)}, {"perception/kl": means.metric(kl, self.over)}
        )

    def scale(self, progress: float) -> float:
        if progress < self.start:
            return 0.0
        if self.schedule == "linear":
            return 1 - progress
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "warmup":
            return min(1.0, (progress - self.start) / self.warmup_share)
        return 1.0
