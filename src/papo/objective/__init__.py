"""The objective: pure functions on tensors, no model, trainer or configuration."""

from papo.objective.advantage import group_advantages, zero_std_groups
from papo.objective.aggregation import Denominators
from papo.objective.averages import Means, Over
from papo.objective.branch import Branch, Need
from papo.objective.correction import RolloutCorrection
from papo.objective.divergence import DivergenceTerm
from papo.objective.entropy import DoubleEntropy, EntropyHinge
from papo.objective.objective import Objective
from papo.objective.perception import PerceptionKL
from papo.objective.reference import ReferenceKL
from papo.objective.robustness import RobustnessKL
from papo.objective.surrogate import Surrogate
from papo.objective.term import Evidence, RewardPart, Term, Value

__all__ = [
    "Branch",
    "Denominators",
    "DivergenceTerm",
    "DoubleEntropy",
    "EntropyHinge",
    "Evidence",
    "Means",
    "Need",
    "Objective",
    "Over",
    "PerceptionKL",
    "ReferenceKL",
    "RewardPart",
    "RobustnessKL",
    "RolloutCorrection",
    "Surrogate",
    "Term",
    "Value",
    "group_advantages",
    "zero_std_groups",
]
