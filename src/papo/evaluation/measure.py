"""What is measured on a benchmark: accuracy with the image, without it, and by the data's own tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tqdm import tqdm

from papo.corruption import RandomPatchMask
from papo.data.module import Source
from papo.evaluation.answering import Answered, answer
from papo.evaluation.metrics import Estimate, mean_over_items
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.types import PromptBatch

# A blind policy keeps its prompt and placeholders; every patch of every image is black.
BLIND = RandomPatchMask(mask_ratio=1.0)


def measure(
    policy: Policy,
    processor: PromptProcessor,
    source: Source,
    *,
    name: str,
    k: int,
    batch_size: int,
    sampling: Sampling,
    seed: int,
) -> dict[str, Estimate]:
    """avg@k over all items and by tag, each with the image and blind.

    Returns:
        "avg@8", "avg@8/family=charts", ..., "blind/avg@8", "blind/avg@8/family=charts", ...
    """
    seen: list[Answered] = []
    blind: list[Answered] = []
    for prompts in batches(processor, source, batch_size, name):
        prompts = prompts.to(policy.device)
        masked = replace(prompts, images=BLIND(prompts.images, seeds=[0] * len(prompts)))
        for answers, shown in ((seen, prompts), (blind, masked)):
            answers += answer(policy, processor, shown, k=k, sampling=sampling, seed=seed)
    return by_tag(seen, f"avg@{k}") | by_tag(blind, f"blind/avg@{k}")


def batches(processor: PromptProcessor, source: Source, size: int, name: str) -> Iterator[PromptBatch]:
    for start in tqdm(range(0, len(source), size), desc=name, unit="batch"):
        yield processor.prompts([source[i] for i in range(start, min(start + size, len(source)))])


def by_tag(answers: list[Answered], metric: str) -> dict[str, Estimate]:
    """The metric over all scorable items, and over those with each value of each tag.

    Raises:
        ValueError: no item is scorable.
    """
    groups: dict[str, list[float]] = {metric: []}
    for answered in answers:
        if answered.scorable:
            groups[metric].append(answered.accuracy)
            for tag, value in answered.item.tags.items():
                groups.setdefault(f"{metric}/{tag}={value}", []).append(answered.accuracy)
    first, *rest = groups
    return {name: mean_over_items(groups[name]) for name in (first, *sorted(rest))}
