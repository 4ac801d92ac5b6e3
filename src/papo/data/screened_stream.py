"""What a screen leaves of a stream, which goes on without bad rows up to a share of those that it has met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from papo.data.audit import DRAWN
from papo.data.guessability import Guessability
from papo.data.order import Endless, endless
from papo.data.sources.stream import StreamReader
from papo.errors import BadRow, ConfigError
from papo.types import Item

if TYPE_CHECKING:
    from papo.data.screening import Screen

# Of a stream only the rows so far are known. From this many on too many of them are bad where they are more than
# max_bad_share allows by so many standard deviations of that number: a few more may be chance.
JUDGED, CHANCE = 300, 3


class ScreenedStream:
    """A stream without its bad rows."""

    def __init__(self, source: Any, screen: Screen, key: str, guessability: Guessability | None) -> None:
        self.source, self.screen, self.key, self.guessability = source, screen, key, guessability
        screen.sampled(source, key, f"{key}: a stream", source.beginning(DRAWN).draft, range(DRAWN), drawn=False)

    def endless(self, seed: int) -> Endless:
        return _ScreenedOrder(self, endless(self.source, seed))


class _ScreenedOrder:
    """Item i is the stream's i-th row that can be used: a function of (seed, i), fast where i only grows.

    Rows that are passed over are looked at, too, by every worker and where a run goes on, hence as drafts. One whose
    picture then cannot be decoded is replaced by the next.
    """

    def __init__(self, screened: ScreenedStream, items: StreamReader) -> None:
        self.screened, self.items = screened, items
        self._start_over()

    def __getitem__(self, index: int) -> Item:
        """Raises ConfigError where too many of the rows so far are bad."""
        if index not in self.alike:
            if index < self.good - 1:
                self._start_over()
            self.item = self._first_good(self.items.__getitem__, self._places(index), self.undecodable)
            self.alike = range(index, self.good)
        return self.item

    def _start_over(self) -> None:
        self.good, self.looked_at = 0, 0  # rows so far, the last of them a good one
        self.bad: list[BadRow] = []  # of them
        self.decoded = 0  # of the good ones
        self.undecodable: list[BadRow] = []  # of these
        self.alike = range(0)  # these items are the one that was asked for last, which replaces all but the last

    def _place(self, index: int) -> int:
        """Where in the stream the row stands that can be used as this item."""
        while self.good <= index:
            self._first_good(self.items.draft, self._further(), self.bad)
            self.good += 1
        return self.looked_at - 1

    def _places(self, index: int) -> Iterator[int]:
        """Those of this item and of the next ones, for rows that are decoded."""
        for item in count(index):
            place = self._place(item)
            self.decoded += 1
            yield place

    def _further(self) -> Iterator[int]:
        while True:
            self.looked_at += 1
            yield self.looked_at - 1

    def _first_good(self, look: Callable[[int], Item], indices: Iterable[int], bad: list[BadRow]) -> Item:
        of, found = self.screened, []
        item = of.screen.first_good(look, of.key, of.guessability, indices, found)
        bad += [BadRow(each.id, each.reason) for each in found]  # without what led there, pictures among it
        if found:
            self._judge(self.looked_at, self.bad)
            # Of several workers each looks at all rows and decodes its own items. Of as many rows as those stand for:
            part = self.decoded / max(self.good, self.decoded, 1)
            self._judge(round(part * self.looked_at), self.bad[: round(part * len(self.bad))] + self.undecodable)
        return item

    def _judge(self, rows: int, bad: list[BadRow]) -> None:
        """Raises ConfigError where so many of so many rows are more than max_bad_share, and than chance, allow."""
        screen, allowed = self.screened.screen, self.screened.screen.max_bad_share * rows
        judged = rows >= JUDGED or not screen.max_bad_share
        if judged and len(bad) > allowed + CHANCE * allowed**0.5:
            raise ConfigError(screen.complaint(self.screened.key, bad, rows, any_good=True))
