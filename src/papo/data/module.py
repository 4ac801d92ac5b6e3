"""Batches as a pure function of (seed, step), so that a resumed run sees what the uninterrupted one would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from papo.errors import ConfigError
from papo.seeding import derive_seed
from papo.types import Item


class Source(Protocol):
    """A split of a data set: any map-style collection of items."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item: ...


class StepSampler(Sampler[list[int]]):
    """Index batches from `start_step` on, without end: reshuffled passes over the data, laid behind one another.

    Batch s holds positions s * batch_size ... of the endless sequence; a batch may straddle two passes.
    """

    def __init__(self, size: int, batch_size: int, seed: int, start_step: int) -> None:
        self.size, self.batch_size, self.seed, self.start_step = size, batch_size, seed, start_step

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start_step * self.batch_size
        epoch, order = -1, []
        while True:
            batch = []
            while len(batch) < self.batch_size:
                if position // self.size != epoch:
                    epoch = position // self.size
                    generator = torch.Generator().manual_seed(derive_seed("order", self.seed, epoch))
                    order = torch.randperm(self.size, generator=generator).tolist()
                batch.append(order[position % self.size])
                position += 1
            yield batch


class PromptData(LightningDataModule):
    """Training and held-out prompts.

    Args:
        train: items that roll-outs (or supervised targets) are made from.
        val: held-out items that accuracy is measured on.
        collate: turns a list of items into a batch.
        val_collate: the same for held-out items.
        batch_size: prompts per step.
        val_batch_size: prompts per validation batch.
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        seed: order of the training items.
    """

    def __init__(
        self,
        train: Source,
        val: Source,
        *,
        collate: Callable[[Sequence[Item]], Any],
        val_collate: Callable[[Sequence[Item]], Any],
        batch_size: int,
        val_batch_size: int,
        num_workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        if not 0 < batch_size <= len(train):
            raise ConfigError(f"data.batch_size must lie in 1..{len(train)} (the training items), got {batch_size}")
        self.train, self.val = train, val
        self.collate, self.val_collate = collate, val_collate
        self.batch_size, self.val_batch_size = batch_size, val_batch_size
        self.num_workers = num_workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        # Called after a checkpoint was restored, so the module already knows how many steps lie behind it.
        start_step = self.trainer.lightning_module.step
        return DataLoader(
            self.train,
            batch_sampler=StepSampler(len(self.train), self.batch_size, self.seed, start_step),
            collate_fn=self.collate,
            num_workers=self.num_workers,
        )

    def refill(self, step: int, refill: int) -> list[Item]:
        """Further training items for a step that has too few (dynamic sampling): a pure function of the arguments.

        They may have come before; the caller knows which it has had in this step.
        """
        generator = torch.Generator().manual_seed(derive_seed("refill", self.seed, step, refill))
        chosen = torch.randint(len(self.train), (self.batch_size,), generator=generator).unique().tolist()
        return [self.train[index] for index in chosen]

    def val_dataloader(self) -> DataLoader:
        return DataLoader(
            self.val, batch_size=self.val_batch_size, collate_fn=self.val_collate, num_workers=self.num_workers
        )
