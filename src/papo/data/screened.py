"""What a screen leaves of a source whose items can be had in any order.

One that turns bad later is replaced where items are trained on, and left out where they are measured on: in its
replacement's place another would count twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from papo.data.audit import DRAWN
from papo.data.guessability import Guessability
from papo.data.order import few_of
from papo.errors import BadRow, Gone
from papo.seeding import derive_seed
from papo.types import Item

if TYPE_CHECKING:
    from papo.data.screening import Screen


class Screened:
    """The good rows of a source, in its order. One that turns bad later is replaced by another one."""

    def __init__(self, source: Any, screen: Screen, key: str, guessability: Guessability | None) -> None:
        self.source, self.screen, self.key, self.guessability = source, screen, key, guessability
        # What the package draws or ships has no draft to look at, and no row that is worse than another.
        looked_through = hasattr(source, "draft") or guessability is not None
        if looked_through:
            self.rows: Sequence[int] = screen.scan(source, key, guessability, decode=self.decoded)
        else:
            self.rows = range(len(source))
            indices = few_of(len(source), DRAWN)
            screen.sampled(source, key, f"{key}: {len(source)} items", source.__getitem__, indices, drawn=True)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def decoded(self) -> bool:
        """Whether the look at start decodes pictures."""
        return self.screen.decode_at_start

    def __getitem__(self, index: int) -> Item:
        """Raises IndexError outside [0, len), so that iteration ends."""
        if not 0 <= index < len(self.rows):
            raise IndexError(f"index must lie in [0, {len(self.rows)}), got {index}")
        return self._item(index)

    def _item(self, index: int) -> Item:
        rows = (self.rows[i] for i in self._candidates(index))
        return self.screen.first_good(self.source.__getitem__, self.key, self.guessability, rows, [])

    def ids(self) -> set[str]:
        """Of all items that can be had, from their drafts."""
        found = set()
        for index in range(len(self)):
            with suppress(BadRow):
                found.add(self.draft(index).id)
        return found

    def items(self) -> Iterator[Item]:
        """All that can be had, decoded."""
        for index in range(len(self)):
            with suppress(BadRow):
                yield self[index]

    def few(self, count: int) -> list[int]:
        """Where at most `count` drawn items stand; the same items, whatever becomes of others."""
        places = {row: place for place, row in enumerate(self.rows)}
        return [places[row] for row in few_of(len(self.source), count, places)]

    def draft(self, index: int) -> Item:
        """As the look at start saw it."""
        look = self.source.draft if hasattr(self.source, "draft") else self.source.__getitem__
        return look(self.rows[index])

    def _candidates(self, index: int) -> Iterator[int]:
        """The row itself, then its replacements: a function of the index alone."""
        yield index
        for attempt in count():
            yield derive_seed("replacement", index, attempt) % len(self.rows)


class Measured(Screened):
    """Those of a source that is measured on, their pictures decoded at start. One that turns bad later is gone."""

    decoded = True

    def _item(self, index: int) -> Item:
        """Raises Gone."""
        try:
            return self.screen.check(self.source[self.rows[index]], self.guessability)
        except BadRow as bad:
            self.screen.skips.add(self.key, bad)
            said = f"of {self.key} could be read at the start and no longer can ({bad.reason})"
            raise Gone(bad.id, f"{said}; the same command with the same hydra.run.dir goes on without it") from bad
