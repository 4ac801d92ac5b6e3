"""Perception-aware policy optimisation: roll out, reward, advantage, corrupt, score, objective, update."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from papo.corruption import RandomPatchMask
from papo.errors import ConfigError, TrainingDiverged
from papo.objective import Denominators, Objective, group_advantages, zero_std_groups
from papo.policy.sampling import Sampling
from papo.rewards.reward import Reward
from papo.seeding import derive_seed
from papo.training.base import PolicyModule
from papo.types import Images, PromptBatch, Rollouts


class PapoModule(PolicyModule):
    """GRPO, DAPO and PAPO, as the objective's coefficients say.

    Args:
        objective: the combined loss; decides which forward passes a step needs.
        corruption: makes I_mask from I.
        reward: grades a response.
        sampling: how roll-outs are drawn.
        group_size: G, responses per prompt.
        updates_per_rollout: parameter updates that the prompts of a step are divided among.
        micro_batch_prompts: prompts whose activations exist at one time; changes memory, not the gradient.
        max_skipped_updates: consecutive non-finite updates after which the run stops.
        **base: see PolicyModule.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        corruption: RandomPatchMask,
        reward: Reward,
        sampling: Sampling,
        group_size: int,
        updates_per_rollout: int,
        micro_batch_prompts: int,
        max_skipped_updates: int,
        **base,
    ) -> None:
        super().__init__(**base)
        if group_size < 2:
            raise ConfigError(f"group_size must be at least 2 (advantages compare within a group), got {group_size}")
        for name, value in (("updates_per_rollout", updates_per_rollout), ("micro_batch_prompts", micro_batch_prompts)):
            if value < 1:
                raise ConfigError(f"algorithm.{name} must be at least 1, got {value}")
        if sampling.temperature == 0:
            raise ConfigError("rollout.temperature must be positive in training: greedy responses are all the same")
        self.objective, self.corruption, self.reward, self.sampling = objective, corruption, reward, sampling
        self.group_size = group_size
        self.updates_per_rollout = updates_per_rollout
        self.micro_batch_prompts = micro_batch_prompts
        self.max_skipped_updates = max_skipped_updates
        self.skipped_in_a_row = 0
        self.rollouts: Rollouts | None = None  # of the last step, for callbacks
        self.metrics: dict[str, float] = {}  # of the last step
        # In a tuple, so that the frozen copy is neither trained nor saved: it is reloaded from model.path.
        self.reference = (copy.deepcopy(self.policy).requires_grad_(False),) if objective.needs_reference else ()

    # ---------------------------------------------------------------------------------------------------------- step

    def training_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        rollouts = self.roll_out(prompts)
        metrics = Counter(rollout_metrics(rollouts))
        updates = split_evenly(len(prompts), self.updates_per_rollout)
        for prompts_of_update in updates:
            for name, value in self.update(rollouts.select(prompts_of_update)).items():
                metrics[name] += value / len(updates)
        metrics["time/rollout"] = self.rollout_seconds
        metrics["time/step"] = time.perf_counter() - start
        self.step += 1
        self.rollouts, self.metrics = rollouts, dict(metrics)
        self.step_seconds.append(metrics["time/step"])

    @torch.no_grad()
    def roll_out(self, prompts: PromptBatch) -> Rollouts:
        """Everything that does not change during the step's updates."""
        start = time.perf_counter()
        policy, items, G = self.policy, prompts.items, self.group_size
        features = policy.encode(prompts.images)
        context = policy.prefill(prompts, features)
        responses = policy.sample(context, G, self.sampling, self.seeds("rollout", prompts))
        self.rollout_seconds = time.perf_counter() - start

        texts = self.processor.decode(responses)
        rewards = [self.reward(items[row // G], text) for row, text in enumerate(texts)]
        totals = torch.tensor([result.total for result in rewards], device=policy.device)
        scorable = torch.tensor([result.scorable for result in rewards], device=policy.device)
        advantages = group_advantages(totals, G) * scorable

        corrupted_images = corrupted_features = None
        if self.objective.needs_corrupted:
            corrupted_images = self.corruption(prompts.images, self.seeds("corruption", prompts))
            if not policy.train_vision:
                corrupted_features = policy.encode(corrupted_images)
        rollouts = Rollouts(
            prompts=prompts,
            responses=responses,
            texts=tuple(texts),
            rewards=tuple(rewards),
            advantages=advantages,
            corrupted_images=corrupted_images,
            # A frozen vision tower gives the same features in every pass of the step, the reference's included.
            features=None if policy.train_vision else features,
            corrupted_features=corrupted_features,
        )
        return rollouts if not self.reference else self.with_reference(rollouts)

    def with_reference(self, rollouts: Rollouts) -> Rollouts:
        """Adds log pi_ref, micro-batch by micro-batch."""
        (reference,) = self.reference
        ref_logprobs = torch.zeros_like(rollouts.responses.logprobs)
        for prompts, micro in self.micro_batches(rollouts):
            scores = self.score(reference, micro, micro.prompts.images, micro.features)
            width = scores.logprobs.shape[1]
            ref_logprobs[rollouts.rows(prompts), :width] = scores.logprobs
        return replace(rollouts, ref_logprobs=ref_logprobs)

    def update(self, rollouts: Rollouts) -> Counter[str]:
        """One parameter update; the micro-batches add up to the gradient of one batch."""
        denominators = Denominators.of(rollouts.responses.response_mask)
        metrics: Counter[str] = Counter()
        for _, micro in self.micro_batches(rollouts):
            loss, parts = self.loss(micro, denominators)
            self.manual_backward(loss)
            metrics.update({name: value.item() for name, value in parts.items()})
        total = torch.tensor(metrics["loss/total"])
        metrics["policy/grad_norm"], updated = self.apply_gradient(total)
        metrics["policy/skipped_updates"] = float(not updated)
        self.skipped_in_a_row = 0 if updated else self.skipped_in_a_row + 1
        if self.skipped_in_a_row > self.max_skipped_updates:
            raise TrainingDiverged(
                f"{self.skipped_in_a_row} updates in a row had a non-finite loss ({total.item()}) or gradient "
                f"({metrics['policy/grad_norm']}); lower optimizer.lr or perception_coef"
            )
        return metrics

    def loss(self, micro: Rollouts, denominators: Denominators) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on one micro-batch, with gradient."""
        current = self.score(self.policy, micro, micro.prompts.images, micro.features)
        corrupted = None
        if self.objective.needs_corrupted:
            with torch.set_grad_enabled(self.objective.needs_corrupted_gradient):
                corrupted = self.score(self.policy, micro, micro.corrupted_images, micro.corrupted_features)
        return self.objective(
            current,
            micro.responses.logprobs,
            micro.advantages,
            micro.responses.response_mask,
            denominators,
            ref_logprobs=micro.ref_logprobs,
            corrupted=corrupted,
        )

    def score(self, policy, micro: Rollouts, images: Images, features):
        """encode (unless the features are known), prefill, score."""
        features = policy.encode(images) if features is None else features
        context = policy.prefill(micro.prompts, features)
        return policy.score(context, micro.responses, temperature=self.sampling.score_temperature)

    # ------------------------------------------------------------------------------------------------------- helpers

    def micro_batches(self, rollouts: Rollouts) -> Iterator[tuple[list[int], Rollouts]]:
        """The rollouts in pieces, prompts of similar length together, so that less of a piece is padding."""
        order = rollouts.prompts.prompt_mask.sum(-1).argsort(stable=True).tolist()
        for start in range(0, len(order), self.micro_batch_prompts):
            prompts = order[start : start + self.micro_batch_prompts]
            yield prompts, rollouts.select(prompts)

    def seeds(self, purpose: str, prompts: PromptBatch) -> list[int]:
        return [derive_seed(purpose, self.seed, self.step, item.id) for item in prompts.items]


def split_evenly(n: int, parts: int) -> list[range]:
    """range(n) in at most `parts` contiguous pieces whose sizes differ by at most one."""
    parts = min(parts, n)
    bounds = [n * i // parts for i in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def rollout_metrics(rollouts: Rollouts) -> dict[str, float]:
    """Metrics that need no gradient."""
    rewards, responses = rollouts.rewards, rollouts.responses
    totals = torch.tensor([result.total for result in rewards])
    metrics = {
        "reward/mean": totals.mean().item(),
        "group/frac_zero_std": zero_std_groups(totals, rollouts.group_size).float().mean().item(),
        "response/length_mean": responses.response_mask.sum(-1).float().mean().item(),
        "response/frac_unfinished": 1 - responses.finished.float().mean().item(),
        "reward/frac_unscorable": sum(not result.scorable for result in rewards) / len(rewards),
    }
    for part in rewards[0].parts:
        metrics[f"reward/{part}"] = sum(result.parts[part] for result in rewards) / len(rewards)
    return metrics
