"""Advantages by how little the words of a question give its answer away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch

from papo import ranks
from papo.arguments import checked
from papo.errors import ConfigError
from papo.evaluation.answering import answer, blinded
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rollout import Engine
from papo.seeding import derive_seed
from papo.types import Item, Rollouts

# Blind responses per prompt and step: a guess at b is enough, for errors of single prompts average out over a batch.
BLIND_RESPONSES = 4

Weighed = Literal[False, "item", "rollout"]


class Weighing:
    """A_i <- w_n A_i with w_n = (1 - b_n) / mean_m (1 - b_m): what is answered blind anyway teaches less.

    b_n in [0, 1] is the blind accuracy of prompt n, and the mean is over the groups of the step that can be graded, so
    that their weights have the mean 1 and the learning rate keeps its meaning. Where all of them have b = 1 there is
    nothing to choose between, and all weigh 1.

    Args:
        by: "item" takes b from the items (data.guessability: the base's); "rollout" measures it at each step from
            BLIND_RESPONSES of the current policy to each prompt, every patch black, at the cost of drawing them; False
            weighs nothing.
        policy, engine, processor, sampling: draw and read those responses.
        seed: of the run.

    Raises:
        SettingError: `by` is something else.
    """

    @checked
    def __init__(
        self,
        by: Weighed,
        policy: Policy,
        engine: Engine,
        processor: PromptProcessor,
        sampling: Sampling,
        seed: int,
    ) -> None:
        self.by, self.policy, self.engine, self.processor = by, policy, engine, processor
        self.sampling, self.seed = sampling, seed

    def check(self, items: Iterable[Item]) -> None:
        """Raises ConfigError where the blind accuracy of an item is needed and not known."""
        for item in items if self.by == "item" else ():
            if item.guessability is None:
                raise ConfigError(
                    f"algorithm.weigh_by_guessability=item needs the blind accuracy of every training item, and that "
                    f"of {item.id} is not known; give it with data.guessability=FILE, or set "
                    "algorithm.weigh_by_guessability=rollout"
                )

    def __call__(self, rollouts: Rollouts | None, step: int) -> tuple[Rollouts | None, dict[str, float]]:
        """The roll-outs of the whole step with weighed advantages [B], and metrics; without by, as they are.

        Args:
            rollouts: of this rank, None where it has none; the mean is over those of all ranks.
        """
        if self.by is False:
            return rollouts, {}
        blind, graded = torch.zeros(0), torch.zeros(0, dtype=torch.bool)
        if rollouts is not None:
            blind = self.measured(rollouts, step) if self.by == "rollout" else self.known(rollouts)  # [N]
            graded = rollouts.scorable  # [N]
        found = ranks.means({"guessability/mean": blind[graded]})
        if rollouts is None or not found:
            return rollouts, found
        weights, mean = 1 - blind, 1 - found["guessability/mean"]
        weights = weights / mean if mean > 0 else torch.ones_like(weights)
        weights = weights.repeat_interleave(rollouts.group_size).to(rollouts.advantages.device)  # [B]
        return replace(rollouts, advantages=rollouts.advantages * weights), found

    def known(self, rollouts: Rollouts) -> torch.Tensor:
        """b of each prompt [N] as its item has it."""
        self.check(rollouts.prompts.items)
        return torch.tensor([item.guessability for item in rollouts.prompts.items])

    def measured(self, rollouts: Rollouts, step: int) -> torch.Tensor:
        """b of each prompt [N] as the current policy has it."""
        answered, _ = answer(
            self.policy,
            self.engine,
            self.processor,
            blinded(rollouts.prompts),
            k=BLIND_RESPONSES,
            sampling=self.sampling,
            seed=derive_seed("blind", self.seed, step),
        )
        return torch.tensor([item.accuracy for item in answered])
