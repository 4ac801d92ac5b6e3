"""Rows of a split, in the Arrow format of `datasets`, with pictures left as they are stored."""

from __future__ import annotations

import json
import random
import re
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from os.path import normpath
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, IterableDataset

from papo.data.sources.columns import Row, is_text
from papo.data.sources.json_rows import JsonText
from papo.data.sources.own_data import GOLDS
from papo.data.sources.tars import Tars
from papo.errors import ConfigError

# In the name of a type whose values `to_pylist` does not give as they are meant: JSON's, float (of 32 bits), halffloat.
DECODED = re.compile("arrow.json|float")
SHORT = 64  # characters: VLMEvalKit's, up to which a picture's cell names another row


@dataclass(frozen=True)
class Place:
    """Where a row stands: at which place of which of several files; of one file, or of what a hub has, file is None."""

    row: int
    file: int | None = None

    def __str__(self) -> str:
        return f"{self.row}" if self.file is None else f"{self.file}-{self.row}"


@dataclass(frozen=True)
class Table:
    """Rows of one split.

    data: the rows, in Arrow format.
    roots: the folders that paths of pictures are relative to; none for a hub.
    columns: for each column, the other name that it has in the data.
    packed: what becomes of the rows of `data`, where they are files of tars or JSON.
    files: that the rows are read from; none for a hub, and of what `save_to_disk` wrote.
    lengths: rows of each file, where they are several and rows can be had in any order.
    """

    data: Dataset | IterableDataset
    roots: tuple[Path, ...]
    columns: dict[str, str]
    packed: Tars | JsonText | None = None
    files: tuple[Path, ...] = ()
    lengths: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.data)

    def place(self, index: int) -> Place:
        """Of a row, as a stream of the same files has it: shares are of ids, and an id may be made of this."""
        if not self.lengths:
            return Place(index)
        file = bisect_right(self.ends, index)
        return Place(index - (self.ends[file - 1] if file else 0), file)

    @cached_property
    def ends(self) -> list[int]:
        """Of each file, the index behind its last row."""
        return list(accumulate(self.lengths))

    def roots_of(self, place: Place) -> tuple[Path, ...]:
        """Where a row's pictures are looked for: not beside another's file, which may have others of these names."""
        return (self.files[place.file or 0].parent, *self.roots) if self.files else self.roots

    def known_as(self, name: str, place: Place) -> str:
        """What a row names as a file, so that rows of several files say the same only if it is the same file: a picture
        beside its row's file is told by their folder's name, by whatever path that was found."""
        if place.file is None or not self.files:
            return name
        beside = self.files[place.file].parent
        with suppress(OSError, ValueError):  # a name that no file can have
            if (beside / name).is_file():
                return normpath(Path(beside.name) / name)
        return name

    def __getitem__(self, index: int) -> Row:
        return self._row(self.data[index])

    @property
    def schema(self) -> pa.Schema:
        """Names, as they are called here, and types; null of a column of texts without any, as CSV may have them."""
        schema = self.data.features.arrow_schema if self.packed is None else self.packed.columns
        if isinstance(self.data, Dataset) and self.packed is None:
            schema = pa.schema([field.with_type(pa.null()) if self._empty(field) else field for field in schema])
        own = [field for field in schema if field.name not in self.columns and field.name not in self.left]
        return pa.schema(own + [pa.field(name, schema.field(found).type) for name, found in self.columns.items()])

    @cached_property
    def left(self) -> set[str]:
        """Names of right answers that a column leaves for another such name; it may be the rationale besides."""
        kept = {name for name, found in self.columns.items() if name == found}
        return {found for name, found in self.columns.items() if {name, found} <= {*GOLDS}} - kept

    def _empty(self, field: pa.Field) -> bool:
        return pa.types.is_large_string(field.type) and self.data.data.column(field.name).null_count == len(self)

    def lenders(self, column: str, id: str) -> dict[str, int]:
        """Rows by their id whose text in the column is long, where the column has short ones, too, which may name them.

        As VLMEvalKit has it: a picture of several rows stands in one of them, and the others have that one's index.
        """
        names = [self.columns.get(name, name) for name in (column, id)]
        if isinstance(self.packed, JsonText):
            return self._lenders_of_rows(column, id)
        if self.packed is not None or not {*names} <= {*self.data.column_names}:
            return {}
        texts, ids = (self.data.data.column(name) for name in names)
        if not is_text(texts.type):
            return {}
        long = pc.greater(pc.binary_length(texts), SHORT)  # of the offsets: no picture is read
        if pc.sum(long).as_py() in (None, len(self)):
            return {}
        rows = pc.indices_nonzero(long).to_pylist()
        return {str(ids[row].as_py()).strip(): row for row in reversed(rows)}  # of two rows with one id the first

    def _lenders_of_rows(self, column: str, id: str) -> dict[str, int]:
        """The same of rows that have to be read for it."""
        found: dict[str, int] = {}
        long = 0
        for index in range(len(self)):
            row = self[index]
            if isinstance(row.get(column), str) and len(row[column]) > SHORT:
                found.setdefault(str(row.get(id)).strip(), index)
                long += 1
        return {} if long == len(self) else found

    def stream(self, rng: random.Random) -> Iterator[tuple[Place, Row]]:
        """One pass over the rows with their places, file after file in random order.

        `iter` with a size gives every process all rows; __iter__ would divide them among a loader's workers.
        """
        files = self.data.num_shards
        for file in rng.sample(range(files), files):
            part = self.data.shard(files, file) if files > 1 else self.data
            try:
                for number, rows in enumerate(part.iter(batch_size=1)):
                    yield Place(number, file if files > 1 else None), self._row(rows)
            except (datasets.exceptions.DatasetsError, ValueError, OSError, tarfile.TarError) as error:
                if not self.files:
                    raise
                reason = str(error).partition("\n")[0]
                others = ", or has files that the first has not" if isinstance(self.packed, Tars) else ""
                raise ConfigError(
                    f"path with streaming=true: {self.files[file]} cannot be read to its end{others} ({reason:.200}); "
                    "with streaming=false a run says so before it starts"
                ) from error

    def _row(self, rows: pa.Table) -> Row:
        row = rows.to_pylist()[0]
        for field in rows.schema:
            if DECODED.search(str(field.type)):
                row[field.name] = _decoded(row[field.name], field.type)
        if self.packed is not None:
            row = self.packed.row(row)
        own = {name: value for name, value in row.items() if name not in self.left}
        return own | {name: row.get(found) for name, found in self.columns.items()}


def _of_json(written: str) -> Any:
    """What JSON says, but a number as it is written: of mixed types `datasets` leaves a text bare that could be JSON,
    so that "007" and "-" stand there as they are, and "1.50" as a number would."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return written
    if isinstance(value, float) and re.fullmatch(r"-?[0-9]+\.0", written):
        return value  # a whole number that a decimal beside it made one
    return written if isinstance(value, int | float) and not isinstance(value, bool) else value


def _decoded(value: Any, type_: pa.DataType) -> Any:
    """The value with what is stored as JSON text, because its types are mixed, read; and with the shortest float that
    a narrow one stands for: Arrow widens the float32 of 0.1 to 0.10000000149011612, which nobody answers."""
    if value is None:
        return None
    if isinstance(type_, pa.JsonType):
        return _of_json(value)
    if pa.types.is_float32(type_) or pa.types.is_float16(type_):
        return float(str(type_.to_pandas_dtype()(value)))
    if isinstance(value, list):
        return [_decoded(item, type_.value_type) for item in value]
    if isinstance(value, dict):
        return {field.name: _decoded(value[field.name], field.type) for field in type_}
    return value
