"""Which passes a term looks at: a policy, on a view of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from papo.errors import SettingError

POLICIES = ("current", "rollout", "reference")

CLEAN = "clean"  # the picture as it is; every other view is made from it


@dataclass(frozen=True)
class Branch:
    """pi(o_t | o_<t, q, view of I) under one set of parameters.

    Attributes:
        policy: "current", the parameters that are updated: scored in every update; "rollout", those that wrote the
            responses, and "reference", those that training started from: constant, scored once per step.
        view: "clean", or the name of another view: "corrupted", "noised", or one of `algorithm.views`.
    """

    policy: str
    view: str = CLEAN

    def __post_init__(self) -> None:
        assert self.policy in POLICIES, self.policy

    def __str__(self) -> str:
        return f"{self.policy} policy on the {self.view} view"


@dataclass(frozen=True)
class Need:
    """What a term needs of a branch's scores.

    Attributes:
        gradient: whether it sends a gradient into them; only the current policy carries one.
        states: whether the states before the vocabulary are kept, of which a full-vocabulary KL is made.
    """

    gradient: bool = False
    states: bool = False


Passes = Mapping[Branch, Need]

CURRENT, OLD, REFERENCE = (Branch(policy) for policy in POLICIES)  # on the clean view


def check_other_view(view: str) -> None:
    """Refuses the picture itself where a policy is to be held against what it is without it.

    Raises:
        SettingError: of the argument `view`.
    """
    if view == CLEAN:
        raise SettingError("view", f"must be another view than {CLEAN}, which says nothing of the picture")


def merged(passes: Iterable[Passes]) -> dict[Branch, Need]:
    """Every branch that anyone asks for, once, with all that anyone needs of it."""
    found: dict[Branch, Need] = {}
    for asked in passes:
        for branch, need in asked.items():
            known = found.get(branch, Need())
            found[branch] = Need(known.gradient or need.gradient, known.states or need.states)
    return found
