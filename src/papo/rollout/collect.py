"""The roll-outs of one step: groups of responses, and further prompts in place of groups that teach nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import Annotated

import torch

from papo import ranks
from papo.arguments import CountOrOff, Must, Share, checked
from papo.errors import ConfigError, SettingError
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rewards.numbers import in_numbers
from papo.rollout.engine import Engine
from papo.seeding import item_seeds, repeats
from papo.types import Item, PromptBatch, Responses, RewardResult, Rollouts, View

GroupSize = Annotated[int, Must("be at least 2 (advantages compare within a group)", lambda size: size >= 2)]


class Collector:
    """Draws and grades G responses per prompt.

    Args:
        policy: encodes the images.
        engine: draws the responses.
        processor: reads responses.
        reward: grades a response.
        sampling: how responses are drawn.
        group_size: G, responses per prompt.
        noisy_rollout_share: share of each group that is drawn from the noised view, in [0, 1), and trained on the
            clean one (the idea of NoisyRollout, arXiv 2504.13055).
        noised: makes that view of prompts, at a step.
        collate: makes prompts of further items.
        max_refills: roll-outs of further prompts with which a step replaces groups that teach nothing (DAPO's dynamic
            sampling, arXiv 2503.14476, Eq. 11; the paper allows 20); 0 = such groups stay, without a gradient.
        seed: of the run.

    Raises:
        SettingError: a setting out of range.
    """

    @checked
    def __init__(
        self,
        policy: Policy,
        engine: Engine,
        processor: PromptProcessor,
        reward: Callable[[Item, str], RewardResult],
        *,
        sampling: Sampling,
        group_size: GroupSize,
        noisy_rollout_share: Share,
        noised: Callable[[PromptBatch, int], View],
        collate: Callable[[Sequence[Item]], PromptBatch],
        max_refills: CountOrOff,
        seed: int,
    ) -> None:
        noisy_responses = round(noisy_rollout_share * group_size)
        if noisy_rollout_share != 0 and not 1 <= noisy_responses < group_size:
            raise SettingError(
                "noisy_rollout_share",
                f"must be 0 (off) or give 1 to {group_size - 1} of a group's {group_size} responses, got "
                f"{noisy_rollout_share}, which gives {noisy_responses}",
            )
        if sampling.temperature == 0:
            raise SettingError(
                "sampling.temperature", "must be positive in training: greedy responses are all the same"
            )
        self.policy, self.engine, self.processor, self.reward = policy, engine, processor, reward
        self.sampling, self.group_size = sampling, group_size
        self.noisy_responses, self.noised = noisy_responses, noised
        self.collate = collate
        self.max_refills = max_refills
        self.seed = seed
        self.parts: Set[str] = set()  # of the reward; empty before it has been asked

    def __call__(
        self,
        prompts: PromptBatch,
        step: int,
        *,
        complete: Callable[[Rollouts | None], Rollouts | None],
        alive: Callable[[Rollouts], list[int]],
        refill: Callable[[int], Sequence[Item]],
    ) -> tuple[Rollouts | None, dict[str, float]]:
        """Roll-outs of the prompts; under dynamic sampling only groups that teach something, as many as prompts.

        Args:
            prompts: this rank's; counts are over all of them.
            complete: finishes the rewards of roll-outs; asked by all ranks as often, with None where one has none.
            alive: the prompts whose group teaches something.
            refill: the items of the step's n-th refill.

        Returns:
            The roll-outs, None if no group of this rank is alive after the last refill, and metrics.
        """
        ids = ranks.collected([item.id for item in prompts.items])
        asked = len(ids)
        prompts = replace(prompts, repeats=tuple(ranks.dealt(repeats(ids))))
        rollouts = complete(self.roll_out(prompts, step, ranks.dealt(range(asked))))
        living = alive(rollouts)
        found = ranks.total(len(living))
        metrics = {"group/frac_zero_std": 1 - found / asked}
        if self.max_refills == 0:
            return rollouts, metrics
        parts = [rollouts.select(living)] if living else []
        seen, drawn, refills = set(ids), asked, 0
        while found < asked and refills < self.max_refills:
            items = [item for item in refill(refills) if item.id not in seen]
            refills += 1
            seen.update(item.id for item in items)
            places = ranks.dealt(range(drawn, drawn + len(items)))
            again = tuple(ranks.dealt(repeats([item.id for item in items])))
            drawn += len(items)
            more = None
            if own := ranks.dealt(items):
                further = replace(self.collate(own).to(self.policy.device), repeats=again)
                more = self.roll_out(further, step, places)
            more = complete(more)
            living = [] if more is None else alive(more)
            # The first of all ranks' living ones, as many as are wanting.
            taken = sorted(ranks.collected([more.places[n] for n in living]))[: asked - found]
            found += len(taken)
            if kept := [n for n in living if more.places[n] in taken]:
                parts.append(more.select(kept))
        metrics |= {"group/refills": refills, "group/alive": found, "policy/skipped_steps": float(found == 0)}
        return Rollouts.concat(parts, self.policy.pad_token_id) if parts else None, metrics

    @torch.no_grad()
    def roll_out(self, prompts: PromptBatch, step: int, places: Sequence[int] | None = None) -> Rollouts:
        """G graded responses per prompt; with a frozen vision tower also the features, which serve every later pass.

        Args:
            places: of the prompts among those of all ranks.
        """
        clean = self.group_size - self.noisy_responses
        features = self.policy.encode(prompts.images)
        seeds = item_seeds("rollout", self.seed, step, prompts)
        responses = self.engine.sample(prompts, features, clean, self.sampling, seeds)
        if self.noisy_responses:
            responses = self.with_noisy_responses(prompts, responses, step)
        texts = tuple(self.processor.decode(responses))
        return Rollouts(
            prompts=prompts,
            responses=responses,
            texts=texts,
            rewards=self.graded(prompts, texts),
            views={"clean": View(prompts.images, None if self.policy.train_vision else features)},
            places=None if places is None else tuple(places),
        )

    def graded(self, prompts: PromptBatch, texts: Sequence[str]) -> tuple[RewardResult, ...]:
        """What the responses to each prompt earn, as many to each.

        Raises:
            ConfigError: a reward of your own does not say which are right, or not always the same parts, or gives what
                is no finite number.
        """
        each, name = len(texts) // len(prompts), type(self.reward).__name__
        items = (item for item in prompts.items for _ in range(each))
        results = tuple(
            in_numbers(self.reward(item, text), name, item.id) for item, text in zip(items, texts, strict=True)
        )
        self.parts = self.parts or {*results[0].parts}
        for parts in (result.parts.keys() for result in results):
            if "accuracy" not in parts or parts != self.parts:
                raise ConfigError(
                    f"reward={name} must have the same parts for every response, among them "
                    f"accuracy, 1 where it is right; got {', '.join(sorted(parts)) or 'none'} after "
                    f"{', '.join(sorted(self.parts)) or 'none'}"
                )
        return results

    def with_noisy_responses(self, prompts: PromptBatch, responses: Responses, step: int) -> Responses:
        """The rest of each group, behind the given responses: drawn from the noised view, trained on the clean one."""
        N, noisy, view = len(prompts), self.noisy_responses, self.noised(prompts, step)
        features = self.policy.encode(view.images) if view.features is None else view.features
        seeds = item_seeds("noisy-sample", self.seed, step, prompts)
        others = self.engine.sample(prompts, features, noisy, self.sampling, seeds)
        rows = torch.arange(N * self.group_size).split([N * (self.group_size - noisy), N * noisy])
        groups = torch.cat([part.view(N, -1) for part in rows], dim=1).flatten().tolist()
        return Responses.concat([responses, others], self.policy.pad_token_id).select(groups)
