"""Rows of JSON files, through a reader of `datasets`, with the types that all rows of all files have together.

The library's own reader knows the types of the first ten megabytes of the first file: what has others further on, it
refuses. It also takes "2024-05-01" for a moment, which then answers nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, SplitGenerator
from datasets.builder import Key

from papo.data.sources.copies import place_of_copy

TOGETHER = 100  # rows of one piece of a table: of base64 pictures a few hundred megabytes
LOOKED_AT = 1000  # rows that say which types a stream has, of all files as many
MOST_FIELDS = 100  # of a group; more are no fields, but a dictionary's keys


class JsonRows(datasets.ArrowBasedBuilder):
    """A JSON object a line, or a list of objects, in each of `data_files`."""

    VERSION = datasets.Version("1.0.0")  # another one for another reading: copies are kept

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:
        """One split of all files. The types are found here, for a copy that is there already knows them."""
        files = [str(file) for file in self.config.data_files["train"]]
        found = columns_of(files, -(-LOOKED_AT // len(files)) if dl_manager.is_streaming else None)
        self.info.features = Features.from_arrow_schema(found)
        return [SplitGenerator("train", {"files": files})]

    def _generate_tables(self, files: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
        columns = self.info.features.arrow_schema
        for number, file in enumerate(files):
            for part, rows in enumerate(together(rows_of(file))):
                yield Key(number, part), table_of(rows, columns)


def opened(files: Sequence[Path], streaming: bool) -> Dataset | IterableDataset:
    """The rows of all files, one behind the other. Raises what `datasets` makes of a ValueError of `rows_of`."""
    data_files = {"train": [str(file) for file in files]}
    if streaming:
        return JsonRows(data_files=data_files).as_streaming_dataset("train")
    builder = JsonRows(cache_dir=place_of_copy(files), data_files=data_files)
    builder.download_and_prepare()
    return builder.as_dataset("train")


def rows_of(file: str | Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file. NaN and Infinity, which JSON has not and pandas writes for what is missing, are None.

    Raises:
        ValueError: it is not JSON, or has something else than objects; with the place.
    """
    with Path(file).open(encoding="utf-8-sig") as content:
        lines = ((number, line) for number, line in enumerate(content, 1) if line.strip())
        first = list(islice(lines, 1))
        if first and first[0][1].lstrip().startswith("["):
            unit, found = "entry", enumerate(_read(first[0][1] + content.read(), str(file)), 1)
        else:
            unit = "line"
            found = ((number, _read(line, f"{file}, line {number}")) for number, line in chain(first, lines))
        for number, row in found:
            if not isinstance(row, dict):
                raise ValueError(f"{file}, {unit} {number}: {type(row).__name__} is not an object")
            yield row


def _read(written: str, place: str) -> Any:
    try:
        value = json.loads(written, parse_constant=lambda _: None)
        if "\\u" in written:
            json.dumps(value, ensure_ascii=False).encode()  # half of a character, which no table can hold
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: {error}") from None
    return value


def together(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """TOGETHER rows, and what is left."""
    rows = iter(rows)
    while some := list(islice(rows, TOGETHER)):
        yield some


def columns_of(files: Iterable[str | Path], looked_at: int | None = None) -> pa.Schema:
    """The columns of all files' rows, each with the type that all its values have; JSON's where they have several.

    Args:
        looked_at: rows of each file that are read, the first ones; None = all.

    Raises:
        ValueError: see `rows_of`; or there is no row.
    """
    types: dict[str, pa.DataType] = {}
    for file in files:
        for rows in together(islice(rows_of(file), looked_at)):
            for name in dict.fromkeys(name for row in rows for name in row):
                found = type_of([row.get(name) for row in rows])
                types[name] = both(types.get(name, pa.null()), found)
    if not types:
        raise ValueError("there is no row")
    return pa.schema(list(types.items()))


def type_of(values: Sequence[Any]) -> pa.DataType:
    """That the values have; JSON's where they are of several types, or groups of which each has names of its own."""
    try:
        return _kept(pa.array(values).type)
    except (pa.ArrowException, OverflowError):
        return pa.json_()


def both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """What values of either type are stored as: of whole numbers and decimals decimals, of groups all their fields."""
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


def table_of(rows: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """Rows in Arrow's format; a column that a row has not is None.

    Raises:
        ValueError: a value is not of its column's type, which only a stream's may be.
    """
    return pa.table([_array([row.get(field.name) for row in rows], field) for field in columns], columns)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    try:
        if not isinstance(field.type, pa.JsonType):
            return pa.array(values, field.type)
        texts = [None if value is None else json.dumps(value) for value in values]
        return pa.ExtensionArray.from_storage(field.type, pa.array(texts, field.type.storage_type))
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"column {field.name!r}: {error}") from error
