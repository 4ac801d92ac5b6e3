"""Perception-aware policy optimisation: roll out, reward, advantage, corrupt, score, objective, update."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from papo.corruption import Corruption
from papo.errors import ConfigError, TrainingDiverged
from papo.objective import (
    Evidence,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    UpdateDenominators,
    group_advantages,
    zero_std_groups,
)
from papo.objective.kl import sampled_kl
from papo.policy.sampling import Sampling
from papo.policy.vlm import Context, Policy
from papo.rewards.length import overlong_penalty
from papo.rewards.perception import PerceptionReward
from papo.rewards.reward import Reward
from papo.seeding import derive_seed
from papo.training.base import PolicyModule
from papo.types import Features, Images, Item, PromptBatch, Responses, RewardResult, Rollouts, Scores


class PapoModule(PolicyModule):
    """GRPO, DAPO, GSPO and PAPO, as the objective's terms and the arguments say.

    Args:
        objective: the combined loss; decides which forward passes a step needs.
        corruption: makes I_mask from I.
        noise: makes the lightly noised view, for `objective.robustness` and `noisy_rollout_share`.
        reward: grades a response.
        sampling: how roll-outs are drawn.
        group_size: G, responses per prompt.
        normalize_std: see `group_advantages`.
        max_refills: roll-outs of further prompts with which a step replaces groups whose rewards are all equal (DAPO's
            dynamic sampling, arXiv 2503.14476, Eq. 11; the paper allows 20); 0 = such groups stay, without a gradient.
        overlong_buffer: see `overlong_penalty`.
        overlong_filter: whether responses that were cut off are left out of the loss.
        noisy_rollout_share: share of each group that is drawn from the noised image, in [0, 1), and trained on the
            clean one (the idea of NoisyRollout, arXiv 2504.13055).
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
        noise: Corruption,
        reward: Reward | PerceptionReward,
        sampling: Sampling,
        group_size: int,
        normalize_std: bool,
        max_refills: int,
        overlong_buffer: int,
        overlong_filter: bool,
        noisy_rollout_share: float,
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
        if max_refills < 0:
            raise ConfigError(f"algorithm.max_refills must be 0 (off) or positive, got {max_refills}")
        if not 0 <= overlong_buffer <= sampling.max_new_tokens:
            raise ConfigError(
                f"algorithm.overlong_buffer must lie in 0..{sampling.max_new_tokens} (rollout.max_new_tokens), "
                f"got {overlong_buffer}"
            )
        if not 0 <= noisy_rollout_share < 1:
            raise ConfigError(f"algorithm.noisy_rollout_share must lie in [0, 1), got {noisy_rollout_share}")
        if sampling.temperature == 0:
            raise ConfigError("rollout.temperature must be positive in training: greedy responses are all the same")
        self.objective, self.corruption, self.noise = objective, corruption, noise
        self.reward, self.sampling = reward, sampling
        self.group_size = group_size
        self.normalize_std = normalize_std
        self.max_refills = max_refills
        self.overlong_buffer, self.overlong_filter = overlong_buffer, overlong_filter
        self.noisy_responses = round(noisy_rollout_share * group_size)  # of each group
        self.updates_per_rollout = updates_per_rollout
        self.micro_batch_prompts = micro_batch_prompts
        self.max_skipped_updates = max_skipped_updates
        self.skipped_in_a_row = 0
        self.perception_damping = 1.0  # factor on perception_coef, lowered by the collapse monitor
        self.rollouts: Rollouts | None = None  # of the last step, for callbacks
        self.metrics: dict[str, float] = {}  # of the last step
        if self.needs_corrupted:
            corruption.attach(self.policy)
        # In a tuple, so that the frozen copy is neither trained nor saved: it is reloaded from model.path.
        self.reference = (copy.deepcopy(self.policy).requires_grad_(False),) if objective.needs_reference else ()

    # ---------------------------------------------------------------------------------------------------------- step

    def training_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        rollouts, metrics = self.alive_rollouts(prompts)
        metrics["time/rollout"] = time.perf_counter() - start
        if rollouts is not None:
            rollouts = self.corrupt(rollouts)
            rollouts = self.score_once(rollouts)
            rollouts = self.complete_rewards(rollouts)
            metrics.update(rollout_metrics(rollouts))
            updates = split_evenly(len(rollouts), self.updates_per_rollout)
            for prompts_of_update in updates:
                for name, value in self.update(rollouts.select(prompts_of_update)).items():
                    metrics[name] += value / len(updates)
        self.rollouts = rollouts
        metrics["time/step"] = time.perf_counter() - start
        self.step += 1
        self.metrics = dict(metrics)
        self.step_seconds.append(metrics["time/step"])

    # ------------------------------------------------------------------------------------------------------- roll-out

    def alive_rollouts(self, prompts: PromptBatch) -> tuple[Rollouts | None, Counter[str]]:
        """Roll-outs of the prompts; under dynamic sampling only groups that teach something, as many as prompts.

        Further prompts are rolled out until enough groups are alive or `max_refills` is spent; None if none is.
        """
        rollouts = self.roll_out(prompts)
        alive = self.alive(rollouts)
        metrics = Counter({"group/frac_zero_std": 1 - len(alive) / len(prompts)})
        if self.max_refills == 0:
            return rollouts, metrics
        parts, seen, refills = [rollouts.select(alive)] if alive else [], {item.id for item in prompts.items}, 0
        while (found := sum(map(len, parts))) < len(prompts) and refills < self.max_refills:
            items = [item for item in self.refill_items(refills) if item.id not in seen]
            refills += 1
            if not items:
                continue
            seen.update(item.id for item in items)
            more = self.roll_out(self.collate(items).to(self.policy.device))
            if alive := self.alive(more)[: len(prompts) - found]:
                parts.append(more.select(alive))
        metrics.update({"group/refills": refills, "group/alive": found, "policy/skipped_steps": float(not parts)})
        return Rollouts.concat(parts, self.policy.pad_token_id) if parts else None, metrics

    def refill_items(self, refill: int) -> list[Item]:
        """Further training items of this step."""
        return self.trainer.datamodule.refill(self.step, refill)

    def alive(self, rollouts: Rollouts) -> list[int]:
        """The prompts whose group has a gradient: rewards differ, and the item can be graded."""
        totals = torch.tensor([result.total for result in rollouts.rewards])
        scorable = torch.tensor([result.scorable for result in rollouts.rewards]).view(-1, rollouts.group_size)
        return (~zero_std_groups(totals, rollouts.group_size) & scorable.all(-1)).nonzero().flatten().tolist()

    @torch.no_grad()
    def roll_out(self, prompts: PromptBatch) -> Rollouts:
        """G graded responses per prompt; with a frozen vision tower also the features, which serve every later pass."""
        policy, clean = self.policy, self.group_size - self.noisy_responses
        features = policy.encode(prompts.images)
        context = policy.prefill(prompts, features)
        responses = policy.sample(context, clean, self.sampling, self.seeds("rollout", prompts))
        if self.noisy_responses:
            responses = self.with_noisy_responses(prompts, context, responses)
        texts = tuple(self.processor.decode(responses))
        items = (item for item in prompts.items for _ in range(self.group_size))
        return Rollouts(
            prompts=prompts,
            responses=responses,
            texts=texts,
            rewards=tuple(self.reward(item, text) for item, text in zip(items, texts, strict=True)),
            features=None if policy.train_vision else features,
        )

    def with_noisy_responses(self, prompts: PromptBatch, context: Context, responses: Responses) -> Responses:
        """The rest of each group, behind the given responses: drawn from the noised image, scored on the clean one."""
        policy, N, noisy = self.policy, len(prompts), self.noisy_responses
        images = self.noise(prompts.images, self.seeds("noisy-rollout", prompts))
        noised = policy.prefill(prompts, policy.encode(images))
        others = policy.sample(noised, noisy, self.sampling, self.seeds("noisy-sample", prompts))
        rows = torch.arange(N * self.group_size).split([N * (self.group_size - noisy), N * noisy])
        groups = torch.cat([part.view(N, -1) for part in rows], dim=1).flatten().tolist()
        responses = Responses.concat([responses, others], policy.pad_token_id).select(groups)
        # They are trained as responses to the clean image, so that is what their ratio starts from.
        scores = policy.score(context, responses, temperature=self.sampling.score_temperature)
        return replace(responses, logprobs=scores.logprobs)

    # ------------------------------------------------------------------------------------- what stays for all updates

    @torch.no_grad()
    def corrupt(self, rollouts: Rollouts) -> Rollouts:
        """With I_mask and the noised view where something looks at them; features too if the vision tower is frozen."""
        images = rollouts.prompts.images
        seen: dict[str, Images] = {}
        if self.needs_corrupted:
            seeds = self.seeds("corruption", rollouts.prompts)
            if self.objective.perception.masks == "response":
                G = self.group_size
                images = images.select([n for n in range(len(rollouts)) for _ in range(G)])
                seeds = [derive_seed("response", seed, g) for seed in seeds for g in range(G)]
            seen["corrupted"] = self.corruption(images, seeds)
        if self.objective.needs_noised:
            seen["noised"] = self.noise(rollouts.prompts.images, self.seeds("noise", rollouts.prompts))
        found = {f"{name}_images": images for name, images in seen.items()}
        if not self.policy.train_vision:
            found |= {f"{name}_features": self.policy.encode(images) for name, images in seen.items()}
        return replace(rollouts, **found)

    @property
    def needs_corrupted(self) -> bool:
        return self.objective.needs_corrupted or self.needs_rollout_corrupted

    @property
    def needs_rollout_corrupted(self) -> bool:
        return self.objective.needs_rollout_corrupted or isinstance(self.reward, PerceptionReward)

    @torch.no_grad()
    def score_once(self, rollouts: Rollouts) -> Rollouts:
        """With the scores of policies that do not change during the step, micro-batch by micro-batch."""
        found: dict[str, Scores] = {}
        if self.reference:
            # A frozen tower is the same in both policies, so the features are too.
            (reference,), keep = self.reference, self.objective.reference.estimator == "full"
            found["reference"] = self.score_all(
                rollouts,
                lambda micro: self.score(reference, micro, micro.prompts.images, micro.features, keep_states=keep),
            )
        if self.needs_rollout_corrupted:
            found["corrupted"] = self.score_all(rollouts, self.score_corrupted)
        return replace(rollouts, **found)

    def complete_rewards(self, rollouts: Rollouts) -> Rollouts:
        """With everything that a response is rewarded for, the advantages, and the tokens that are trained on."""
        responses, rewards = rollouts.responses, list(rollouts.rewards)
        lengths = responses.response_mask.sum(-1)
        if isinstance(self.reward, PerceptionReward):
            kl = sampled_kl(responses.logprobs, rollouts.corrupted.logprobs, "k3", cap=self.objective.perception.cap)
            means = ((kl * responses.response_mask).sum(-1) / lengths).tolist()
            rewards = [self.reward.add(result, mean) for result, mean in zip(rewards, means, strict=True)]
        if self.overlong_buffer:
            penalties = [
                overlong_penalty(length, self.sampling.max_new_tokens, self.overlong_buffer)
                for length in lengths.tolist()
            ]
            rewards = [add_part(*pair, "overlong", 1.0) for pair in zip(rewards, penalties, strict=True)]
        term = self.objective.reference
        if term.coef > 0 and term.place == "reward":
            kl = term.values(responses.logprobs, rollouts.reference.logprobs) * responses.response_mask
            rewards = [add_part(*pair, "ref_kl", -term.coef) for pair in zip(rewards, kl.sum(-1).tolist(), strict=True)]
        return replace(
            rollouts,
            rewards=tuple(rewards),
            advantages=self.advantages(rewards),
            loss_mask=responses.response_mask & responses.finished[:, None] if self.overlong_filter else None,
        )

    def advantages(self, rewards: Sequence[RewardResult]) -> Tensor:
        """[B]; zero where the item cannot be graded, so that nothing is learnt from it."""
        totals = torch.tensor([result.total for result in rewards])
        scorable = torch.tensor([result.scorable for result in rewards])
        advantages = group_advantages(totals, self.group_size, normalize_std=self.normalize_std)
        return (advantages * scorable).to(self.policy.device)

    # --------------------------------------------------------------------------------------------------------- update

    def update(self, rollouts: Rollouts) -> Counter[str]:
        """One parameter update; the micro-batches add up to the gradient of one batch."""
        rewards, correct = outcome(rollouts)
        denominators = self.objective.denominators(
            rollouts.trained, rewards, correct, horizon=self.sampling.max_new_tokens
        )
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

    def loss(self, micro: Rollouts, denominators: UpdateDenominators) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on one micro-batch, with gradient."""
        objective = self.objective
        current = self.score(
            self.policy, micro, micro.prompts.images, micro.features, keep_states=objective.needs_states
        )
        corrupted = noised = None
        if objective.needs_corrupted:
            with torch.set_grad_enabled(objective.needs_corrupted_gradient):
                corrupted = self.score_corrupted(micro, keep_states=objective.perception.estimator == "full")
            corrupted = self.with_full_kl(corrupted, current, micro, objective.perception)
        if objective.needs_noised:
            noised = self.score(
                self.policy,
                micro,
                micro.noised_images,
                micro.noised_features,
                keep_states=objective.robustness.estimator == "full",
            )
            noised = self.with_full_kl(noised, current, micro, objective.robustness)
        reference = micro.reference
        if reference is not None:
            reference = self.with_full_kl(reference, current, micro, objective.reference, *self.reference)
        rewards, correct = outcome(micro)
        return objective(
            Evidence(
                current=current,
                old_logprobs=micro.responses.logprobs,
                advantages=micro.advantages,
                response_mask=micro.trained,
                rewards=rewards,
                correct=correct,
                reference=reference,
                corrupted=corrupted,
                rollout_corrupted=micro.corrupted,
                noised=noised,
            ),
            denominators,
            perception_scale=self.perception_damping
            * objective.perception.scale(min(1.0, self.step / self.total_steps)),
        )

    def with_full_kl(
        self,
        other: Scores,
        current: Scores,
        micro: Rollouts,
        term: PerceptionKL | RobustnessKL | ReferenceKL,
        policy: Policy | None = None,
    ) -> Scores:
        """`other` with the KL over the whole vocabulary between it and the current policy, where the term wants it."""
        if term.estimator != "full":
            return other
        mask, temperature = micro.responses.response_mask, self.sampling.score_temperature
        states = other.states if getattr(term, "corrupted_gradient", True) else other.states.detach()
        if getattr(term, "direction", None) == "corrupted_to_clean":
            kl = self.policy.full_kl(states, current.states, mask, temperature=temperature)
        else:
            kl = self.policy.full_kl(current.states, states, mask, other=policy, temperature=temperature)
        return replace(other, full_kl=kl)

    # ---------------------------------------------------------------------------------------------------------- score

    def score(
        self,
        policy: Policy,
        micro: Rollouts,
        images: Images,
        features: Features | None,
        *,
        keep_states: bool = False,
    ) -> Scores:
        """encode (unless the features are known), prefill, score; one view per prompt, or one per response."""
        features = policy.encode(images) if features is None else features
        prompts = micro.prompts
        if len(features) > len(prompts):
            prompts = prompts.select([n for n in range(len(prompts)) for _ in range(micro.group_size)])
        context = policy.prefill(prompts, features)
        temperature = self.sampling.score_temperature
        return policy.score(context, micro.responses, temperature=temperature, keep_states=keep_states)

    def score_corrupted(self, micro: Rollouts, keep_states: bool = False) -> Scores:
        return self.score(self.policy, micro, micro.corrupted_images, micro.corrupted_features, keep_states=keep_states)

    def score_all(self, rollouts: Rollouts, score: Callable[[Rollouts], Scores]) -> Scores:
        """The scores of every micro-batch, put together again."""
        mask = rollouts.responses.response_mask
        whole: dict[str, Tensor] = {}
        for prompts, micro in self.micro_batches(rollouts):
            rows = rollouts.rows(prompts)
            for name, part in vars(score(micro)).items():
                if part is not None:
                    into = whole.setdefault(name, part.new_zeros(*mask.shape, *part.shape[2:]))
                    into[rows, : part.shape[1]] = part
        return Scores(**whole)

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["perception_damping"] = self.perception_damping

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        super().on_load_checkpoint(checkpoint)
        self.perception_damping = checkpoint["perception_damping"]

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


def add_part(result: RewardResult, value: float, name: str, weight: float) -> RewardResult:
    """`result` with one more part."""
    return replace(result, total=result.total + weight * value, parts={**result.parts, name: value})


def outcome(rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """The rewards [B], and which responses are correct [B] bool."""
    device = rollouts.advantages.device
    rewards = torch.tensor([result.total for result in rollouts.rewards], device=device)
    correct = torch.tensor([result.parts.get("accuracy") == 1 for result in rollouts.rewards], device=device)
    return rewards, correct


def rollout_metrics(rollouts: Rollouts) -> dict[str, float]:
    """Metrics that need no gradient."""
    rewards, responses = rollouts.rewards, rollouts.responses
    totals = torch.tensor([result.total for result in rewards])
    metrics = {
        "reward/mean": totals.mean().item(),
        "response/length_mean": responses.response_mask.sum(-1).float().mean().item(),
        "response/frac_unfinished": 1 - responses.finished.float().mean().item(),
        "reward/frac_unscorable": sum(not result.scorable for result in rewards) / len(rewards),
    }
    for part in rewards[0].parts:
        metrics[f"reward/{part}"] = sum(result.parts[part] for result in rewards) / len(rewards)
    return metrics
