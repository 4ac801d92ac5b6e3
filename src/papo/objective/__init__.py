"""The objective: pure functions on tensors, no model, trainer or configuration."""

from papo.objective.advantage import group_advantages, zero_std_groups
from papo.objective.aggregation import Denominators
from papo.objective.objective import Objective

__all__ = ["Denominators", "Objective", "group_advantages", "zero_std_groups"]
