"""A split of a data set as items: any schema of papo.data.sources.schemas, from a hub or a local path."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Annotated, Literal

from papo.arguments import Count, Must, Text, checked
from papo.data.order import few_of
from papo.data.sources.columns import COUNTERFACTUAL, Row, check_columns
from papo.data.sources.opening import open_table
from papo.data.sources.own_data import fitting, nearest
from papo.data.sources.reading import Reading
from papo.data.sources.schemas import SCHEMAS
from papo.data.sources.stream import TableStream
from papo.errors import SettingError
from papo.rewards.grading import RULES
from papo.types import Item

NAMED = 5  # values of a tag that a message shows


class TableSource:
    """Items of a table whose rows can be had in any order; each access decodes its pictures anew."""

    def __init__(self, reading: Reading, size: int | None) -> None:
        self.reading, self.layouts = reading, reading.layouts
        table, of = reading.table, reading.schema
        self.lenders = table.lenders(of.borrowed, of.id) if of.borrowed and of.id else {}
        rows = range(len(table))
        if reading.selects:
            rows = [index for index in rows if reading.wanted(table[index], table.place(index))]
        if not rows:
            check_tags(reading)
            raise SettingError(
                "share",
                f"must choose rows, together with tags and max_question_length, got none of {len(table)}; of "
                "a table of few rows or pictures none may be held out: data.val.path names another one for that",
            )
        if size is not None and size > len(rows):
            raise SettingError("size", f"must lie in 1..{len(rows)} (the rows that share and tags choose), got {size}")
        self.rows = rows if size is None else [rows[i] for i in few_of(len(rows), size)]  # files are often sorted

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        """Raises BadRow where the row cannot become a prompt, IndexError outside [0, len)."""
        return self._item(index, decode=True)

    def draft(self, index: int) -> Item:
        """The item with `Unread` pictures: all that can be checked without decoding. Raises as __getitem__."""
        return self._item(index, decode=False)

    def seen(self, index: int) -> tuple[str, tuple[str, ...]]:
        """What the item asks and shows; see Reading.seen. Raises ValueError where the row cannot be read."""
        row = self.rows[index]
        return self.reading.seen(self._row(row), self.reading.table.place(row))

    def first(self, count: int) -> TableSource:
        """The same source with its first items alone."""
        fewer = copy(self)
        fewer.rows = self.rows[:count]
        return fewer

    def _item(self, index: int, *, decode: bool) -> Item:
        if not 0 <= index < len(self.rows):
            raise IndexError(f"index must lie in [0, {len(self.rows)}), got {index}")
        row = self.rows[index]
        return self.reading.item(self._row(row), self.reading.table.place(row), decode=decode)

    def _row(self, number: int) -> Row:
        """A row of the table, with what it borrows from another one."""
        table, borrowed = self.reading.table, self.reading.schema.borrowed
        row = table[number]
        name = row.get(borrowed) if self.lenders else None
        lender = self.lenders.get(name.strip()) if isinstance(name, str) else None
        return row if lender is None else {**row, borrowed: table[lender][borrowed]}


def check_tags(reading: Reading) -> None:
    """Raises SettingError where tags alone choose no row: it is not the share that is too small."""
    found: dict[str, set[str]] = {tag: set() for tag in reading.tags}
    table = reading.table
    for index in range(len(table)):
        with suppress(ValueError):
            of_row = reading.schema.read(table[index]).tags
            for tag, values in found.items():
                values |= {of_row[tag]} if tag in of_row else set()
    for tag, wanted in reading.tags.items():
        if not found[tag] & {*wanted}:
            known = f"values of it are {', '.join(sorted(found[tag])[:NAMED])}" if found[tag] else "no row has this tag"
            raise SettingError(f"tags.{tag}", f"must be what some of {len(table)} rows have, got {[*wanted]}; {known}")


def made_of(*known: str, needed: str | None = None) -> Must:
    """Of a template: what may stand in its braces, and what has to."""

    def holds(template: str) -> bool:
        try:
            parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
        except ValueError:
            return False
        used = {name for name, _, _ in parts}
        plain = not any(spec or conversion for _, spec, conversion in parts)
        return bool(template) and plain and used <= set(known) and (needed is None or needed in used)

    return Must(f"be made of {', '.join(f'{{{name}}}' for name in sorted(known))}", holds)


def is_share(share: Sequence[float]) -> bool:
    return len(share) == 2 and 0 <= share[0] < share[1] <= 1


Rule = Annotated[
    str,
    Must(f"be one of {', '.join(RULES)}, or the dotted path of your own", lambda rule: rule in RULES or "." in rule),
]


@checked
def table_source(
    *,
    schema: Literal[*SCHEMAS] | None,
    path: Annotated[str | None, Must("say where the data is", bool)],
    split: Text | None = None,
    subset: Text | None = None,
    name: Text | None = None,
    columns: Mapping[str, str] | None = None,
    template: Annotated[str, made_of("question", "hint", needed="question")] = "{question}",
    hints: Mapping[str, Annotated[str, made_of("precision")]] | None = None,
    rule: Rule | None = None,
    share: Annotated[Sequence[float], Must("be [from, to) inside [0, 1]", is_share)] = (0.0, 1.0),
    tags: Mapping[str, Sequence[str]] | None = None,
    max_question_length: Count | None = None,
    max_image_pixels: Count = 50_000_000,
    allow_outside: bool = False,
    size: Count | None = None,
    streaming: bool = False,
    buffer_size: Count = 1000,
) -> TableSource | TableStream:
    """A split of a data set.

    Args:
        schema: whose columns these are, one of SCHEMAS; null = the first of LAYOUTS that they fit.
        path: hub id, or a local Parquet, Arrow, JSONL, JSON, CSV or TSV file, a tar (papo.data.sources.tars), a folder
            of them, those of a pattern with *, a folder that `save_to_disk` wrote, or an image folder with metadata.
            Pictures given by path are looked for beside their row's file, then in the folder that was given.
        split: the data set's own name of it; null where there is one only. A file is a split, whatever this says.
        subset: the hub's configuration, where a data set has several.
        name: of the source in ids; null = the schema's.
        columns: {column of the schema: its name in this data}, where they differ.
        template: the prompt, from {question} (with unit and choices) and {hint}.
        hints: {answer type: what {hint} says}, which may use {precision}.
        rule: grading rule of every item, or the dotted path of your own grader; null = the schema's.
        share: [from, to) in [0, 1], the part of the items that are hashed to there: by the name of their picture where
            they have one and it lies in a file, else by their id; see Reading.together.
        tags: {tag: values}: only items that have one of the values.
        max_question_length: characters; items with a longer question are left out.
        max_image_pixels: a picture whose header announces more is a bad row.
        allow_outside: whether pictures may lie outside of the data's folder, by an absolute path, .. or a link.
        size: rows, drawn from the chosen ones, always the same; null = all.
        streaming: whether rows are read forwards only, without a download or a copy of the whole.
        buffer_size: rows that a stream is shuffled among.

    Raises:
        SettingError: a setting cannot work, nothing is there, or columns are missing.
    """
    if streaming and size is not None:
        raise SettingError(
            "size", f"must be null with streaming=true (a stream has no rows to choose from), got {size}"
        )
    table = open_table(path, split, subset, dict(columns or {}), streaming)
    layouts = fitting(table.schema) if schema is None else ()
    schema = schema or (layouts[0] if layouts else nearest(table.schema.names))
    needed = SCHEMAS[schema].needed(table.schema.names)
    try:
        check_columns(table.schema, needed, SCHEMAS[schema].optional | COUNTERFACTUAL)
    except ValueError as error:
        raise SettingError("path", f"must be data that looks like {schema}, got {path}: {error}") from error
    named = SCHEMAS[schema].id in table.schema.names
    if streaming and not table.files and table.data.num_shards > 1 and not named and (*share,) != (0, 1):
        id_column = "columns={id: COLUMN}, " if SCHEMAS[schema].id else ""  # the others read none
        raise SettingError(
            "share",
            f"must be [0, 1] where rows without ids are streamed from several files of a hub, got {[*share]}: read at "
            f"once they have other numbers, so that rows would be trained on that are held out; {id_column}"
            "streaming=false or a download of the files tells them apart",
        )
    reading = Reading(
        schema=SCHEMAS[schema],
        table=table,
        name=name or schema,
        template=template,
        hints=dict(hints or {}),
        rule=rule,
        share=(share[0], share[1]),
        tags={tag: tuple(map(str, values)) for tag, values in (tags or {}).items()},
        max_question_length=max_question_length,
        max_image_pixels=max_image_pixels,
        allow_outside=allow_outside,
        layouts=layouts,
    )
    return TableStream(reading, buffer_size) if streaming else TableSource(reading, size)
