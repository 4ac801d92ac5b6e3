"""Perception-aware policy optimisation: roll out, reward, advantage, corrupt, score, objective, update."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated

import torch
from torch import Tensor

from papo import ranks
from papo.arguments import Count, CountOrOff, SettingsOf, Share, checked
from papo.corruption import Maker
from papo.objective import Denominators, Objective, Over
from papo.objective.branch import OLD, merged
from papo.objective.correction import RolloutCorrection
from papo.policy.reference import Reference
from papo.policy.sampling import Sampling
from papo.rollout.collect import Collector, GroupSize
from papo.training.base import PolicyModule
from papo.training.guesses import BlindGuess, Guesses
from papo.training.metrics import Sums, rollout_metrics
from papo.training.mismatch import Mismatch
from papo.training.scoring import Scoring, denominators, divided
from papo.training.shaping import Shaping, alive
from papo.training.shares import shares
from papo.training.views import Views
from papo.training.weighing import Weighed, Weighing
from papo.types import Item, PromptBatch, RewardResult, Rollouts


class PapoModule(PolicyModule):
    """GRPO, DAPO, GSPO and PAPO, as the objective's terms and the arguments say.

    Args:
        objective: the combined loss; decides which forward passes a step needs.
        corruption, noise: make the views "corrupted", I_mask from I, and "noised".
        reward: grades a response.
        sampling: how roll-outs are drawn.
        group_size: G, responses per prompt.
        normalize_std: see `group_advantages`.
        noisy_rollout_share, max_refills: see Collector.
        overlong_buffer, overlong_filter, weigh_by_guessability: see Shaping and Weighing.
        updates_per_rollout: parameter updates that the prompts of a step are divided among.
        micro_batch_prompts: prompts whose activations exist at one time on a rank; changes memory, not the gradient.
        views: what makes further views of the images, by name, for terms that look at them.
        rollout_correction: see Mismatch.
        blind_guess: whether, and on which view, guesses are drawn and unlearnt, see Guesses; None = they are not.
        **base: see PolicyModule.

    Attributes:
        damping: factor on a term's weight by the term's name, lowered where a monitor says so.
    """

    @checked
    def __init__(
        self,
        *,
        objective: Objective,
        corruption: Maker,
        noise: Maker,
        reward: Callable[[Item, str], RewardResult],
        sampling: Sampling,
        group_size: GroupSize,
        normalize_std: bool,
        max_refills: CountOrOff,
        overlong_buffer: CountOrOff,
        overlong_filter: bool,
        weigh_by_guessability: Weighed,
        noisy_rollout_share: Share,
        updates_per_rollout: Count,
        micro_batch_prompts: Count,
        views: Mapping[str, Maker] | None = None,
        rollout_correction: Annotated[Mapping, SettingsOf(RolloutCorrection)] | None = None,
        blind_guess: BlindGuess | None = None,
        **base,
    ) -> None:
        super().__init__(**base)
        self.objective, self.sampling = objective, sampling
        self.updates_per_rollout = updates_per_rollout
        self.damping: dict[str, float] = {}
        self.sums = Sums()
        self.rollouts: Rollouts | None = None  # of the last step, for callbacks
        self.shaping = Shaping(
            reward,
            objective.reward_parts(),
            normalize_std=normalize_std,
            max_new_tokens=sampling.max_new_tokens,
            overlong_buffer=overlong_buffer,
            overlong_filter=overlong_filter,
        )
        self.weighing = Weighing(weigh_by_guessability, self.policy, self.engine, self.processor, sampling, self.seed)
        passes = objective.passes()
        self.once, self.every = divided(passes, single_update=updates_per_rollout == 1)
        asked = merged([passes, self.shaping.passes()])
        self.first = {branch: asked[branch] for branch in self.shaping.passes()}  # with what the loss needs of it
        self.looked_at = sorted({branch.view for branch in asked})  # views
        makers = {"corrupted": corruption, "noised": noise, **(views or {})}
        self.views = Views(self.policy, self.processor, makers, self.seed)
        blind_guess = blind_guess or BlindGuess()
        guessed_at = [blind_guess.view] if blind_guess.coef else []
        self.views.prepare({*self.looked_at, *(["noised"] if noisy_rollout_share else []), *guessed_at})
        self.reference = Reference(self.policy) if any(branch.policy == "reference" for branch in asked) else None
        self.mismatch = gap = Mismatch(rollout_correction, self.policy, self.engine, noisy_rollout_share)
        self.scoring = Scoring(self.policy, self.reference, sampling.score_temperature, micro_batch_prompts, gap)
        self.collector = Collector(
            self.policy,
            self.engine,
            self.processor,
            reward,
            sampling=sampling,
            group_size=group_size,
            noisy_rollout_share=noisy_rollout_share,
            noised=lambda prompts, step: self.views.make("noised", prompts, 1, step),
            collate=self.collate,
            max_refills=max_refills,
            seed=self.seed,
        )
        self.guesses = Guesses(
            blind_guess,
            self.collector,
            self.views,
            self.scoring,
            normalize_std=normalize_std,
            overlong_filter=overlong_filter,
            single_update=updates_per_rollout == 1,
        )

    def collate(self, items: Sequence[Item]) -> PromptBatch:
        return self.views.collate(items)

    def check_item(self, item: Item) -> None:
        self.views.check(item)

    def check_data(self, items: Iterable[Item], further: Iterable[Item] = ()) -> None:
        items = list(items)
        self.weighing.check(items)
        self.views.check_changes(items, further)

    def configure_model(self) -> None:
        before = self.weights
        super().configure_model()
        if self.weights is not before and self.reference is not None:
            self.reference.share_out(self.weights.kept)

    def on_fit_start(self) -> None:
        # Dropout would make roll-out, old and current policy three policies, and the ratio between them noise.
        self.policy.eval()

    # ---------------------------------------------------------------------------------------------------------- step

    def training_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        self.rollouts = None  # those of the last step make room
        self.weights.gather()
        self.engine.sync(self.policy, self.step)
        rollouts, metrics = self.collector(
            prompts, self.step, complete=self.rewarded, alive=alive, refill=self.refill_items
        )
        metrics["time/rollout"] = time.perf_counter() - start
        if ranks.anywhere(rollouts is not None):
            rollouts = self.views(rollouts, self.looked_at, self.step) if rollouts is not None else None
            rollouts, weighed = self.weighing(rollouts, self.step)
            rollouts, guessed = self.guesses(rollouts, self.step)
            metrics |= rollout_metrics(rollouts) | weighed | guessed | self.updates(rollouts)
        self.rollouts = rollouts
        metrics["time/step"] = time.perf_counter() - start
        self.step += 1
        self.metrics = metrics
        self.cost.step_seconds.append(metrics["time/step"])

    def rewarded(self, rollouts: Rollouts | None) -> Rollouts | None:
        """With everything that responses are paid for, and the scores that this depends on."""
        rollouts = rollouts and self.views(rollouts, sorted({branch.view for branch in self.first}), self.step)
        (scored,) = self.scoring.all_once([rollouts], self.first)
        return scored and self.shaping(scored)

    def refill_items(self, refill: int) -> list[Item]:
        """Further training items of this step."""
        return self.trainer.datamodule.refill(self.step, refill)

    # --------------------------------------------------------------------------------------------------------- update

    def updates(self, rollouts: Rollouts | None) -> dict[str, float]:
        """All updates of a step, each on its share of all ranks' prompts; means of the metrics over those with one.

        Args:
            rollouts: of this rank; None where it has none.
        """
        # Scored in the batches of the updates: others, those of rewards too, round differently.
        parts = shares(rollouts and replace(rollouts, scores={}), self.updates_per_rollout)
        if not parts:
            return {"policy/skipped_steps": 1.0}
        parts = self.guesses.all_once(self.scoring.all_once(parts, self.once))  # before the first update
        metrics: dict[str, list[float]] = defaultdict(list)
        for share in parts:
            for name, value in self.update(share).items():
                metrics[name].append(value)
        self.scoring.heads.clear()
        return {name: fmean(values) for name, values in metrics.items()}

    def update(self, rollouts: Rollouts | None) -> dict[str, float]:
        """One parameter update; the micro-batches of all ranks add up to the gradient of one batch.

        Args:
            rollouts: of this rank; None where it has no part in the update.
        """
        counts = denominators(self.objective, rollouts, horizon=self.sampling.max_new_tokens)
        of_guesses = self.guesses.denominators(rollouts)
        self.sums.reset()  # on the device: nothing waits for it before the last micro-batch
        for _, micro in self.scoring.micro_batches(rollouts) if rollouts is not None else ():
            loss, parts = self.loss(micro, counts)
            self.manual_backward(loss)
            self.sums.update(parts)
            if micro.guesses is not None:
                loss, parts = self.guesses.loss(micro.guesses, of_guesses)
                self.manual_backward(loss)
                self.sums.update(parts)
        found = self.sums.compute() | {"policy/grad_norm": self.clip_gradient()}
        metrics = dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True))
        norm = metrics.pop("policy/grad_norm")
        metrics = self.mismatch.means(ranks.summed(metrics)) | {"policy/grad_norm": norm}
        updated = self.apply_gradient(metrics["loss/total"], norm)
        return metrics | {"policy/skipped_updates": float(not updated), "policy/learning_rate": self.learning_rate}

    def planned(self, step: int, total_steps: int) -> dict[str, float]:
        return super().planned(step, total_steps) | self.objective.scales(min(1.0, step / total_steps))

    def loss(self, micro: Rollouts, counts: Mapping[Over, Denominators]) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on one micro-batch, with gradient."""
        scales = self.objective.scales(min(1.0, self.step / self.total_steps))
        damped = {name: scale * self.damping.get(name, 1.0) for name, scale in scales.items()}
        evidence = self.scoring.evidence(micro, self.every)
        loss, parts = self.objective(evidence, counts, scales=damped)
        return loss, parts | self.mismatch.sums(evidence.scores[OLD].logprobs, micro.responses, micro.trained)

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["damping"] = self.damping

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        super().on_load_checkpoint(checkpoint)
        self.damping = checkpoint["damping"]
