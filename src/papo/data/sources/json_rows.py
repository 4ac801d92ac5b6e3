"""Rows of JSON files, each kept as it is written: of any types, and with any names, wherever in whichever file.

The reader of `datasets` has one type for a column, that of the first ten megabytes of the first file: what has another
further on, it refuses. It takes "2024-05-01" for a moment, too. What it is good at, a copy on the disk that need not be
in memory, and streams, is used here as well: its table has one column, the row's JSON.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import datasets
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, SplitGenerator, Value
from datasets.builder import Key

from papo.data.sources.copies import place_of_copy

WRITTEN = "row"  # the column of the rows' JSON
TOGETHER = 100  # rows of one piece of a table: of base64 pictures a few hundred megabytes
LOOKED_AT = 1000  # rows that say which columns a stream has, of all files as many
MOST_FIELDS = 100  # of a group; more are no fields, but a dictionary's keys


@dataclass(frozen=True)
class JsonText:
    """What becomes of rows that are JSON.

    columns: what they have, and of which types, as far as rows were looked at: of a stream the first ones.
    names: by the name of a column in the files, its name here, where it is another.
    """

    columns: pa.Schema
    names: Mapping[str, str] = field(default_factory=dict)

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {self.names.get(name, name): value for name, value in decoded(row[WRITTEN]).items()}

    def renamed(self, names: Mapping[str, str]) -> JsonText:
        """With other names, by those here."""
        columns = [column.with_name(names.get(column.name, column.name)) for column in self.columns]
        return JsonText(pa.schema(columns), names)


@dataclass
class FilesConfig(datasets.BuilderConfig):
    """Files, each with the time of its last change."""

    files: tuple[tuple[str, int], ...] = ()


class JsonRows(datasets.ArrowBasedBuilder):
    """Files of objects. Their columns are in the description, for a copy has been looked through already."""

    BUILDER_CONFIG_CLASS = FilesConfig
    VERSION = datasets.Version("1.0.0")  # another one for another reading: copies are kept

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=Features({WRITTEN: Value("large_string")}))

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        return [SplitGenerator("train", {"files": [file for file, _ in self.config.files]})]

    def _generate_tables(self, files: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
        columns: dict[str, pa.DataType] = {}
        for number, file in enumerate(files):
            for part, rows in enumerate(together(rows_of(file))):
                look_at([row for _, row in rows], columns)
                written = pa.array([text for text, _ in rows], pa.large_string())
                yield Key(number, part), pa.table({WRITTEN: written})
        self.info.description = base64.b64encode(schema_of(columns).serialize()).decode()


def opened(files: Sequence[Path], streaming: bool) -> tuple[Dataset | IterableDataset, JsonText]:
    """The rows of all files, one behind the other, and what becomes of them.

    Raises:
        ValueError: see `rows_of`; or there is no row. `datasets` may make its DatasetsError of it.
    """
    settings = {"files": tuple((str(file), file.stat().st_mtime_ns) for file in files)}
    if streaming:
        columns: dict[str, pa.DataType] = {}
        for file in files:
            for rows in together(islice(rows_of(file), -(-LOOKED_AT // len(files)))):
                look_at([row for _, row in rows], columns)
        return JsonRows(**settings).as_streaming_dataset("train"), JsonText(schema_of(columns))
    builder = JsonRows(cache_dir=place_of_copy(files), **settings)
    builder.download_and_prepare()
    described = base64.b64decode(builder.info.description)
    return builder.as_dataset("train"), JsonText(pa.ipc.read_schema(pa.py_buffer(described)))


def rows_of(file: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, each as JSON and as what that says: one a line, a list of them, or one behind the other.

    Raises:
        ValueError: it is not JSON, or has something else than objects; with the place.
    """
    with Path(file).open(encoding="utf-8-sig") as content:
        for place, text, row in _values(content, str(file)):
            if not isinstance(row, dict):
                raise ValueError(f"{place}: {type(row).__name__} is not an object")
            yield text, row


def _values(content: TextIO, file: str) -> Iterator[tuple[str, str, Any]]:
    """Each value with its place in front."""
    lines = ((number, line) for number, line in enumerate(content, 1) if line.strip())
    first = list(islice(lines, 1))
    if first and first[0][1].lstrip().startswith("["):
        for number, value in enumerate(_read(decoded, first[0][1] + content.read(), file), 1):
            place = f"{file}, entry {number}"
            yield place, _read(json.dumps, value, place), value
        return
    for number, line in chain(first, lines):
        place = f"{file}, line {number}"
        try:
            value = decoded(line)
        except (ValueError, RecursionError):
            yield from _one_behind_the_other(line + content.read(), file, number)
            return
        yield place, line.strip(), value


def _one_behind_the_other(text: str, file: str, number: int) -> Iterator[tuple[str, str, Any]]:
    """Values that go over lines, or share one; `text` begins in line `number`."""
    begin = len(text) - len(text.lstrip())
    while begin < len(text):
        place = f"{file}, line {number + text.count(chr(10), 0, begin)}"
        try:
            value, end = DECODER.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number + error.lineno - 1}: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}: {error}") from None
        yield place, text[begin:end], value
        begin = end + len(text[end:]) - len(text[end:].lstrip())


def _read(reader: Callable[[Any], Any], what: Any, place: str) -> Any:
    try:
        return reader(what)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: {error}") from None


def _decimal(written: str) -> float | str:
    """A number; 1e400 stays what was written, as there is no such float."""
    number = float(written)
    return number if math.isfinite(number) else written


# NaN and Infinity, which JSON has not and pandas writes for what is missing, are None.
DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=_decimal, strict=False)
decoded = DECODER.decode


def together(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """TOGETHER rows, and what is left."""
    rows = iter(rows)
    while some := list(islice(rows, TOGETHER)):
        yield some


def look_at(rows: Sequence[Mapping[str, Any]], columns: dict[str, pa.DataType]) -> None:
    """Adds the rows' columns; the type of each is that of all its values, JSON's where they have several."""
    for name in dict.fromkeys(name for row in rows for name in row):
        columns[name] = both(columns.get(name, pa.null()), type_of([row.get(name) for row in rows]))


def schema_of(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    if not columns:
        raise ValueError("there is no row")
    return pa.schema(list(columns.items()))


def type_of(values: Sequence[Any]) -> pa.DataType:
    """That the values have; JSON's where they are of several types, or groups of which each has names of its own."""
    try:
        return _kept(pa.array(values).type)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return pa.json_()


def both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """That values of either type have: of whole numbers and decimals decimals, of groups all their fields."""
    if one == other:
        return one
    schemas = [pa.schema([("", each)]) for each in (one, other)]
    try:
        return _kept(pa.unify_schemas(schemas, promote_options="permissive").field(0).type)
    except pa.ArrowException:
        return pa.json_()


def _kept(found: pa.DataType) -> pa.DataType:
    within = found.value_type if pa.types.is_list(found) else found
    return pa.json_() if pa.types.is_struct(within) and within.num_fields > MOST_FIELDS else found
