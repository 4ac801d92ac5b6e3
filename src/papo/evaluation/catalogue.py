"""The items of a benchmark, found by their ids or by their rows in the data; without their pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from omegaconf import DictConfig

from papo.building import built
from papo.data.module import Source
from papo.errors import BadRow, ConfigError
from papo.types import Item
from papo.visible import line


def source_of(benchmarks: DictConfig, name: str) -> Source:
    """A benchmark's items, from its settings among those of all.

    Raises:
        ConfigError: a setting cannot work, or they are a stream.
    """
    source = built(benchmarks[name])
    if hasattr(source, "endless"):
        raise ConfigError(
            f"benchmarks.{name} must be one source, not streamed: its items come once, in order "
            f"(benchmarks.{name}.streaming=false)"
        )
    return source


class Entry(NamedTuple):
    item: Item  # without pictures
    row: int  # of the data, from 0
    picture: str | None  # see Item.picture; None where pictures were left undecoded


@dataclass(frozen=True)
class Catalogue:
    """Args:
    by_id: every item that can be read; of two rows with one id the first.
    bad: why others cannot, by id.
    name: of the benchmark.
    bad_rows: ids of these, by their rows in the data.
    """

    by_id: dict[str, Entry]
    bad: dict[str, str]
    name: str
    bad_rows: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(source: Source, name: str, *, decode: bool | Collection[str]) -> Catalogue:
        """Reads all rows.

        Args:
            decode: whether pictures are looked at, to tell which items share one; or of which items they are, by id,
                where they can be.
        """
        look = source.__getitem__ if decode is True else getattr(source, "draft", source.__getitem__)
        found, bad, bad_rows = {}, {}, {}
        for index in range(len(source)):
            try:
                item = look(index)
            except BadRow as row:
                bad.setdefault(row.id, row.reason)
                bad_rows[row_of(source, index)] = row.id
                continue
            picture = item.picture if decode is True else None
            if decode and decode is not True and item.id in decode:
                with suppress(BadRow):
                    picture = source[index].picture
            found.setdefault(item.id, Entry(replace(item, images=()), row_of(source, index), picture))
        return Catalogue(found, bad, name, bad_rows)

    def by_row(self) -> dict[int, Entry]:
        return {entry.row: entry for entry in self.by_id.values()}

    @property
    def grader(self) -> str:
        """What grades its items, in words."""
        return f"rule {', '.join(sorted({entry.item.rule for entry in self.by_id.values()}))}"

    @property
    def exported(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Row and choices of each item."""
        return {id: (entry.row, entry.item.choices) for id, entry in self.by_id.items()}

    def check(self, wanted: Iterable[str]) -> None:
        """Raises ConfigError where an item is not there."""
        wanted = set(wanted)
        missing = sorted(wanted - self.by_id.keys())
        if missing:
            why = f" ({line(self.bad[missing[0]], 200)})" if missing[0] in self.bad else ""
            raise ConfigError(
                f"benchmarks.{self.name} lacks {len(missing)} of the {len(wanted)} items that were answered, such as "
                f"{line(missing[0], 200)}{why}; name the data that they are of with benchmarks=[...]"
            )


def row_of(source: Any, index: int) -> int:
    """Which row of its data an item is; what is drawn has no other number than its place."""
    rows = getattr(source, "rows", None)
    index = index if rows is None else rows[index]
    inner = getattr(source, "source", None)
    return index if inner is None else row_of(inner, index)
