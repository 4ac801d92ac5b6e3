"""Supervised training on written-out rationales: the recipe of the lab's base model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from papo.objective.aggregation import Denominators, token_weights, weighted_sum
from papo.training.base import PolicyModule
from papo.types import Item, PromptBatch, Responses


@dataclass(frozen=True)
class SupervisedBatch:
    """N prompts and the one response to each that the policy is to imitate."""

    prompts: PromptBatch
    targets: Responses  # B = N

    def to(self, device: torch.device) -> SupervisedBatch:
        return SupervisedBatch(self.prompts.to(device), self.targets.to(device))


def target_text(item: Item) -> str:
    """The response that the lab asks for: perceived values, then the answer.

    Raises:
        ValueError: the item has no rationale to imitate.
    """
    if item.rationale is None:
        raise ValueError(f"item {item.id} has no rationale; supervised training needs data=lab")
    return f"<think> {item.rationale} </think> \\boxed{{{item.answer}}}"


class SupervisedModule(PolicyModule):
    """Minimises -log pi(target | prompt, image), averaged over the tokens of the batch, in nats."""

    def collate(self, items: Sequence[Item]) -> SupervisedBatch:
        return SupervisedBatch(
            self.processor.prompts(items), self.processor.targets([target_text(item) for item in items])
        )

    def training_step(self, batch: SupervisedBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        policy, targets = self.policy, batch.targets
        context = policy.prefill(batch.prompts, policy.encode(batch.prompts.images))
        scores = policy.score(context, targets)
        weights = token_weights(targets.response_mask, "token-mean", Denominators.of(targets.response_mask))
        loss = -weighted_sum(scores.logprobs, weights)
        self.manual_backward(loss)
        self.apply_gradient(loss)
        self.step += 1
        self.step_seconds.append(time.perf_counter() - start)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        self.logger.log_metrics({"loss/total": loss.item()}, step=self.step)


def supervised_texts(items: Sequence[Item], instruction: str, count: int) -> list[str]:
    """Questions and targets of the first items, as text for a tokenizer to learn its merges from."""
    return [f"{item.question} {instruction}\n{target_text(item)}" for item in (items[i] for i in range(count))]
