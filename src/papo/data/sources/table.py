"""A split of a data set as items: any schema of papo.data.sources.schemas, from a hub or a local path."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import Any

from papo.data.sources.columns import Row, check_columns
from papo.data.sources.pictures import read_header, read_picture
from papo.data.sources.schemas import SCHEMAS, Record, Schema
from papo.data.sources.tables import Table, open_table
from papo.errors import BadRow, SourceError
from papo.seeding import derive_seed
from papo.types import Item

ANSWER_TYPES = ("integer", "float", "text", "choice", "list")
RULES = ("exact", "chartqa", "mathvista", "math", "mmmu_pro", "logicvista")


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

    def item(self, row: Row, index: int | None, *, decode: bool) -> Item:
        """The item of a row, its pictures decoded or only their headers read.

        Raises:
            BadRow: the row cannot become a prompt.
        """
        try:
            record = self.schema.read(row)
            self.check(record)
            read: Callable[..., Any] = read_picture if decode else read_header
            images = [read(encoded, self.table.roots, self.max_image_pixels) for encoded in record.pictures]
            return Item(
                id=self.id(row, index),
                question=self.prompt(record),
                images=tuple(images),
                answer=record.answer,
                answer_type=record.answer_type,
                choices=record.choices,
                labels=record.labels,
                precision=record.precision,
                rule=self.rule or record.rule,
                rationale=record.rationale,
                tags=record.tags,
            )
        except ValueError as error:
            raise BadRow(self.id(row, index), str(error)) from error

    def id(self, row: Row, index: int | None) -> str:
        """The row's own id, else "<name>-<row>"; in a stream, where rows have no number, one of what the row says."""
        own = row.get(self.schema.id or "")
        if own is not None and str(own).strip():
            return str(own).strip()
        if index is None:
            return f"{self.name}-{blake2b(repr(row).encode(), digest_size=8).hexdigest()}"
        return f"{self.name}-{index}"

    def check(self, record: Record) -> None:
        """Raises ValueError with a reason."""
        if not record.question:
            raise ValueError("empty question")
        if not record.answer and not self.schema.may_lack_answer:
            raise ValueError("empty answer")
        if record.answer_type not in ANSWER_TYPES:
            raise ValueError(f"answer_type {record.answer_type!r:.40} is none of {', '.join(ANSWER_TYPES)}")
        if record.rule not in RULES:
            raise ValueError(f"rule {record.rule!r:.40} is none of {', '.join(RULES)}")
        if record.answer_type == "choice" and record.choices:
            letters = string.ascii_uppercase[: len(record.choices)]
            texts = [choice.casefold() for choice in record.choices]
            if record.answer.casefold() not in texts and record.answer.strip("() ").upper() not in [*letters]:
                raise ValueError(f"answer {record.answer!r:.40} is not among the {len(record.choices)} choices")

    def prompt(self, record: Record) -> str:
        hint = self.hints.get(record.answer_type, "").format(precision=record.precision)
        return self.template.format(question=record.question, hint=hint).strip()

    @property
    def selects(self) -> bool:
        """Whether any row can be unwanted."""
        return bool(self.tags) or self.share != (0.0, 1.0) or self.max_question_length is not None

    def wanted(self, row: Row, index: int | None) -> bool:
        """Whether share, tags and length choose the row. A row that cannot be read is wanted: it has to be counted."""
        if not in_share(self.id(row, index), self.share):
            return False
        try:
            record = self.schema.read(row)
        except ValueError:
            return True
        return all(record.tags.get(tag) in values for tag, values in self.tags.items()) and (
            self.max_question_length is None or len(record.question) <= self.max_question_length
        )


class TableSource:
    """Items of a table whose rows can be had in any order; each access decodes its pictures anew."""

    def __init__(self, reading: Reading, size: int | None) -> None:
        self.reading = reading
        table = reading.table
        rows = range(len(table))
        if reading.selects:
            rows = [index for index in rows if reading.wanted(table[index], index)]
        if size is not None and not 0 < size <= len(rows):
            raise SourceError(f".size must lie in 1..{len(rows)} (the rows that share and tags choose), got {size}")
        if not rows:
            raise SourceError(f"none of the {len(table)} rows is chosen by share, tags and max_question_length")
        size = len(rows) if size is None else size
        self.rows = [rows[i * len(rows) // size] for i in range(size)]  # evenly spread: files are often sorted

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        """Raises BadRow where the row cannot become a prompt, IndexError outside [0, len)."""
        return self._item(index, decode=True)

    def draft(self, index: int) -> Item:
        """The item with `Unread` pictures: all that can be checked without decoding. Raises as __getitem__."""
        return self._item(index, decode=False)

    def _item(self, index: int, *, decode: bool) -> Item:
        if not 0 <= index < len(self.rows):
            raise IndexError(f"index must lie in [0, {len(self.rows)}), got {index}")
        row = self.rows[index]
        return self.reading.item(self.reading.table[row], row, decode=decode)


class TableStream:
    """Items of a table that is only read forwards, shuffled through a buffer of rows."""

    def __init__(self, reading: Reading, buffer_size: int) -> None:
        if buffer_size < 1:
            raise SourceError(f".buffer_size must be at least 1, got {buffer_size}")
        self.reading, self.buffer_size = reading, buffer_size

    def endless(self, seed: int) -> StreamReader:
        return StreamReader(self, seed)

    def rows(self, seed: int) -> Iterator[Row]:
        """Reshuffled passes over the wanted rows, without end."""
        for epoch in count():
            seen = 0
            for row in self.reading.table.stream(derive_seed("stream", seed, epoch), self.buffer_size):
                if not self.reading.selects or self.reading.wanted(row, None):
                    seen += 1
                    yield row
            if not seen:
                raise SourceError("the stream has no row that share, tags and max_question_length choose")


class StreamReader:
    """Item i of a shuffled stream: a function of (seed, i), fast where i only grows.

    Skipping reads rows without looking at them, which is what resuming at a later step costs. A smaller i than before
    starts the stream over.
    """

    def __init__(self, stream: TableStream, seed: int) -> None:
        self.stream, self.seed = stream, seed
        self.rows: Iterator[Row] | None = None  # made in the process that reads
        self.next = 0
        self.ahead: dict[int, Row] = {}  # rows that were read in place of a bad one, and will be asked for again

    def __getitem__(self, index: int) -> Item:
        """Raises BadRow where the row cannot become a prompt."""
        if self.rows is None or (index < self.next and index not in self.ahead):
            self.rows, self.next, self.ahead = self.stream.rows(self.seed), 0, {}
        self.ahead = {i: row for i, row in self.ahead.items() if i >= index}
        while self.next <= index:
            self.ahead[self.next] = next(self.rows)
            if self.next < index:
                del self.ahead[self.next]
            self.next += 1
        return self.stream.reading.item(self.ahead[index], None, decode=True)


def in_share(id: str, share: tuple[float, float]) -> bool:
    """Whether the item belongs to this share of its data set: a function of its id alone."""
    place = int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big") / 2**64
    return share[0] <= place < share[1]


def table_source(
    *,
    schema: str,
    path: str | None,
    split: str | None = None,
    subset: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    template: str = "{question}",
    hints: Mapping[str, str] | None = None,
    rule: str | None = None,
    share: Sequence[float] = (0.0, 1.0),
    tags: Mapping[str, Sequence[str]] | None = None,
    max_question_length: int | None = None,
    max_image_pixels: int = 50_000_000,
    size: int | None = None,
    streaming: bool = False,
    buffer_size: int = 1000,
) -> TableSource | TableStream:
    """A split of a data set.

    Args:
        schema: whose columns these are, one of SCHEMAS.
        path: hub id, or a local Parquet, Arrow or JSONL file, a folder of them, a folder that `save_to_disk` wrote, or
            an image folder with metadata. Pictures given by path are looked for beside the data file.
        split: the data set's own name of it; null where there is one only. A file is a split, whatever this says.
        subset: the hub's configuration, where a data set has several.
        name: of the source in ids; null = the schema's.
        columns: {column of the schema: its name in this data}, where they differ.
        template: the prompt, from {question} (with unit and choices) and {hint}.
        hints: {answer type: what {hint} says}, which may use {precision}.
        rule: grading rule of every item; null = the schema's.
        share: [from, to) in [0, 1], the part of the items whose hashed id lies there.
        tags: {tag: values}: only items that have one of the values.
        max_question_length: characters; items with a longer question are left out.
        max_image_pixels: a picture whose header announces more is a bad row.
        size: rows, spread evenly over the chosen ones; null = all.
        streaming: whether rows are read forwards only, without a download or a copy of the whole.
        buffer_size: rows that a stream is shuffled among.

    Raises:
        SourceError: a setting cannot work, nothing is there, or columns are missing.
    """
    if schema not in SCHEMAS:
        raise SourceError(f".schema must be one of {', '.join(SCHEMAS)}, got {schema!r}")
    if path is None:
        raise SourceError(".path is not set; say where the data is")
    if rule is not None and rule not in RULES:
        raise SourceError(f".rule must be one of {', '.join(RULES)}, got {rule!r}")
    low, high = share
    if not 0 <= low < high <= 1:
        raise SourceError(f".share must be [from, to) inside [0, 1], got [{low}, {high}]")
    if streaming and size is not None:
        raise SourceError(".size and .streaming=true exclude one another: a stream has no rows to choose from")
    check_template(".template", template, {"question", "hint"})
    for kind, hint in (hints or {}).items():
        check_template(f".hints.{kind}", hint, {"precision"})
    for tag, values in (tags or {}).items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise SourceError(f".tags must give a list of values for {tag}, got {values!r}")
    table = open_table(path, split, subset, dict(columns or {}), streaming)
    try:
        check_columns(table.schema, SCHEMAS[schema].required, SCHEMAS[schema].optional)
    except SourceError as error:
        raise SourceError(f"{path} does not look like {schema}: {error}") from error
    reading = Reading(
        schema=SCHEMAS[schema],
        table=table,
        name=name or schema,
        template=template,
        hints=dict(hints or {}),
        rule=rule,
        share=(low, high),
        tags={tag: tuple(map(str, values)) for tag, values in (tags or {}).items()},
        max_question_length=max_question_length,
        max_image_pixels=max_image_pixels,
    )
    return TableStream(reading, buffer_size) if streaming else TableSource(reading, size)


def check_template(key: str, template: str, known: set[str]) -> None:
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise SourceError(f"{key}={template!r} is no template: {error}") from error
    used = {name for name, _, _ in parts}
    plain = not any(spec or conversion for _, spec, conversion in parts)
    if not plain or used - known or (key == ".template" and "question" not in used):
        places = ", ".join(f"{{{name}}}" for name in sorted(known))
        raise SourceError(f"{key} is made of {places}, got {template!r}")
