"""Answers to a benchmark: every item k times with its image, with the image corrupted, and blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from tqdm import tqdm

from papo.arguments import Count, CountOrOff, Must, check_call, checked
from papo.corruption import Maker
from papo.data.module import Source
from papo.evaluation.answer_cache import AnswerCache
from papo.evaluation.answering import BLIND, Answered, answer
from papo.evaluation.looking import Looking
from papo.evaluation.records import Record, RecordFile
from papo.lab.guessed import guessed, looked
from papo.lab.mistakes import error_kind
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.report import GradedResponse
from papo.rewards.readable import readable
from papo.rollout import Engine
from papo.seeding import derive_seed
from papo.types import Item, PromptBatch, Responses

VIEWS = Must(
    "hold image and may hold masked and blind",
    lambda names: "image" in names and set(names) <= {"image", "masked", "blind"},
)


@checked
def views_of(names: Annotated[Sequence[str], VIEWS], corruption: Maker) -> dict[str, Maker | None]:
    """What makes an item's images under each name, "image" first: None = as they are.

    Raises:
        SettingError: an unknown name, or no "image".
    """
    known: dict[str, Maker | None] = {"image": None, "masked": corruption, "blind": BLIND}
    return {name: maker for name, maker in known.items() if name in names}


@dataclass(frozen=True)
class Examination:
    """How benchmarks are answered, the same for every model.

    Args:
        views: see `views_of`.
        k: responses per item and view.
        batch_size: items answered at one time.
        sampling: how responses are drawn.
        seed: of responses and corruption.
        engine: draws them.
        token_items, token_responses: the first items of a benchmark, and the first responses to each with its image,
            whose tokens get their perception KL. Needs the view "masked".
        looking: which items are looked into, by the same first responses; None = none are.

    Raises:
        SettingError: k or batch_size is not positive.
    """

    views: Mapping[str, Maker | None]
    k: Count
    batch_size: Count
    sampling: Sampling
    seed: int
    engine: Engine
    token_items: CountOrOff
    token_responses: CountOrOff
    looking: Looking | None = None

    def __post_init__(self) -> None:
        check_call(Examination, vars(self))

    def attach(self, policy: Policy, processor: PromptProcessor) -> None:
        """Shows the engine and what makes views the policy that will answer; see Engine and Maker."""
        self.engine.attach(policy)
        for maker in self.views.values():
            if maker is not None:
                maker.attach(policy)
                maker.process_with(processor.images)

    def check(self, item: Item) -> None:
        """Raises ConfigError: the item lacks what a view needs."""
        for maker in self.views.values():
            if maker is not None:
                maker.check(item)

    def __call__(
        self,
        policy: Policy,
        processor: PromptProcessor,
        source: Source,
        file: RecordFile,
        name: str,
        cache: AnswerCache | None = None,
    ) -> list[Record]:
        """The records of all items; those that `file` holds already are not answered again.

        Args:
            name: what is shown of progress.
            cache: see `answer`.
        """
        starts = range(len(file.records), len(source), self.batch_size)
        with tqdm(total=len(source), initial=len(file.records), desc=name, unit="item") as bar:
            for start in starts:
                items = (source[i] for i in range(start, min(start + self.batch_size, len(source))))
                prompts = processor.prompts(items).to(policy.device)
                file.append(self.batch(policy, processor, prompts, start=start, cache=cache))
                bar.update(len(prompts))
        return file.records

    def view_seeds(self, items: Sequence[Item]) -> list[int]:
        """What the items' images are corrupted from."""
        return [derive_seed("evaluation-corruption", self.seed, item.id) for item in items]

    def shown(self, prompts: PromptBatch, view: str) -> PromptBatch:
        """The prompts with the images of a view."""
        maker = self.views[view]
        if maker is None:
            return prompts
        return replace(prompts, images=maker.of(prompts, self.view_seeds(prompts.items)))

    @torch.no_grad()
    def batch(
        self,
        policy: Policy,
        processor: PromptProcessor,
        prompts: PromptBatch,
        *,
        start: int,
        cache: AnswerCache | None = None,
    ) -> list[Record]:
        """The records of one batch, of the items from `start` on."""
        answers: dict[str, list[Answered]] = {}
        responses: Responses | None = None  # with the images
        # The engine is started where something has to be drawn: all of it may be known.
        settings = {"k": self.k, "sampling": self.sampling, "seed": self.seed, "cache": cache, "step": 0}
        for name in self.views:
            answers[name], drawn = answer(policy, self.engine, processor, self.shown(prompts, name), **settings)
            responses = responses or drawn
        records = [
            Record(
                id=item.id,
                question=item.question,
                answer=item.answer,
                tags=dict(item.tags),
                views={name: graded_responses(item, answers[name][n], processor.instruction) for name in self.views},
                picture=item.picture,
            )
            for n, item in enumerate(prompts.items)
        ]
        with_kl = start < self.token_items and "masked" in self.views
        into = 0 if self.looking is None else max(0, min(self.looking.first_items - start, len(records)))
        first = min(self.token_responses, self.k)
        if first == 0 or "image" not in self.views or not (with_kl or into):
            return records
        chosen = responses.select([n * self.k + g for n in range(len(records)) for g in range(first)])
        rows = zip(chosen.response_ids, chosen.response_mask, strict=True)
        tokens = [tuple(processor.tokens(ids[real])) for ids, real in rows]
        kl = self._kl(policy, prompts, chosen) if with_kl else [()] * len(tokens)
        drops = [
            of_response
            for n in range(into)
            for of_response in self.looking(
                policy,
                prompts.select([n]),
                chosen.select(range(n * first, (n + 1) * first)),
                tokens[n * first : (n + 1) * first],
                temperature=self.sampling.score_temperature,
                at_once=self.batch_size,
            )
        ]
        drops += [None] * (len(tokens) - len(drops))
        measured = [
            {"tokens": words, "kl": of_kl, "drops": of_drops} if of_kl or of_drops else {}
            for words, of_kl, of_drops in zip(tokens, kl, drops, strict=True)
        ]
        return [record.with_first(measured[n * first : (n + 1) * first]) for n, record in enumerate(records)]

    def _kl(self, policy: Policy, prompts: PromptBatch, responses: Responses) -> list[tuple[float, ...]]:
        """The perception KL of each token of responses to all prompts."""
        temperature, mask = self.sampling.score_temperature, responses.response_mask
        states = {}
        for view in ("image", "masked"):
            shown = self.shown(prompts, view)
            context = policy.prefill(shown, policy.encode(shown.images))
            states[view] = policy.score(context, responses, temperature=temperature, keep_states=True).states
        kl = policy.full_kl(states["image"], states["masked"], mask, temperature=temperature)
        rows = zip(kl, mask, strict=True)
        return [tuple(round(value, 4) for value in of_row[real].tolist()) for of_row, real in rows]


def graded_responses(item: Item, answered: Answered, instruction: str | None) -> tuple[GradedResponse, ...]:
    """What is kept of an item's responses under one view.

    Args:
        instruction: that asked for a format; None = not known, nor then whether they have it.
    """
    return tuple(
        GradedResponse(
            text=text,
            verdict=grade.verdict.value,
            answer=grade.answer,
            reason=grade.reason,
            error=error_kind(item, text) if item.scene is not None and grade.verdict.value == "wrong" else None,
            readable=None if instruction is None else readable(text, instruction),
            guessed=None if item.guess is None else guessed(item, text),
            looked=None if item.guess is None or item.rationale is None else looked(item, text),
            finished=finished,
        )
        for text, grade, finished in zip(
            answered.responses, answered.grades, answered.finished or (None,) * len(answered.grades), strict=True
        )
    )
