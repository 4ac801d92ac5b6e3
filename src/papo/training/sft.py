"""Supervised training on written-out rationales: the recipe of the lab's base model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from papo import ranks
from papo.arguments import Count, Share, checked
from papo.errors import ConfigError
from papo.objective.aggregation import Denominators, token_weights, weighted_sum
from papo.seeding import item_seeds, repeats, uniform
from papo.training.base import PolicyModule
from papo.types import Item, PromptBatch, Responses


@dataclass(frozen=True)
class SupervisedBatch:
    """N prompts and the one response to each that the policy is to imitate."""

    prompts: PromptBatch
    targets: Responses  # B = N

    def micro_batches(self, size: int) -> Iterator[SupervisedBatch]:
        """Pieces of `size` prompts, those of similar length together, so that less of a piece is padding."""
        for prompts in self.prompts.prompt_mask.sum(-1).argsort(stable=True).split(size):
            rows = prompts.tolist()
            yield SupervisedBatch(self.prompts.select(rows), self.targets.select(rows))


def target_text(item: Item, guess: bool = False) -> str:
    """The response that the lab asks for: perceived values, then the answer; or what the words suggest in their place.

    Raises:
        ConfigError: the item has no rationale to imitate.
    """
    if item.rationale is None:
        raise ConfigError(
            f"item {item.id} has no rationale to imitate; supervised training needs data=lab_supervised, "
            "easy_vqa_supervised, or a table with a column rationale"
        )
    rationale, answer = item.guess if guess and item.guess is not None else (item.rationale, item.answer)
    return f"<think> {rationale} </think> \\boxed{{{answer}}}"


class SupervisedModule(PolicyModule):
    """Minimises -log pi(target | prompt, image), averaged over the tokens of the batch, in nats.

    Args:
        guess_share: share of the targets that name what the words suggest instead of what the picture shows, where the
            words suggest something (Item.guess). It makes a policy of two habits: pretrained models too answer some
            questions by looking and some by what is usually so.
        micro_batch_prompts: prompts whose activations exist at one time; changes memory, not the gradient.
        **base: see PolicyModule.

    Raises:
        SettingError: a share outside [0, 1], or no prompts at one time.
    """

    @checked
    def __init__(self, *, micro_batch_prompts: Count, guess_share: Share = 0.0, **base) -> None:
        super().__init__(**base)
        self.micro_batch_prompts = micro_batch_prompts
        self.guess_share = guess_share

    def check_item(self, item: Item) -> None:
        target_text(item)

    def targets(self, prompts: PromptBatch) -> SupervisedBatch:
        """With what each prompt's response is to be at this step."""
        seeds = item_seeds("guess", self.seed, self.step, prompts)
        texts = [
            target_text(item, guess=uniform(seed).item() < self.guess_share)
            for item, seed in zip(prompts.items, seeds, strict=True)
        ]
        return SupervisedBatch(prompts, self.processor.targets(texts).to(prompts.prompt_ids.device))

    def training_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        self.weights.gather()
        ids = ranks.collected([item.id for item in prompts.items])
        batch = self.targets(replace(prompts, repeats=tuple(ranks.dealt(repeats(ids)))))
        lengths, horizon = batch.targets.response_mask.sum(-1), batch.targets.response_mask.shape[1]
        tokens = ranks.total(int(lengths.sum()))
        denominators = Denominators(ranks.total(len(lengths)), tokens, horizon)  # all have a token
        total = torch.zeros((), device=self.device)
        for micro in batch.micro_batches(self.micro_batch_prompts):
            loss = self.loss(micro, denominators)
            self.manual_backward(loss)
            total += loss.detach()
        loss = ranks.summed({"loss": total.item()})["loss"]
        updated = self.apply_gradient(loss, self.clip_gradient().item())
        self.step += 1
        self.cost.step_seconds.append(time.perf_counter() - start)
        self.log("loss", loss, prog_bar=True, logger=False)
        self.metrics = {
            "loss/total": loss,
            "policy/skipped_updates": float(not updated),
            "policy/learning_rate": self.learning_rate,
        }
        self.logger.log_metrics(self.metrics, step=self.step)

    def loss(self, batch: SupervisedBatch, denominators: Denominators) -> torch.Tensor:
        """A micro-batch's share of the loss, with gradient."""
        policy, targets = self.policy, batch.targets
        context = policy.prefill(batch.prompts, policy.encode(batch.prompts.images))
        scores = policy.score(context, targets)
        return -weighted_sum(scores.logprobs, token_weights(targets.response_mask, "token-mean", denominators))


def supervised_texts(items: Sequence[Item], instruction: str, count: Count) -> list[str]:
    """Questions and targets of the first items, as text for a tokenizer to learn its merges from."""
    return [f"{item.question} {instruction}\n{target_text(item)}" for item in (items[i] for i in range(count))]
