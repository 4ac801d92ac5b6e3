"""The objective: pure functions on tensors, no model, trainer or configuration."""

from papo.objective.advantage import group_advantages, zero_std_groups
from papo.objective.aggregation import Denominators
from papo.objective.entropy import DoubleEntropy, EntropyHinge
from papo.objective.objective import Evidence, Objective, UpdateDenominators
from papo.objective.perception import PerceptionKL
from papo.objective.reference import ReferenceKL
from papo.objective.robustness import RobustnessKL
from papo.objective.surrogate import Surrogate

__all__ = [
    "Denominators",
    "DoubleEntropy",
    "EntropyHinge",
    "Evidence",
    "Objective",
    "PerceptionKL",
    "ReferenceKL",
    "RobustnessKL",
    "Surrogate",
    "UpdateDenominators",
    "group_advantages",
    "zero_std_groups",
]
