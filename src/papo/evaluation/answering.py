"""Sampling k graded answers per item: validation during training and evaluate.py share this one path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from papo.corruption import RandomPatchMask
from papo.evaluation.answer_cache import AnswerCache
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rewards.grading import Grade, Verdict, grade
from papo.rollout import Engine
from papo.seeding import derive_seed
from papo.types import Item, PromptBatch, Responses

# A blind policy keeps its prompt and placeholders; every patch of every image is black.
BLIND = RandomPatchMask(mask_ratio=1.0)


@dataclass(frozen=True)
class Answered:
    """An item with its k responses, their grades, and whether each came to its end; () = not known."""

    item: Item
    responses: tuple[str, ...]
    grades: tuple[Grade, ...]
    finished: tuple[bool, ...] = ()

    @property
    def scorable(self) -> bool:
        """False where the item itself cannot be graded."""
        return all(grade.verdict is not Verdict.UNSCORABLE for grade in self.grades)

    @property
    def accuracy(self) -> float:
        return sum(grade.correct for grade in self.grades) / len(self.grades)


@torch.no_grad()
def answer(
    policy: Policy,
    engine: Engine,
    processor: PromptProcessor,
    prompts: PromptBatch,
    *,
    k: int,
    sampling: Sampling,
    seed: int,
    cache: AnswerCache | None = None,
    step: int | None = None,
) -> tuple[list[Answered], Responses]:
    """k responses to each prompt, graded, and as tokens.

    An item's responses depend on (seed, item id) alone.

    Args:
        cache: where they are looked for first; None = all are drawn.
        step: of the policy, whose weights the engine gets where it has to draw; None = it has them.
    """

    def draw(prompts: PromptBatch, seeds: Sequence[int]) -> Responses:
        if step is not None:
            engine.sync(policy, step)
        return engine.sample(prompts, policy.encode(prompts.images), k, sampling, seeds)

    seeds = [derive_seed("evaluation", seed, item.id) for item in prompts.items]
    responses = draw(prompts, seeds) if cache is None else cache.responses(prompts, seeds, k, sampling, draw)
    texts = processor.decode(responses)
    finished = responses.finished.tolist()
    of_items = [slice(n * k, (n + 1) * k) for n in range(len(prompts.items))]
    pairs = zip(prompts.items, of_items, strict=True)
    return [replace(graded(item, texts[its]), finished=tuple(finished[its])) for item, its in pairs], responses


def graded(item: Item, responses: Sequence[str]) -> Answered:
    return Answered(item, tuple(responses), tuple(grade(item, response) for response in responses))


def blinded(prompts: PromptBatch) -> PromptBatch:
    """The same prompts with every patch of every image black."""
    return replace(prompts, images=BLIND(prompts.images, [0] * len(prompts)))
