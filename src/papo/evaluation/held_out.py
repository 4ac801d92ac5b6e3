"""What held-out items say about a policy: answered with the image, greedily, masked and blind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from papo.corruption import Maker
from papo.errors import SettingError
from papo.evaluation.answering import Answered, answer, blinded
from papo.evaluation.gibberish import SIGNS, gibberish
from papo.lab.guessed import guessed
from papo.lab.mistakes import KINDS, error_kind
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rewards.readable import readable
from papo.rollout import Engine
from papo.seeding import derive_seed
from papo.types import PromptBatch, Responses


@dataclass(frozen=True)
class ItemValues:
    """What was measured of one item, each in [0, 1]; what its data does not know is left out. None = the item could not
    be graded."""

    item: str  # its id
    picture: str  # the same for all items about one picture
    values: Mapping[str, float | None]
    asked: str = ""  # the same for the same words


@dataclass(frozen=True)
class HeldOut:
    """How held-out items are answered, and what is read out of the answers.

    accuracy            share of right answers among k with the image; of k masked and k blind: masked, blind
    greedy              whether the likeliest answer is right
    guessed             share of answers that name what the words suggest (items with a guess)
    readable            share in the format that was asked for; of the masked: readable_masked
    error_...           share that is wrong in this way (items whose scene is known)
    repeated_masked, unlikely_masked    see papo.evaluation.gibberish

    Args:
        samples: k before and after training.
        samples_during: k in between.
        greedy, blind: whether items are answered greedily and blind too (every patch black).
        masked: paints what items are answered on for masked; from the item alone, so that it is the same each time.
            None = they are not.
        sampling: how answers are drawn.

    Raises:
        SettingError: no samples, or what masks an item shows it another's picture.
    """

    samples: int
    samples_during: int
    greedy: bool
    blind: bool
    masked: Maker | None
    sampling: Sampling

    def __post_init__(self) -> None:
        for name in ("samples", "samples_during"):
            if getattr(self, name) < 1:
                raise SettingError(name, f"must be at least 1, got {getattr(self, name)}")
        if self.masked is not None and not self.masked.alone:
            raise SettingError(
                "masked",
                f"must make a view of each item alone, the same at every validation, got {type(self.masked).__name__}, "
                "which shows other items of the batch",
            )

    @property
    def measures(self) -> set[str]:
        """All that may be measured with these settings; some of it only of data that knows what it needs."""
        found = {"accuracy", "readable", "guessed", *(f"error_{kind}" for kind in KINDS)}
        found |= {name for name in ("greedy", "blind") if getattr(self, name)}
        return found | {"masked", *(f"{name}_masked" for name in ("readable", *SIGNS))} if self.masked else found

    @torch.no_grad()
    def attach(self, policy: Policy, processor: PromptProcessor) -> None:
        """Shows what masks pictures the policy that will answer; see Maker.

        Raises:
            ConfigError: it cannot work with this policy.
        """
        if self.masked is not None:
            self.masked.attach(policy)
            self.masked.process_with(processor.images)

    def __call__(
        self,
        policy: Policy,
        engine: Engine,
        processor: PromptProcessor,
        prompts: PromptBatch,
        *,
        seed: int,
        during: bool = False,
        views: bool = True,
    ) -> list[ItemValues]:
        """What is measured of each prompt.

        Args:
            seed: of the answers; an item's depend on it and on the item alone.
            during: whether this is in the midst of a run.
            views: whether what needs more than answers with the image is measured too.
        """
        k = self.samples_during if during else self.samples
        settings = {"k": k, "sampling": self.sampling, "seed": seed}

        def answers(shown: PromptBatch, **changes) -> tuple[list[Answered], Responses]:
            answered, responses = answer(policy, engine, processor, shown, **settings | changes)
            return answered, responses

        seen, _ = answers(prompts)
        found = [with_image(answered, processor.instruction) for answered in seen]

        def add(name: str, values: Iterable[float]) -> None:
            for of_item, value in zip(found, values, strict=True):
                of_item[name] = value

        if views and self.greedy:
            greedy, _ = answers(prompts, k=1, sampling=replace(self.sampling, temperature=0.0))
            add("greedy", [answered.accuracy for answered in greedy])
        if views and self.blind:
            unseen, _ = answers(blinded(prompts))
            add("blind", [answered.accuracy for answered in unseen])
        if views and self.masked is not None:
            seeds = [derive_seed("held-out-mask", item.id) for item in prompts.items]
            masked, responses = answers(replace(prompts, images=self.masked.of(prompts, seeds)))
            add("masked", [answered.accuracy for answered in masked])
            add("readable_masked", [share_readable(answered, processor.instruction) for answered in masked])
            for name, values in gibberish(responses, len(processor.tokenizer)).items():
                add(f"{name}_masked", values.view(-1, k).mean(-1).tolist())
        return [
            ItemValues(
                answered.item.id,
                answered.item.picture,
                values if answered.scorable else dict.fromkeys(values),
                answered.item.asked,
            )
            for answered, values in zip(seen, found, strict=True)
        ]


def with_image(answered: Answered, instruction: str) -> dict[str, float]:
    """What the answers to one item with its image say."""
    item, responses = answered.item, answered.responses
    values = {"accuracy": answered.accuracy, "readable": share_readable(answered, instruction)}
    if item.guess is not None:
        values["guessed"] = fmean(guessed(item, response) for response in responses)
    if item.scene is not None:
        graded = zip(answered.grades, responses, strict=True)
        kinds = [None if grade.correct else error_kind(item, response) for grade, response in graded]
        values |= {f"error_{kind}": kinds.count(kind) / len(kinds) for kind in KINDS}
    return values


def share_readable(answered: Answered, instruction: str) -> float:
    return fmean(readable(response, instruction) for response in answered.responses)
