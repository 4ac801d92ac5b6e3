"""Endless sequences of items, pure functions of (seed, position): a resumed run sees what it would have seen."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import torch
from torch.utils.data import Sampler

from papo import ranks
from papo.arguments import Positive, checked
from papo.errors import SettingError
from papo.seeding import derive_seed
from papo.types import Item

BLOCK = 1000  # positions of a mixture within which each source has its share exactly


class Source(Protocol):
    """A split of a data set: any map-style collection of items."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


class Endless(Protocol):
    """An item for every position 0, 1, 2, ..."""

    def __getitem__(self, position: int) -> Item: ...


def endless(source: Any, seed: int) -> Endless:
    """The source's items in the order of the seed, again and again."""
    return source.endless(seed) if hasattr(source, "endless") else Passes(source, seed)


class Passes:
    """Reshuffled passes over a source, laid behind one another."""

    def __init__(self, source: Source, seed: int) -> None:
        self.source, self.seed = source, seed
        self.number, self.order = -1, []  # of the pass that was used last

    def __getitem__(self, position: int) -> Item:
        return self.source[self.index(position)]

    def index(self, position: int) -> int:
        """The source's item at this position."""
        number, place = divmod(position, len(self.source))
        if number != self.number:
            generator = torch.Generator().manual_seed(derive_seed("order", self.seed, number))
            self.number, self.order = number, torch.randperm(len(self.source), generator=generator).tolist()
        return self.order[place]


class Mixture:
    """Several sources at once: of every BLOCK items each source gives its weight's share, in a shuffled order.

    A source's own items come in passes of their own, so a small one with a large weight comes round more often.

    Args:
        sources: by name; ids become "<name>/<id>".
        weights: of each source, in any unit.

    Raises:
        SettingError: names differ, or a weight is too small to give one item in BLOCK.
    """

    @checked
    def __init__(self, sources: Mapping[str, Any], weights: Mapping[str, Positive]) -> None:
        self.sources, self.weights = dict(sources.items()), dict(weights.items())
        if not self.sources or self.sources.keys() != self.weights.keys():
            raise SettingError("weights", f"must name {', '.join(self.sources)}, got {', '.join(self.weights)}")
        self.quotas = shares_of(BLOCK, list(self.weights.values()))
        for name, quota in zip(self.sources, self.quotas, strict=True):
            if quota < 1:
                raise SettingError(
                    f"weights.{name}", f"must give at least one item in {BLOCK}, got {self.weights[name]}"
                )

    def endless(self, seed: int) -> MixtureOrder:
        return MixtureOrder(self, seed)


class MixtureOrder:
    """Item i of a mixture: a function of (seed, i)."""

    def __init__(self, mixture: Mixture, seed: int) -> None:
        self.quotas, self.seed = mixture.quotas, seed
        self.names = list(mixture.sources)
        self.parts = [endless(part, derive_seed("part", seed, name)) for name, part in mixture.sources.items()]
        self.block, self.places = -1, []  # of the block that was used last

    def __getitem__(self, position: int) -> Item:
        part, index = self.place(position)
        item = self.parts[part][index]
        return replace(item, id=f"{self.names[part]}/{item.id}")

    def place(self, position: int) -> tuple[int, int]:
        """Which source the position is given to, and which of that source's items it is."""
        block, offset = divmod(position, BLOCK)
        if block != self.block:
            generator = torch.Generator().manual_seed(derive_seed("mixture", self.seed, block))
            slots = [part for part, quota in enumerate(self.quotas) for _ in range(quota)]
            taken = [0] * len(self.quotas)
            self.block, self.places = block, []
            for part in (slots[i] for i in torch.randperm(BLOCK, generator=generator).tolist()):
                self.places.append((part, block * self.quotas[part] + taken[part]))
                taken[part] += 1
        return self.places[offset]


def shares_of(total: int, weights: list[float]) -> list[int]:
    """`total` in whole parts by weight, largest remainders first.

    Raises:
        SettingError: a weight is not positive.

    >>> shares_of(10, [1, 1, 1])
    [4, 3, 3]
    """
    if not all(weight > 0 for weight in weights):
        raise SettingError("weights", f"must be positive, got {weights}")
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: parts[i] - exact[i])
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def few_of(size: int, count: int, among: Container[int] | None = None) -> list[int]:
    """At most `count` of range(size), drawn, and the same ones whenever they are asked for: every fourth of rows that
    ask the same four questions about each picture would be one question.

    Args:
        among: those that can be had; None = all. In place of another a further one is drawn, and all else stays.

    >>> few_of(10, 4)
    [2, 4, 6, 7]
    """
    drawn = random.Random(derive_seed("few of", size)).sample(range(size), min(size, count))
    if among is not None:
        others = sorted({*range(size)} - {*drawn})
        random.Random(derive_seed("further ones of", size)).shuffle(others)
        drawn = islice((index for index in [*drawn, *others] if index in among), count)
    return sorted(drawn)


class StepSampler(Sampler[list[int]]):
    """Batches of positions from `start_step` on, without end: batch s holds this rank's share of s * batch_size and
    those that follow."""

    def __init__(self, batch_size: int, start_step: int) -> None:
        self.batch_size, self.start_step = batch_size, start_step

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start_step * self.batch_size
        while True:
            yield list(ranks.dealt(range(position, position + self.batch_size)))
            position += self.batch_size
