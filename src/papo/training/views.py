"""What a policy is shown: the pictures as they are, and the views that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from papo.corruption import Corruption
from papo.errors import ConfigError
from papo.objective.branch import CLEAN
from papo.policy.vlm import Policy
from papo.seeding import derive_seed, item_seeds
from papo.types import PromptBatch, Rollouts, View


class Views:
    """Makes views by name.

    Args:
        policy: encodes them, once for all passes of a step, where its vision tower is frozen.
        makers: what makes each view of the images, by name.
        seed: of the run.
    """

    def __init__(self, policy: Policy, makers: Mapping[str, Corruption], seed: int) -> None:
        self.policy, self.makers, self.seed = policy, makers, seed

    def prepare(self, names: Iterable[str]) -> None:
        """Shows the makers of these views the policy that they are for.

        Raises:
            ConfigError: a maker cannot work with this policy, or nothing makes a view of this name.
        """
        for name in names:
            if name not in self.makers and name != CLEAN:
                known = ", ".join([CLEAN, *self.makers])
                raise ConfigError(
                    f"a term looks at the view {name!r}, which nothing makes; there are {known}: "
                    f"add algorithm.views.{name}"
                )
            if name != CLEAN:
                self.makers[name].attach(self.policy)

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, names: Iterable[str], step: int) -> Rollouts:
        """The roll-outs with these views too, each from the run's seed, the step and the item."""
        made = {
            name: self.make(name, rollouts.prompts, rollouts.group_size, step)
            for name in names
            if name not in rollouts.views
        }
        return replace(rollouts, views={**rollouts.views, **made})

    @torch.no_grad()
    def make(self, name: str, prompts: PromptBatch, group_size: int, step: int) -> View:
        """One view of the prompts' images."""
        maker, images = self.makers[name], prompts.images
        seeds = item_seeds(name, self.seed, step, prompts.items)
        if maker.per == "response":
            images = images.select([n for n in range(len(prompts)) for _ in range(group_size)])
            seeds = [derive_seed("response", seed, g) for seed in seeds for g in range(group_size)]
        images = maker(images, seeds)
        # Where the vision tower is frozen, its tokens are the same for every pass of the step.
        return View(images, None if self.policy.train_vision else self.policy.encode(images), per=maker.per)
