"""What a policy is shown: the pictures as they are, and the views that are made of them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from papo.corruption import Maker
from papo.errors import ConfigError
from papo.objective.branch import CLEAN
from papo.policy.processing import PromptProcessor
from papo.policy.vlm import Policy
from papo.seeding import derive_seed, item_seeds
from papo.types import Images, Item, PromptBatch, Rollouts, View


class Views:
    """Makes views by name.

    Args:
        policy: encodes them, once for all passes of a step, where its vision tower is frozen.
        processor: makes prompts.
        makers: what makes each view of the images, by name.
        seed: of the run.
    """

    def __init__(self, policy: Policy, processor: PromptProcessor, makers: Mapping[str, Maker], seed: int) -> None:
        self.policy, self.processor, self.makers, self.seed = policy, processor, makers, seed
        self.prepared: list[str] = []  # the views that may be asked for
        self.early: list[str] = []  # those of them that are made where the data is loaded

    def prepare(self, names: Collection[str]) -> None:
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
                self.makers[name].process_with(self.processor.images)
        self.prepared = sorted(name for name in names if name != CLEAN)
        self.early = [name for name in self.prepared if self.makers[name].early]

    def check(self, item: Item) -> None:
        """Raises ConfigError: the item lacks what a view that is made where data is loaded needs."""
        for name in self.early:
            self.makers[name].check(item)

    def check_changes(self, items: Sequence[Item], further: Iterable[Item] = ()) -> None:
        """Looks whether the views can differ from the pictures.

        Args:
            items: training items.
            further: more of them, which are read only where none of the others' views can.

        Raises:
            ConfigError: one of the views is bound to be the pictures themselves, for all of these items; or as
                `collate`.
        """
        if self.bound(self.collate(items)):
            prompts = self.collate([*items, *further])
            for key, why in self.bound(prompts).items():
                raise ConfigError(
                    f"{key} leaves all of the first {len(prompts.images.grid)} pictures as they are: {why}"
                )

    def bound(self, prompts: PromptBatch) -> dict[str, str]:
        """By the keys of what makes them, the views that are bound to be these prompts' pictures, and why."""
        found = {}
        for name in self.prepared if len(prompts.images.grid) else ():
            key = {"corrupted": "corruption", "noised": "algorithm.noise"}.get(name, f"algorithm.views.{name}")
            if why := self.makers[name].bound(prompts, key):
                found[key] = why
        return found

    def collate(self, items: Sequence[Item]) -> PromptBatch:
        """The prompts of these items, with the views that are made where data is loaded.

        Raises:
            ConfigError: an item has no such view.
        """
        prompts = self.processor.prompts(items)
        views = {name: self.makers[name].of(prompts, self.seeds(name, prompts, 0)) for name in self.early}
        return replace(prompts, views=views)

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
        maker = self.makers[name]
        images = prompts.views.get(name)
        if images is None:
            seeds = self.seeds(name, prompts, step)
            if maker.per == "response":
                prompts = prompts.select([n for n in range(len(prompts)) for _ in range(group_size)])
                seeds = [derive_seed("response", seed, g) for seed in seeds for g in range(group_size)]
            images = maker.of(prompts, seeds)
        # Where the vision tower is frozen, its tokens are the same for every pass of the step.
        return View(images, None if self.policy.train_vision else self.policy.encode(images), per=maker.per)

    def seeds(self, name: str, prompts: PromptBatch, step: int) -> list[int]:
        """One for each prompt; where data is loaded the step is not known, nor has it a say."""
        if self.makers[name].early:
            return [derive_seed(name, self.seed, item.id) for item in prompts.items]
        return item_seeds(name, self.seed, step, prompts)


def differing(clean: Images, view: Images) -> list[bool]:
    """For each prompt, or each response where the view has one for each, whether it shows other pictures."""
    shown, made = by_prompt(clean), by_prompt(view)
    each = len(made) // len(shown)
    return [
        not all(torch.equal(*pair) for pair in zip(shown[n // each], parts, strict=True))
        for n, parts in enumerate(made)
    ]


def by_prompt(images: Images) -> list[list[Tensor]]:
    """The values of each prompt's images."""
    parts = iter(images.parts())
    return [list(itertools.islice(parts, count)) for count in images.counts]
