"""GRPO, DAPO, GSPO and PAPO as one sum of terms; a coefficient of 0 removes a term and the passes that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from papo.errors import SettingError
from papo.objective.aggregation import AGGREGATIONS, Denominators
from papo.objective.averages import Means, Over, count
from papo.objective.branch import CURRENT, Branch, Need, merged
from papo.objective.term import Evidence, RewardPart, Term


class Objective:
    """loss = surrogate + beta KL_ref - gamma KL_prcp + eta_1 H[pi] + eta_2 H[pi_mask] + ...; minimised.

    Args:
        loss_aggregation: see `token_weights`; of all terms.
        terms: by name; each file has its equation. Their order is that of the sum.

    Raises:
        SettingError: an unknown aggregation, or something that is no term.
    """

    def __init__(self, loss_aggregation: str, **terms: Term) -> None:
        if loss_aggregation not in AGGREGATIONS:
            raise SettingError(
                "loss_aggregation", f"must be one of {', '.join(AGGREGATIONS)}, got {loss_aggregation!r}"
            )
        for name, term in terms.items():
            if not isinstance(term, Term):
                raise SettingError(name, f"must be a term of the objective, got {term!r}")
        self.loss_aggregation = loss_aggregation
        self.terms: Mapping[str, Term] = terms

    def passes(self) -> dict[Branch, Need]:
        """Every branch that a term looks at, and all that is needed of it."""
        return merged(term.passes() for term in self.terms.values())

    def reward_parts(self) -> Sequence[RewardPart]:
        """What the terms pay responses for."""
        return [part for term in self.terms.values() for part in term.reward_parts()]

    def headlines(self) -> dict[str, str]:
        """Metrics that are worth a place on the progress bar, and their short names there."""
        return {metric: name for term in self.terms.values() for metric, name in term.headlines.items()}

    def scales(self, progress: float) -> dict[str, float]:
        """The factor on each term's parts at `progress`, the share of the run that lies behind."""
        return {name: term.scale(progress) for name, term in self.terms.items()}

    def denominators(
        self, response_mask: Tensor, rewards: Tensor, correct: Tensor, pictured: Tensor, *, horizon: int
    ) -> dict[Over, Denominators]:
        """Counts over a whole update, see `count`."""
        overs = dict.fromkeys(over for term in self.terms.values() for over in term.overs())
        return count(overs, response_mask, rewards, correct, pictured, horizon=horizon)

    def __call__(
        self,
        evidence: Evidence,
        denominators: Mapping[Over, Denominators],
        *,
        scales: Mapping[str, float] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics of one micro-batch.

        Args:
            evidence: of the micro-batch.
            denominators: counts over the whole update.
            scales: factor on the parts of each term by its name, 1 where none is given.

        Returns:
            The loss, a scalar, and detached metrics. Both are sums over the micro-batch with the update's
            denominators: added over all micro-batches they are the values of the update.
        """
        missing = self.passes().keys() - evidence.scores.keys()
        assert not missing, f"a term would look at nothing: {', '.join(map(str, missing))}"
        means = Means(
            evidence.response_mask,
            evidence.rewards,
            evidence.correct,
            evidence.pictured,
            aggregation=self.loss_aggregation,
            denominators=denominators,
            dtype=evidence.scores[CURRENT].logprobs.dtype,
        )
        parts: dict[str, Tensor] = {}
        metrics: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            value = term(evidence, means)
            scale = 1.0 if scales is None else scales.get(name, 1.0)
            put(parts, {part: loss if scale == 1 else scale * loss for part, loss in value.parts.items()}, name)
            put(metrics, {metric: found for metric, found in value.metrics.items() if found is not None}, name)
        loss = sum(parts.values())
        metrics |= {f"loss/{name}": value for name, value in parts.items()} | {"loss/total": loss}
        return loss, {name: value.detach() for name, value in metrics.items()}


def put(into: dict[str, Tensor], values: Mapping[str, Tensor], term: str) -> None:
    """Adds the values of a term; of two terms of one class, the second's bear its name as well."""
    into |= {f"{name}_{term}" if name in into else name: value for name, value in values.items()}
