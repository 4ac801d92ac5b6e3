"""Rows that are left out: bad ones, up to a share, and those that are answered without their picture.

Both are counted and listed; found at start where a source can be looked through. One that turns up later is replaced
where items are trained on, and left out where they are measured on: in its replacement's place that would count twice.
A stream goes on without those that it meets.
At start, too, the right answers are looked at: what cannot be matched teaches nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count, islice
from typing import Any

from papo.arguments import Count, Share, checked
from papo.data.audit import DRAWN, LOOKED_AT, Audit
from papo.data.guessability import Guessability, TooGuessable
from papo.data.order import Endless, Mixture, endless, few_of
from papo.data.skips import Skips
from papo.data.sources.stream import StreamReader
from papo.errors import BadRow, ConfigError, Gone
from papo.seeding import derive_seed
from papo.types import Item
from papo.visible import line

LISTED = 20  # bad rows that an error message shows
# Of a stream only the rows so far are known. From this many on too many of them are bad where they are more than
# max_bad_share allows by so many standard deviations of that number: a few more may be chance.
JUDGED, CHANCE = 300, 3
ATTEMPTS = 1000  # rows in a row that may be bad before a replacement is given up


class Screen:
    """What a row must fulfil beyond its source's own rules, and what happens to one that does not.

    Args:
        length: tokens of an item's prompt, pictures included; raises ValueError where it cannot be a prompt. None does
            not look at prompts.
        needs: what is done with an item; raises ConfigError where the item lacks something for it. None asks nothing.
        max_prompt_tokens: longest prompt, in tokens; null = any.
        max_bad_share: share of a source's rows, in [0, 1], that may be skipped when they are looked through at start;
            and of its right answers, that no response can match. Of a stream, of the rows so far.
        decode_at_start: whether pictures to train on are then decoded, rather than their headers read. Those that are
            measured on always are: of 1024 x 768 pixels each takes 6 ms, less than answering it.
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
        needs: Callable[[Item], None] | None = None,
        max_prompt_tokens: Count | None = 4096,
        max_bad_share: Share = 0.01,
        decode_at_start: bool = False,
        require_image: bool = False,
    ) -> None:
        self.length, self.max_prompt_tokens, self.needs = length, max_prompt_tokens, needs
        self.max_bad_share, self.decode_at_start = max_bad_share, decode_at_start
        self.require_image = require_image
        self.skips = Skips()
        self.too_guessable = Skips()  # good rows that are answered blind too often
        self.listed = "see skipped.jsonl"  # where a reader finds the bad rows
        self.audits: dict[str, Audit] = {}  # by the source's place, what its right answers are like

    def needing(self, needs: Callable[[Item], None] | None) -> Screen:
        """The same screen, that counts together with this one, with other `needs`."""
        found = copy.copy(self)
        found.needs = needs
        return found

    def __call__(
        self, source: Any, key: str, guessability: Guessability | None = None, *, measured: bool = False
    ) -> Any:
        """The source without its bad rows; `key` is its place in the configuration.

        Args:
            measured: whether its items are measured on, each of which counts once.
            guessability: gives items their blind accuracy and leaves further ones out; None does neither.

        Raises:
            ConfigError: more rows are bad, or more right answers cannot be matched, than max_bad_share allows; lists
                the first of them.
            SettingError: blind accuracies cannot be read.
        """
        if isinstance(source, Mixture):
            parts = {
                name: self(part, f"{key}.sources.{name}", guessability and guessability.part(name))
                for name, part in source.sources.items()
            }
            return Mixture(parts, source.weights)
        kind = ScreenedStream if hasattr(source, "endless") else Measured if measured else Screened
        return kind(source, self, key, guessability and guessability.read())

    def check(self, item: Item, guessability: Guessability | None) -> Item:
        """The item, if it can be a prompt, with its blind accuracy where that is known. Raises BadRow."""
        if self.require_image and not item.images:
            raise BadRow(item.id, "no picture; data.require_image=false lets such rows in")
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
        if self.needs is not None:
            try:
                self.needs(item)
            except ConfigError as lacking:  # of which `lacked` asks whether all rows do
                raise BadRow(item.id, str(lacking)) from lacking
        return item if guessability is None else guessability.known(item)

    def first_good(
        self,
        look: Callable[[int], Item],
        key: str,
        guessability: Guessability | None,
        indices: Iterable[int],
        found: list[BadRow],
    ) -> Item:
        """The first of the items that can be used; the others are skipped and listed, and bad ones added to `found`."""
        settings_fit = False
        for index in islice(indices, ATTEMPTS):
            try:
                return self.check(look(index), guessability)
            except TooGuessable as known:
                self.too_guessable.add(key, known)
                settings_fit = True
            except BadRow as bad:
                self.skips.add(key, bad)
                found.append(bad)
        if not settings_fit:
            lacked(found)
        raise ConfigError(
            f"{key}: {ATTEMPTS} rows in a row cannot be used; "
            "see skipped.jsonl and guessable.jsonl in the run directory"
        )

    def scan(self, source: Any, key: str, guessability: Guessability | None = None, *, decode: bool) -> list[int]:
        """The good rows of a source that can be looked through, which it says in one printed line."""
        look = source.__getitem__ if decode or not hasattr(source, "draft") else source.draft
        good: list[int] = []
        bad: list[BadRow] = []
        guessable: list[TooGuessable] = []
        ids: set[str] = set()
        sample, audited = set(few_of(len(source), LOOKED_AT)), Audit()
        blind = 0
        for index in range(len(source)):
            try:
                item = self.check(look(index), guessability)
                if item.id in ids:
                    raise BadRow(item.id, "another row has this id")
                ids.add(item.id)
                good.append(index)
                blind += not item.images
                if index in sample:
                    audited.add(item)
            except TooGuessable as found:
                guessable.append(found)
            except BadRow as found:
                bad.append(found)
        for skips, rows in ((self.skips, bad), (self.too_guessable, guessable)):
            for found in rows:
                skips.add(key, found)
        if not (good or guessable):
            lacked(bad)
        if not (good or guessable) or len(bad) > self.max_bad_share * len(source):
            raise ConfigError(self.complaint(key, bad, len(source), any_good=bool(good or guessable)))
        if not good:
            raise ConfigError(f"data.max_guessable={guessability.most:g} leaves nothing of {key}'s {len(source)} rows")
        said = [f"{key}: {len(good)} rows", *said_of(source, key)]
        said += [f"{blind} without a picture"] if blind else []
        said += [f"{len(bad)} skipped ({self.listed})"] if bad else []
        said += [f"{len(guessable)} left out as guessable (see guessable.jsonl)"] if guessable else []
        self.say(source, key, said, audited)
        return good

    def say(self, source: Any, key: str, said: Sequence[str], audited: Audit, *, few: bool = False) -> None:
        """Prints what is known of a source at start, in a line, and one more where right answers cannot be matched.

        Args:
            few: whether so few of many items were looked at that one of them may be chance.

        Raises:
            ConfigError: they are more than max_bad_share allows.
        """
        self.audits[key] = audited
        unmatched = audited.complaint()
        chance = 1 if few and self.max_bad_share else 0
        if len(audited.unmatched) > max(chance, self.max_bad_share * audited.total):
            rule = f"name another rule ({key}.rule), " if hasattr(source, "reading") else ""
            raise ConfigError(f"{key}: {unmatched}; mend them, {rule}or let in more than {self.allowed(key)}")
        print(", ".join(said) + (f"; {audited.shares()}" if audited.total else ""))
        if unmatched:
            print(f"    {unmatched}")

    def allowed(self, key: str) -> str:
        """The setting that says how many bad rows there may be, as this command has it."""
        return f"{'data.' if key.startswith('data.') else ''}max_bad_share={self.max_bad_share:g}"

    def complaint(self, key: str, bad: list[BadRow], rows: int, *, any_good: bool) -> str:
        """Why a source cannot be used, with the first bad rows by id and reason."""
        said = f"{len(bad)} of {rows} rows cannot be used, more than {self.allowed(key)} allows"
        lines = [f"{key}: {said if any_good else f'none of {rows} rows can be used'}:"]
        lines += [f"  {line(found.id, 200)}: {line(found.reason, 200)}" for found in bad[:LISTED]]
        lines += [f"  and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
        return "\n".join(lines)


def lacked(rows: Sequence[BadRow]) -> None:
    """Raises the ConfigError that made each of these rows a bad one: then it is the settings that do not fit."""
    if rows and all(isinstance(row.__cause__, ConfigError) for row in rows):
        raise rows[0].__cause__


def said_of(source: Any, key: str) -> list[str]:
    """The layout that a table's columns were recognised by, and the others that they fit."""
    layout, *others = getattr(source, "layouts", ()) or [None]
    if layout is None:
        return []
    return [f"layout {layout}" + "".join(f" (or {key}.schema={other})" for other in others)]


def first_looks(
    look: Callable[[int], Item], indices: Iterable[int], needs: Callable[[Item], None] | None = None
) -> Audit:
    """Of the items that can be had; the others are found, and counted, when they are wanted.

    Raises:
        ConfigError: all of them lack what is needed: then it is the settings that do not fit.
    """
    found, lacking = Audit(), None
    for index in indices:
        with suppress(BadRow):
            item = look(index)
            found.add(item)
            try:
                if needs is not None:
                    needs(item)
                needs = None  # one that has it says that the settings fit
            except ConfigError as error:
                lacking = lacking or error
    if needs is not None and lacking is not None:
        raise lacking
    return found


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
            found = first_looks(source.__getitem__, few_of(len(source), DRAWN), screen.needs)
            screen.say(source, key, [f"{key}: {len(source)} items"], found, few=True)

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


class ScreenedStream:
    """A stream without its bad rows."""

    def __init__(self, source: Any, screen: Screen, key: str, guessability: Guessability | None) -> None:
        self.source, self.screen, self.key, self.guessability = source, screen, key, guessability
        found = first_looks(source.beginning(DRAWN).draft, range(DRAWN))
        screen.say(source, key, [f"{key}: a stream", *said_of(source, key)], found, few=True)

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
        if index < self.good - 1:
            self._start_over()
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
