"""An objective that is like another one but for some settings; what tests of objectives and of training steps share."""

from collections.abc import Mapping
from dataclasses import replace

from papo.objective import Objective, Term


def having(objective: Objective, loss_aggregation: str | None = None, **terms: Term | Mapping | None) -> Objective:
    """The objective with other terms, terms with other settings, or without a term, in the same order.

    having(PAPO, perception={"coef": 0.1}, entropy=DoubleEntropy(0.2), robustness=None)
    """
    found = dict(objective.terms)
    for name, value in terms.items():
        found[name] = replace(found[name], **value) if isinstance(value, Mapping) else value
    kept = {name: term for name, term in found.items() if term is not None}
    return Objective(loss_aggregation or objective.loss_aggregation, **kept)
