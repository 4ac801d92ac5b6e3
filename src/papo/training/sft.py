"""Supervised training on written-out rationales: the recipe of the lab's base model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from papo.errors import SettingError
from papo.objective.aggregation import Denominators, token_weights, weighted_sum
from papo.policy.vlm import Policy
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


def soften(policy: Policy, temperature: float) -> None:
    """Divides every logit by `temperature`, in place: sampling at 1 is then what sampling at `temperature` was.

    The greedy response stays the same. The last norm's gain is what all logits are proportional to.
    """
    with torch.no_grad():
        policy.family.language_model.norm.weight.div_(temperature)


class SupervisedModule(PolicyModule):
    """Minimises -log pi(target | prompt, image), averaged over the tokens of the batch, in nats.

    Args:
        final_temperature: `soften` is applied with it after the last step. One written-out rationale per item teaches
            certainty that pretrained models do not have; without spread in its samples there is little to reinforce.
        micro_batch_prompts: prompts whose activations exist at one time; changes memory, not the gradient.
        **base: see PolicyModule.

    Raises:
        SettingError: final_temperature is not positive.
    """

    def __init__(self, *, final_temperature: float, micro_batch_prompts: int, **base) -> None:
        super().__init__(**base)
        self.micro_batch_prompts = micro_batch_prompts
        if final_temperature <= 0:
            raise SettingError("final_temperature", f"must be positive, got {final_temperature}")
        self.final_temperature = final_temperature

    def collate(self, items: Sequence[Item]) -> SupervisedBatch:
        return SupervisedBatch(
            self.processor.prompts(items), self.processor.targets([target_text(item) for item in items])
        )

    def training_step(self, batch: SupervisedBatch, batch_idx: int) -> None:
        start = time.perf_counter()
        denominators = Denominators.of(batch.targets.response_mask.sum(-1), batch.targets.response_mask.shape[1])
        total = torch.zeros((), device=self.device)
        for micro in batch.micro_batches(self.micro_batch_prompts):
            loss = self.loss(micro, denominators)
            self.manual_backward(loss)
            total += loss.detach()
        self.apply_gradient(bool(torch.isfinite(self.clip_gradient() + total)))
        self.step += 1
        self.step_seconds.append(time.perf_counter() - start)
        self.log("loss", total, prog_bar=True, logger=False)
        self.logger.log_metrics({"loss/total": total.item()}, step=self.step)

    def loss(self, batch: SupervisedBatch, denominators: Denominators) -> torch.Tensor:
        """A micro-batch's share of the loss, with gradient."""
        policy, targets = self.policy, batch.targets
        context = policy.prefill(batch.prompts, policy.encode(batch.prompts.images))
        scores = policy.score(context, targets)
        return -weighted_sum(scores.logprobs, token_weights(targets.response_mask, "token-mean", denominators))

    def on_train_end(self) -> None:
        if self.step == self.total_steps:  # not where Ctrl-C ended the run
            soften(self.policy, self.final_temperature)


def supervised_texts(items: Sequence[Item], instruction: str, count: int) -> list[str]:
    """Questions and targets of the first items, as text for a tokenizer to learn its merges from."""
    return [f"{item.question} {instruction}\n{target_text(item)}" for item in (items[i] for i in range(count))]
