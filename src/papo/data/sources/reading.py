"""From a row to an item, and whether it is wanted."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from papo.data.sources.columns import COUNTERFACTUAL, Row, pictures, written
from papo.data.sources.pictures import OtherPictures, file_of, name_of, read_header, read_picture
from papo.data.sources.raw_items import RawItem, Schema
from papo.data.sources.tables import Place, Table
from papo.errors import BadRow
from papo.rewards.grading import RULES
from papo.types import Item

# Of a row's pictures: where they lie, their pixels, and whether they may lie elsewhere.
Bounds = tuple[tuple[Path, ...], int, bool]
ANSWER_TYPES = ("integer", "float", "text", "choice", "list")


@dataclass(frozen=True)
class Reading:
    """How a row becomes an item, and which rows are wanted; arguments as in `table_source`."""

    schema: Schema
    table: Table
    name: str
    template: str
    hints: Mapping[str, str]
    rule: str | None
    share: tuple[float, float]
    tags: Mapping[str, Sequence[str]]
    max_question_length: int | None
    max_image_pixels: int
    allow_outside: bool
    layouts: tuple[str, ...] = ()  # that the columns fit, the one that is read first; none where the schema was given

    def item(self, row: Row, place: Place, *, decode: bool) -> Item:
        """The item of a row, its pictures decoded or only their headers read.

        Raises:
            BadRow: the row cannot become a prompt.
        """
        try:
            raw = self.schema.read(row)
            self.check(raw)
            read: Callable[..., Any] = read_picture if decode else read_header
            bounds = self.bounds(place)
            images = [read(encoded, *bounds) for encoded in raw.pictures]
            return Item(
                id=self.id(row, place),
                question=self.prompt(raw),
                images=tuple(images),
                answer=raw.answer,
                answer_type=raw.answer_type,
                choices=raw.choices,
                labels=raw.labels,
                precision=raw.precision,
                rule=self.rule or raw.rule,
                rationale=raw.rationale,
                tags=raw.tags,
                counterfactual=self.counterfactual(row, raw, bounds),
                system=raw.system,
            )
        except ValueError as error:
            raise BadRow(self.id(row, place), str(error)) from error

    def counterfactual(self, row: Row, raw: RawItem, bounds: Bounds) -> OtherPictures | None:
        """The row's other pictures, where it has any. Raises ValueError unless they are of its pictures' sizes."""
        others = pictures(row, COUNTERFACTUAL)
        if not others:
            return None
        found, own = ([read_header(encoded, *bounds) for encoded in each] for each in (others, raw.pictures))
        if found != own:  # hence as many visual tokens
            written = [" and ".join(f"{width} x {height}" for width, height in sizes) for sizes in (found, own)]
            raise ValueError(f"counterfactual picture of {written[0]} pixels for a picture of {written[1]}")
        return OtherPictures(others, *bounds)

    def bounds(self, place: Place) -> Bounds:
        return self.table.roots_of(place), self.max_image_pixels, self.allow_outside

    def id(self, row: Row, place: Place) -> str:
        """The row's own id, else "<name>-<row>", of several files "<name>-<file>-<row>".

        A missing one among numbers is NaN, and makes floats of the others.
        """
        own = row.get(self.schema.id or "")
        try:
            return written(own, "id") or f"{self.name}-{place}"
        except ValueError:  # mixed types, which JSONL may have
            return str(own)

    def check(self, raw: RawItem) -> None:
        """Raises ValueError with a reason."""
        if not raw.question:
            raise ValueError("empty question")
        if not raw.answer and not self.schema.may_lack_answer:
            raise ValueError("empty answer")
        if raw.answer_type not in ANSWER_TYPES:
            raise ValueError(f"answer_type {raw.answer_type!r:.40} is none of {', '.join(ANSWER_TYPES)}")
        if raw.rule not in RULES:  # a dotted path too: only the configuration may name code that is run
            raise ValueError(f"rule {raw.rule!r:.40} is none of {', '.join(RULES)}")
        if (self.rule or raw.rule) == "exact" and raw.answer_type in ("float", "list"):
            raise ValueError(f"the rule exact does not grade answer_type {raw.answer_type!r}")
        if raw.answer_type == "choice" and raw.choices:
            letters = string.ascii_uppercase[: len(raw.choices)]
            texts = [choice.casefold() for choice in raw.choices]
            if raw.answer.casefold() not in texts and raw.answer.strip("() ").upper() not in [*letters]:
                raise ValueError(f"answer {raw.answer!r:.40} is not among the {len(raw.choices)} choices")

    def prompt(self, raw: RawItem) -> str:
        hint = self.hints.get(raw.answer_type, "").format(precision=raw.precision)
        return self.template.format(question=raw.question, hint=hint).strip()

    def together(self, row: Row, raw: RawItem, place: Place) -> str:
        """What says in which share the row is, so that what belongs together is never on both sides: the problem that
        it is a version of, else the name of its picture where it has one and that lies in a file, else its id.
        """
        with suppress(ValueError):
            problem = written(row.get(self.schema.group or ""), "group")
            if problem:
                return problem
        named = [file_of(encoded) for encoded in raw.pictures]
        return self.table.known_as(named[0], place) if len(named) == 1 and named[0] else self.id(row, place)

    def seen(self, row: Row, place: Place) -> tuple[str, tuple[str, ...]]:
        """The question of a good row, and its pictures, each by its file or by its bytes."""
        raw = self.schema.read(row)
        return raw.question, tuple(name_of(encoded, *self.bounds(place)) for encoded in raw.pictures)

    @property
    def selects(self) -> bool:
        """Whether any row can be unwanted."""
        return bool(self.tags) or self.share != (0.0, 1.0) or self.max_question_length is not None

    def wanted(self, row: Row, place: Place) -> bool:
        """Whether share, tags and length choose the row. A row that cannot be read is wanted: it has to be counted."""
        try:
            raw = self.schema.read(row)
        except ValueError:
            return in_share(self.id(row, place), self.share)
        if not in_share(self.together(row, raw, place), self.share):
            return False
        return all(raw.tags.get(tag) in values for tag, values in self.tags.items()) and (
            self.max_question_length is None or len(raw.question) <= self.max_question_length
        )


def in_share(name: str, share: tuple[float, float]) -> bool:
    """Whether what has this name belongs to this share of its data set."""
    place = int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "big") / 2**64
    return share[0] <= place < share[1]
