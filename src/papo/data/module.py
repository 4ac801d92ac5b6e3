"""Prompts for training, for refills and for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from typing import Any

from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, Subset

from papo import ranks
from papo.arguments import Count, Natural, Share, Text, checked
from papo.data.blank import Blanked
from papo.data.guessability import guessability_of
from papo.data.order import Endless, Mixture, StepSampler, endless
from papo.data.order import Source as Source  # also found here
from papo.data.screened_stream import ScreenedStream
from papo.data.screening import Screen
from papo.data.skips import Skips
from papo.data.sources.split import TableSource
from papo.errors import ConfigError, Gone, SettingError
from papo.interrupts import held, left_to_parent
from papo.seeding import derive_seed
from papo.types import Item


class PromptData(LightningDataModule):
    """Training and held-out prompts; batches are a pure function of (seed, step), but for refills from a stream.

    Args:
        train: items that roll-outs (or supervised targets) are made from: a source, a stream or a Mixture of them.
        val: held-out items that accuracy is measured on.
        collate: turns items, which come one after another, into a batch.
        val_collate: the same for held-out items.
        batch_size: prompts per step, those of all ranks together.
        val_batch_size: prompts per validation batch.
        val_items: held-out items, always the same ones, that a validation in the midst of training is done with.
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        seed: order of the training items.
        guessable: further held-out items, those that the words give away; None = none.
        length, max_prompt_tokens, max_bad_share, decode_at_start, require_image: see Screen.
        needs: of the training items, see Screen.
        blank: whether training pictures are black: what is gained then is gained without seeing.
        guessability, max_guessable: of the training items, see Guessability.

    Raises:
        SettingError: a setting cannot work.
        ConfigError: a source has too many bad rows.
    """

    @checked
    def __init__(
        self,
        train: Any,
        val: Source,
        *,
        collate: Callable[[Iterable[Item]], Any],
        val_collate: Callable[[Iterable[Item]], Any],
        batch_size: Count,
        val_batch_size: Count,
        val_items: Count,
        num_workers: Natural,
        seed: int,
        guessable: Source | None = None,
        length: Callable[[Item], int] | None = None,
        needs: Callable[[Item], None] | None = None,
        max_prompt_tokens: Count | None = 4096,
        max_bad_share: Share = 0.01,
        decode_at_start: bool = False,
        require_image: bool = False,
        blank: bool = False,
        guessability: Text | None = None,
        max_guessable: Share | None = None,
    ) -> None:
        super().__init__()
        for name, source in (("val", val), ("guessable", guessable)):
            if hasattr(source, "endless"):
                raise SettingError(name, "must be one source, not streamed: held-out items come once, in order")
        screen = Screen(
            length,
            max_prompt_tokens=max_prompt_tokens,
            max_bad_share=max_bad_share,
            decode_at_start=decode_at_start,
            require_image=require_image,
        )
        self.skips: Skips = screen.skips
        self.too_guessable: Skips = screen.too_guessable
        self.train = screen.needing(needs)(train, "data.train", guessability_of(guessability, max_guessable))
        self.val = screen(val, "data.val", measured=True)
        self.guessable = None if guessable is None else screen(guessable, "data.guessable", measured=True)
        most = len(self.train) if hasattr(self.train, "__len__") else batch_size
        if batch_size > most:
            raise SettingError("batch_size", f"must lie in 1..{most} (the training items), got {batch_size}")
        self.collate, self.val_collate = collate, val_collate
        self.blank = blank
        self.batch_size, self.val_batch_size, self.val_items = batch_size, val_batch_size, val_items
        self.num_workers = num_workers
        self.seed = seed
        self.refills: Endless | None = None  # of a stream: those of all steps
        self.refilled = 0  # how many of these the steps so far have had; the other state besides the step

    def train_dataloader(self) -> DataLoader:
        # Called after a checkpoint was restored, so the module already knows how many steps lie behind it.
        start_step = self.trainer.lightning_module.step
        return self.loader(self.items(self.seed), StepSampler(self.batch_size, start_step), self.collate)

    def loader(self, items: Any, batches: Iterable[Sequence[int]], collate: Callable[[Iterable[Item]], Any]) -> Loader:
        return Loader(
            OneByOne(items),
            batch_sampler=batches,
            collate_fn=partial(collated_or_refused, collate),
            num_workers=self.num_workers,
            # Forked: what collates them belongs to the module and cannot be sent. Nothing else is the default in a
            # process that was spawned, as those of a strategy are, or on macOS.
            multiprocessing_context="fork" if self.num_workers else None,
            worker_init_fn=left_to_parent,
        )

    def items(self, seed: int) -> Endless:
        """The training items in the order of the seed, again and again."""
        items = endless(self.train, seed)
        return Blanked(items) if self.blank else items

    def firsts(self) -> Iterator[Item]:
        """One training item of each source."""
        sources = self.train.sources.values() if isinstance(self.train, Mixture) else [self.train]
        for source in sources:
            yield endless(source, self.seed)[0]

    def refill(self, step: int, refill: int) -> list[Item]:
        """Further training items for a step that has too few (dynamic sampling), the same on all ranks: a pure function
        of the arguments; of a stream those behind the last refill's.

        They may have come before; the caller knows which it has had in this step.
        """
        if streamed(self.train):
            # A new order would read what the stream begins with, each time. So all refills are one, with a buffer of
            # its own, which is read no further than they have asked for.
            if self.refills is None:
                self.refills = self.items(derive_seed("refill", self.seed))
            items, start = self.refills, self.refilled
            self.refilled += self.batch_size
        else:
            items, start = self.items(derive_seed("refill", self.seed, step, refill)), 0
        return [items[position] for position in range(start, start + self.batch_size)]

    def state_dict(self) -> dict[str, int]:
        """Part of a run's checkpoints."""
        return {"refilled": self.refilled}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self.refilled = state_dict["refilled"]

    def first(self, count: int) -> Sequence[Item]:
        """The first `count` training items of the run, or all where there are fewer."""
        if hasattr(self.train, "__len__"):
            count = min(count, len(self.train))
        return Subset(self.items(self.seed), range(count))

    def val_dataloader(self) -> list[DataLoader]:
        """The held-out items, and those that the words give away: all of them, but few in the midst of training."""
        sources = [source for source in (self.val, self.guessable) if source is not None]
        if self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            sources = [Subset(source, source.few(self.val_items)) for source in sources]
        # A rank without any has an empty batch: Lightning would pass over its validation, and the others wait for it.
        batches = [ranks.batches(len(source), self.val_batch_size) or [[]] for source in sources]
        return [
            self.loader(source, of_source, self.collated_for_validation)
            for source, of_source in zip(sources, batches, strict=True)
        ]

    def collated_for_validation(self, items: Iterable[Item]) -> Any:
        """None for no items."""
        items = iter(items)
        first = list(islice(items, 1))
        # Taken out of the list when it is asked for: a picture is let go once what follows has made its input of it.
        return self.val_collate(chain((first.pop() for _ in range(1)), items)) if first else None

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Every batch passes here in the training process, where what workers skipped is added up."""
        if self.trainer.training and self.trainer.logger is not None:
            step = self.trainer.lightning_module.step + 1
            self.trainer.logger.log_metrics({"data/skipped": self.skips.count()}, step=step)
        return batch


def first_of(source: Source, limit: int | None) -> Source:
    """The first rows of a source, in its own order; None = all. What is known of it stays known."""
    if limit is None or limit >= len(source):
        return source
    return source.first(limit) if isinstance(source, TableSource) else Subset(source, range(limit))


def streamed(source: Any) -> bool:
    """Whether any of a screened source's items are only read forwards."""
    if isinstance(source, Mixture):
        return any(map(streamed, source.sources.values()))
    return isinstance(source, ScreenedStream)


class Loader(DataLoader):
    """Raises a ConfigError of a worker as it was raised there; torch would make a worker's traceback of it."""

    def __iter__(self) -> Iterator[Any]:
        for batch in self.begun():
            if isinstance(batch, ConfigError):
                raise batch
            yield batch

    def begun(self) -> Iterator[Any]:
        """Its workers are all started: of a loader that is not there yet none would ever be told to end."""
        with held():
            return super().__iter__()


def collated_or_refused(collate: Callable[[Iterable[Item]], Any], items: Iterable[Item]) -> Any:
    """A batch, or the ConfigError that reading or collating its items raised."""
    try:
        return collate(items)
    except ConfigError as error:
        return error


class OneByOne:
    """Items of which a data loader's batch is an iterator: each is read when what collates them asks for it.

    Args:
        items: by position.
    """

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, positions: Sequence[int]) -> Iterable[Item]:
        """Which torch asks for, where it is there, not all items of a batch; those that are gone are left out."""
        for position in positions:
            with suppress(Gone):
                yield self.items[position]
