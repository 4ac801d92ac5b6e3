"""Items of a table that is only read forwards, as a function of (seed, position) all the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from papo.arguments import Count, checked
from papo.data.sources.columns import Row
from papo.data.sources.reading import Reading
from papo.data.sources.tables import Place
from papo.errors import ConfigError
from papo.seeding import derive_seed
from papo.types import Item


class TableStream:
    """Items of a table that is only read forwards, shuffled through a buffer of rows."""

    @checked
    def __init__(self, reading: Reading, buffer_size: Count) -> None:
        self.reading, self.buffer_size = reading, buffer_size
        self.layouts = reading.layouts

    def endless(self, seed: int) -> StreamReader:
        return StreamReader(self, seed)

    def beginning(self, count: int) -> StreamReader:
        """So many items that a look costs no more rows than twice as many: a small buffer is soon full."""
        return StreamReader(TableStream(self.reading, count), seed=0)

    def rows(self, seed: int) -> Iterator[tuple[Place, Row]]:
        """Reshuffled passes over the wanted rows with their places, without end."""
        for epoch in count():
            rng = random.Random(derive_seed("stream", seed, epoch))
            empty = True
            for row in self._shuffled(rng):
                empty = False
                yield row
            if empty:
                raise ConfigError("the stream has no row that share, tags and max_question_length choose")

    def _shuffled(self, rng: random.Random) -> Iterator[tuple[Place, Row]]:
        """One pass: each row waits in the buffer until chance picks it."""
        reading = self.reading
        buffer: list[tuple[Place, Row]] = []
        for place, row in reading.table.stream(rng):
            if reading.selects and not reading.wanted(row, place):
                continue
            if len(buffer) < self.buffer_size:
                buffer.append((place, row))
                continue
            slot = rng.randrange(self.buffer_size)
            yield buffer[slot]
            buffer[slot] = place, row
        rng.shuffle(buffer)
        yield from buffer


class StreamReader:
    """Item i of a shuffled stream: a function of (seed, i), fast where i only grows.

    Skipping reads rows without looking at them, which is what resuming at a later step costs. A smaller i than before
    starts the stream over.
    """

    def __init__(self, stream: TableStream, seed: int) -> None:
        self.stream, self.seed = stream, seed
        self.rows: Iterator[tuple[Place, Row]] | None = None  # made in the process that reads
        self.next = 0
        self.ahead: dict[
            int, tuple[Place, Row]
        ] = {}  # rows that were read in place of a bad one, and will be asked for again

    def __getitem__(self, index: int) -> Item:
        """Raises BadRow where the row cannot become a prompt."""
        return self._item(index, decode=True)

    def draft(self, index: int) -> Item:
        """The item with `Unread` pictures. Raises as __getitem__."""
        return self._item(index, decode=False)

    def _item(self, index: int, *, decode: bool) -> Item:
        if self.rows is None or (index < self.next and index not in self.ahead):
            self.rows, self.next, self.ahead = self.stream.rows(self.seed), 0, {}
        self.ahead = {i: row for i, row in self.ahead.items() if i >= index}
        while self.next <= index:
            self.ahead[self.next] = next(self.rows)
            if self.next < index:
                del self.ahead[self.next]
            self.next += 1
        place, row = self.ahead[index]
        return self.stream.reading.item(row, place, decode=decode)
