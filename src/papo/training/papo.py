"""Perception-aware policy optimisation: roll out, reward, advantage, corrupt, score, objective, update."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from papo.corruption import Corruption
from papo.errors import ConfigError, TrainingDiverged
from papo.objective import Denominators, Objective, group_advantages, zero_std_groups
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rewards.reward import Reward
from papo.seeding import derive_seed
from papo.training.base import PolicyModule
from papo.types import Features, Images, PromptBatch, Responses, RewardResult, Rollouts, Scores


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
        corruption: Corruption,
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
        if objective.needs_corrupted:
            corruption.attach(self.policy)
        # In a tuple, so that the frozen copy is neither trained nor saved: it is reloaded from model.path.
        self.reference = (copy.deepcopy(self.policy).requires_grad_(False),) if objective.needs_reference else ()

    # ---------------------------------------------------------------------------------------------------------- step

    def training_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        features, responses = self.roll_out(prompts)
        rollout_seconds = time.perf_counter() - start
        texts, rewards = self.grade(prompts, responses)
        corrupted_images, corrupted_features = self.corrupt(prompts)
        rollouts = Rollouts(
            prompts=prompts,
            responses=responses,
            texts=texts,
            rewards=rewards,
            advantages=self.advantages(rewards),
            features=features,
            corrupted_images=corrupted_images,
            corrupted_features=corrupted_features,
        )
        rollouts = replace(rollouts, ref_logprobs=self.reference_logprobs(rollouts))

        metrics = Counter(rollout_metrics(rollouts))
        updates = split_evenly(len(prompts), self.updates_per_rollout)
        for prompts_of_update in updates:
            for name, value in self.update(rollouts.select(prompts_of_update)).items():
                metrics[name] += value / len(updates)

        metrics["time/rollout"] = rollout_seconds
        metrics["time/step"] = time.perf_counter() - start
        self.step += 1
        self.rollouts, self.metrics = rollouts, dict(metrics)
        self.step_seconds.append(metrics["time/step"])

    @torch.no_grad()
    def roll_out(self, prompts: PromptBatch) -> tuple[Features | None, Responses]:
        """G responses per prompt; with a frozen vision tower also the features, which serve every later pass."""
        features = self.policy.encode(prompts.images)
        context = self.policy.prefill(prompts, features)
        responses = self.policy.sample(context, self.group_size, self.sampling, self.seeds("rollout", prompts))
        return None if self.policy.train_vision else features, responses

    def grade(self, prompts: PromptBatch, responses: Responses) -> tuple[tuple[str, ...], tuple[RewardResult, ...]]:
        """The text of each response and what it earned, both [B]."""
        texts = tuple(self.processor.decode(responses))
        items = (item for item in prompts.items for _ in range(self.group_size))
        return texts, tuple(self.reward(item, text) for item, text in zip(items, texts, strict=True))

    def advantages(self, rewards: Sequence[RewardResult]) -> Tensor:
        """[B]; zero where the item cannot be graded, so that nothing is learnt from it."""
        totals = torch.tensor([result.total for result in rewards])
        scorable = torch.tensor([result.scorable for result in rewards])
        return (group_advantages(totals, self.group_size) * scorable).to(self.policy.device)

    @torch.no_grad()
    def corrupt(self, prompts: PromptBatch) -> tuple[Images | None, Features | None]:
        """I_mask where the objective looks at it, and its features where the vision tower is frozen."""
        if not self.objective.needs_corrupted:
            return None, None
        images = self.corruption(prompts.images, self.seeds("corruption", prompts))
        return images, None if self.policy.train_vision else self.policy.encode(images)

    @torch.no_grad()
    def reference_logprobs(self, rollouts: Rollouts) -> Tensor | None:
        """log pi_ref [B, T], micro-batch by micro-batch; None without a reference."""
        if not self.reference:
            return None
        (reference,) = self.reference
        logprobs = torch.zeros_like(rollouts.responses.logprobs)
        for prompts, micro in self.micro_batches(rollouts):
            # A frozen tower is the same in both policies, so the features are too.
            scores = self.score(reference, micro, micro.prompts.images, micro.features)
            logprobs[rollouts.rows(prompts), : scores.logprobs.shape[1]] = scores.logprobs
        return logprobs

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

    def score(self, policy: Policy, micro: Rollouts, images: Images, features: Features | None) -> Scores:
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
