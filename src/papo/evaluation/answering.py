"""Sampling k graded answers per item: validation during training and evaluate.py share this one path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rewards.grading import Verdict, grade
from papo.seeding import derive_seed
from papo.types import Item, PromptBatch


@dataclass(frozen=True)
class Answered:
    """An item with its k responses and their grades; `scorable` is false where the item itself cannot be graded."""

    item: Item
    responses: tuple[str, ...]
    correct: tuple[bool, ...]
    scorable: bool

    @property
    def accuracy(self) -> float:
        return sum(self.correct) / len(self.correct)


@torch.no_grad()
def answer(
    policy: Policy, processor: PromptProcessor, prompts: PromptBatch, *, k: int, sampling: Sampling, seed: int
) -> list[Answered]:
    """k responses to each prompt, graded. An item's responses depend on (seed, item id) alone."""
    features = policy.encode(prompts.images)
    context = policy.prefill(prompts, features)
    seeds = [derive_seed("evaluation", seed, item.id) for item in prompts.items]
    texts = processor.decode(policy.sample(context, k, sampling, seeds))
    return [graded(item, texts[n * k : (n + 1) * k]) for n, item in enumerate(prompts.items)]


def graded(item: Item, responses: Sequence[str]) -> Answered:
    grades = [grade(item, response) for response in responses]
    return Answered(
        item=item,
        responses=tuple(responses),
        correct=tuple(g.correct for g in grades),
        scorable=all(g.verdict is not Verdict.UNSCORABLE for g in grades),
    )
