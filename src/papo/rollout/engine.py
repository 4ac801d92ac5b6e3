"""The seam between a policy and whatever draws its responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.types import Features, PromptBatch, Responses


class Engine(Protocol):
    """Draws responses with the weights of the last `sync`.

    The caller encodes and the engine is handed visual tokens: any view of the images can be rolled out in any engine,
    and an engine cannot look with a vision tower of yesterday.

    Attributes:
        is_policy: whether it is the policy that draws: its log-probabilities are then those of `Policy.score` up to
            rounding, and it works wherever the weights are, whole or in shares.
    """

    is_policy: bool

    def attach(self, policy: Policy) -> None:
        """Called before a run writes anything.

        Raises:
            ConfigError: it cannot draw with this policy.
        """
        ...

    def sync(self, policy: Policy, step: int) -> None:
        """From now on responses are the policy's as it is after `step` steps; called before every step's roll-outs."""
        ...

    def sample(
        self, prompts: PromptBatch, features: Features, group_size: int, sampling: Sampling, seeds: Sequence[int]
    ) -> Responses:
        """G responses to each of N prompts; row n * G + g is response g of prompt n. Vision tokens are never drawn.

        Args:
            features: visual tokens of each prompt, from `Policy.encode`.
            seeds: one per prompt; a group depends on its own alone.
        """
        ...
