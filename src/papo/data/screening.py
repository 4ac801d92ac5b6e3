"""Rows that are left out: bad ones, up to a share, and those that are answered without their picture.

Both are counted and listed; found at start where a source can be looked through (papo.data.screened), else where they
are met (papo.data.screened_stream).
At start, too, the right answers are looked at: what cannot be matched teaches nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from papo.arguments import Count, Share, checked
from papo.data.audit import LOOKED_AT, Audit
from papo.data.guessability import Guessability, TooGuessable
from papo.data.order import Mixture, few_of
from papo.data.screened import Measured, Screened
from papo.data.screened_stream import ScreenedStream
from papo.data.skips import Skips
from papo.errors import BadRow, ConfigError
from papo.types import Item
from papo.visible import line

LISTED = 20  # bad rows that an error message shows
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
        whole = decode or not hasattr(source, "draft")
        good: list[int] = []
        bad: list[BadRow] = []
        guessable: list[TooGuessable] = []
        ids: set[str] = set()
        sample, audited = set(few_of(len(source), LOOKED_AT)), Audit()
        # Whether it was these pictures that were answered blind is seen of some now, of the others where they are met.
        seen = sample if guessability is not None else ()
        blind = 0
        for index in range(len(source)):
            try:
                look = source.__getitem__ if whole or index in seen else source.draft
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

    def sampled(
        self, source: Any, key: str, said: str, look: Callable[[int], Item], indices: Iterable[int], *, drawn: bool
    ) -> None:
        """Prints what the items that can be had among a few are like; the others are found, and counted, when they are
        wanted.

        Args:
            drawn: whether they were drawn from all, so that what they all lack is asked for in vain.

        Raises:
            ConfigError: they lack what is needed, or too many right answers cannot be matched.
        """
        found, needs, lacking = Audit(), self.needs if drawn else None, None
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
        self.say(source, key, [said, *said_of(source, key)], found, few=True)

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
