"""Rows that are left out: bad ones, up to a share, and those that are answered without their picture.

Both are counted and listed; found at start where a source can be looked through, replaced where they turn up later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from papo.arguments import Count, Share, checked
from papo.data.guessability import Guessability, TooGuessable
from papo.data.order import Endless, Mixture, endless
from papo.errors import BadRow, ConfigError
from papo.seeding import derive_seed
from papo.types import Item
from papo.visible import line

LISTED = 20  # bad rows that an error message shows
ATTEMPTS = 1000  # rows in a row that may be bad before a replacement is given up


class Skips:
    """Rows that were left out, by any process: each once, listed in a file (skipped.jsonl) once it has a place."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[str, str], str] = {}  # (source, id) -> reason
        self.path: Path | None = None
        self.read = 0  # bytes of the file that are known here

    def add(self, source: str, bad: BadRow) -> None:
        if (source, bad.id) not in self.reasons:
            self.reasons[source, bad.id] = bad.reason
            self._list([(source, bad.id)])

    def log_to(self, path: Path) -> None:
        """From here on every skip is in the file. What an earlier part of the run left there stays."""
        self.path, self.read = path, 0
        self._list(list(self.reasons))

    def count(self) -> int:
        """Skipped rows so far, those that other processes found included."""
        if self.path is not None and self.path.exists():
            with self.path.open("rb") as file:
                self._read(file)
        return len(self.reasons)

    def _list(self, keys: list[tuple[str, str]]) -> None:
        """Appends the rows that no other process has listed."""
        if self.path is None or not keys:
            return
        with FileLock(self.path.with_name(f".{self.path.name}.lock")), self.path.open("a+b", buffering=0) as file:
            listed = self._read(file)
            rows = [
                {"source": source, "id": id, "reason": self.reasons[source, id]}
                for source, id in keys
                if (source, id) not in listed
            ]
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())

    def _read(self, file: BinaryIO) -> set[tuple[str, str]]:
        """What the file lists that was not read yet, whole lines only."""
        file.seek(self.read)
        whole, end, _ = file.read().rpartition(b"\n")
        self.read += len(whole + end)
        rows = [json.loads(line) for line in whole.splitlines()]
        for row in rows:
            self.reasons.setdefault((row["source"], row["id"]), row["reason"])
        return {(row["source"], row["id"]) for row in rows}


class Screen:
    """What a row must fulfil beyond its source's own rules, and what happens to one that does not.

    Args:
        length: tokens of an item's prompt, pictures included; raises ValueError where it cannot be a prompt. None does
            not look at prompts.
        max_prompt_tokens: longest prompt, in tokens; null = any.
        max_bad_share: share of a source's rows, in [0, 1], that may be skipped when they are looked through at start.
        decode_at_start: whether pictures are then decoded, rather than their headers read.
        require_image: whether a row without a picture is a bad one. Otherwise it is trained on without the terms that
            compare views of a picture.

    Raises:
        SettingError: a share outside [0, 1], or no positive limit.
    """

    @checked
    def __init__(
        self,
        length: Callable[[Item], int] | None = None,
        *,
        max_prompt_tokens: Count | None = 4096,
        max_bad_share: Share = 0.01,
        decode_at_start: bool,
        require_image: bool = False,
    ) -> None:
        self.length, self.max_prompt_tokens = length, max_prompt_tokens
        self.max_bad_share, self.decode_at_start = max_bad_share, decode_at_start
        self.require_image = require_image
        self.skips = Skips()
        self.too_guessable = Skips()  # good rows that are answered blind too often

    def __call__(self, source: Any, key: str, guessability: Guessability | None = None) -> Any:
        """The source without its bad rows; `key` is its place in the configuration.

        Args:
            guessability: gives items their blind accuracy and leaves further ones out; None does neither.

        Raises:
            ConfigError: more rows are bad than max_bad_share allows; lists the first of them.
            SettingError: blind accuracies cannot be read.
        """
        if isinstance(source, Mixture):
            parts = {
                name: self(part, f"{key}.sources.{name}", guessability and guessability.part(name))
                for name, part in source.sources.items()
            }
            return Mixture(parts, source.weights)
        kind = ScreenedStream if hasattr(source, "endless") else Screened
        return kind(source, self, key, guessability and guessability.read())

    def check(self, item: Item, guessability: Guessability | None) -> Item:
        """The item, if it can be a prompt, with its blind accuracy where that is known. Raises BadRow."""
        if self.require_image and not item.images:
            raise BadRow(item.id, "no picture; require_image=false lets such rows in")
        if self.length is not None:
            try:
                tokens = self.length(item)
            except ConfigError:  # of the model, which other rows would meet too
                raise
            except ValueError as error:
                raise BadRow(item.id, str(error)) from error
            if self.max_prompt_tokens is not None and tokens > self.max_prompt_tokens:
                raise BadRow(
                    item.id, f"prompt of {tokens} tokens, more than max_prompt_tokens={self.max_prompt_tokens}"
                )
        return item if guessability is None else guessability.known(item)

    def first_good(self, items: Any, key: str, guessability: Guessability | None, indices: Iterable[int]) -> Item:
        """The first of the items that can be used; the others are skipped and listed."""
        for index in islice(indices, ATTEMPTS):
            try:
                return self.check(items[index], guessability)
            except TooGuessable as known:
                self.too_guessable.add(key, known)
            except BadRow as bad:
                self.skips.add(key, bad)
        raise ConfigError(
            f"{key}: {ATTEMPTS} rows in a row cannot be used; "
            "see skipped.jsonl and guessable.jsonl in the run directory"
        )

    def scan(self, source: Any, key: str, guessability: Guessability | None = None) -> list[int]:
        """The good rows of a source that can be looked through, which it says in one printed line."""
        look = source.__getitem__ if self.decode_at_start or not hasattr(source, "draft") else source.draft
        good: list[int] = []
        bad: list[BadRow] = []
        guessable: list[TooGuessable] = []
        ids: set[str] = set()
        blind = 0
        for index in range(len(source)):
            try:
                item = self.check(look(index), guessability)
                if item.id in ids:
                    raise BadRow(item.id, "another row has this id")
                ids.add(item.id)
                good.append(index)
                blind += not item.images
            except TooGuessable as found:
                guessable.append(found)
            except BadRow as found:
                bad.append(found)
        for skips, rows in ((self.skips, bad), (self.too_guessable, guessable)):
            for found in rows:
                skips.add(key, found)
        if guessable and not good:
            raise ConfigError(f"data.max_guessable={guessability.most:g} leaves nothing of {key}'s {len(source)} rows")
        if not good or len(bad) > self.max_bad_share * len(source):
            raise ConfigError(self.complaint(key, bad, len(source)))
        said = [f"{key}: {len(good)} rows", *said_of(source, key)]
        said += [f"{blind} without a picture"] if blind else []
        said += [f"{len(bad)} skipped (see skipped.jsonl)"] if bad else []
        said += [f"{len(guessable)} left out as guessable (see guessable.jsonl)"] if guessable else []
        print(", ".join(said))
        return good

    def complaint(self, key: str, bad: list[BadRow], rows: int) -> str:
        """Why a source cannot be used, with the first bad rows by id and reason."""
        allowed = f"max_bad_share={self.max_bad_share:g}"
        lines = [f"{key}: {len(bad)} of {rows} rows cannot be used, more than {allowed} allows:"]
        lines += [f"  {line(found.id, 200)}: {line(found.reason, 200)}" for found in bad[:LISTED]]
        lines += [f"  and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
        return "\n".join(lines)


def said_of(source: Any, key: str) -> list[str]:
    """The layout that a table's columns were recognised by, and the others that they fit."""
    layout, *others = getattr(source, "layouts", ()) or [None]
    if layout is None:
        return []
    return [f"layout {layout}" + "".join(f" (or {key}.schema={other})" for other in others)]


class Screened:
    """The good rows of a source, in its order. One that turns bad later is replaced by another one."""

    def __init__(self, source: Any, screen: Screen, key: str, guessability: Guessability | None) -> None:
        self.source, self.screen, self.key, self.guessability = source, screen, key, guessability
        # What the package draws or ships has no draft to look at, and no row that is worse than another.
        looked_through = hasattr(source, "draft") or guessability is not None
        self.rows = screen.scan(source, key, guessability) if looked_through else range(len(source))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        """Raises IndexError outside [0, len), so that iteration ends."""
        if not 0 <= index < len(self.rows):
            raise IndexError(f"index must lie in [0, {len(self.rows)}), got {index}")
        rows = (self.rows[i] for i in self._candidates(index))
        return self.screen.first_good(self.source, self.key, self.guessability, rows)

    def draft(self, index: int) -> Item:
        """As the look at start saw it."""
        look = self.source.draft if hasattr(self.source, "draft") else self.source.__getitem__
        return look(self.rows[index])

    def _candidates(self, index: int) -> Iterator[int]:
        """The row itself, then its replacements: a function of the index alone."""
        yield index
        for attempt in count():
            yield derive_seed("replacement", index, attempt) % len(self.rows)


class ScreenedStream:
    """A stream whose bad rows are replaced by the rows that follow them."""

    def __init__(self, source: Any, screen: Screen, key: str, guessability: Guessability | None) -> None:
        self.source, self.screen, self.key, self.guessability = source, screen, key, guessability
        print(", ".join([f"{key}: a stream", *said_of(source, key)]))

    def endless(self, seed: int) -> Endless:
        return _ScreenedOrder(self, endless(self.source, seed))


class _ScreenedOrder:
    def __init__(self, screened: ScreenedStream, items: Endless) -> None:
        self.screened, self.items = screened, items

    def __getitem__(self, index: int) -> Item:
        of = self.screened
        return of.screen.first_good(self.items, of.key, of.guessability, count(index))
