"""What a term of the objective is: which passes it looks at, and what it makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from papo.objective.averages import ALL, Means, Over
from papo.objective.branch import Branch, Passes
from papo.types import Scores


class FullKL(Protocol):
    """KL(p || q) over the whole vocabulary at each response token, [B, T] nats; both branches' states must be there.

    Gradient reaches the states and the output layer of both branches, but nothing of the `constant` one.
    """

    def __call__(self, p: Branch, q: Branch, *, constant: Branch | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Evidence:
    """What the terms look at, for B responses: a whole update, or a micro-batch of it."""

    scores: Mapping[Branch, Scores]  # of every branch that a term asks for; with gradient where one is needed
    advantages: Tensor  # [B]
    response_mask: Tensor  # [B, T] bool, the tokens that are trained on
    rewards: Tensor  # [B], what responses="weighted" weighs by
    correct: Tensor  # [B] bool, what responses="correct" keeps
    pictured: Tensor  # [B] bool, whether the prompt has a picture: without one, every view of it is the same
    full_kl: FullKL | None = None
    importance: Tensor | None = None  # [B, T] constant weights of the policy gradient, see RolloutCorrection; None = 1


@dataclass(frozen=True)
class Value:
    """What a term says of a micro-batch; sums over the micro-batches are the values of the update."""

    parts: Mapping[str, Tensor]  # of the loss, signed, by name
    metrics: Mapping[str, Tensor | None]  # None: the update has nothing to measure


class Term(ABC):
    """One summand of the objective. A subclass that is off (coefficient 0) asks for no passes and returns no parts.

    Attributes:
        headlines: metrics of its own that are worth a place on the progress bar, and their short names there.
    """

    headlines: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def passes(self) -> Passes:
        """The branches that it looks at."""

    @abstractmethod
    def __call__(self, evidence: Evidence, means: Means) -> Value:
        """Its parts of the loss, and its metrics."""

    def overs(self) -> Sequence[Over]:
        """What its means are taken over, so that their denominators are counted before the first micro-batch."""
        return (ALL,)

    def scale(self, progress: float) -> float:
        """Factor on its parts at `progress`, the share of the run that lies behind, in [0, 1]."""
        return 1.0

    def reward_parts(self) -> Sequence[RewardPart]:
        """What it pays responses for, before advantages are formed."""
        return ()


class RewardPart(ABC):
    """A part of the reward that depends on what policies think of a response; constant for the gradient.

    Attributes:
        name: of the part in records and metrics.
        weight: its factor in the total.
    """

    name: str
    weight: float

    @abstractmethod
    def passes(self) -> Passes:
        """The branches that it looks at, of constant policies."""

    @abstractmethod
    def values(self, scores: Mapping[Branch, Scores], response_mask: Tensor, correct: Tensor) -> Tensor:
        """[B] unweighted; `response_mask` is [B, T] bool, `correct` [B] bool."""
