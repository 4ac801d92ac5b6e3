"""What a data set's columns must be, checked on the types before any row is read, and how a row's values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import types

Row = Mapping[str, Any]


class Kind(NamedTuple):
    """A kind of column: its name in messages, and the types that it may be stored as."""

    name: str
    fits: Callable[[pa.DataType], bool]


def unknown(type_: pa.DataType) -> bool:
    """Whether the type says nothing: of a column without any value, or of mixed types, which JSONL may have."""
    return types.is_null(type_) or isinstance(type_, pa.JsonType)


def is_text(type_: pa.DataType) -> bool:
    return types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_)


def _number(type_: pa.DataType) -> bool:
    return types.is_integer(type_) or types.is_floating(type_)


def _text_or_number(type_: pa.DataType) -> bool:
    return is_text(type_) or _number(type_)


def _written(type_: pa.DataType) -> bool:
    """Whether values can be written out; True and False, too, may answer a question."""
    return _text_or_number(type_) or types.is_decimal(type_) or types.is_boolean(type_)


def _image(type_: pa.DataType) -> bool:
    encoded = types.is_struct(type_) and type_.get_field_index("bytes") >= 0
    return encoded or is_text(type_) or types.is_binary(type_) or types.is_large_binary(type_)


def _list_of(fits: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    def fits_list(type_: pa.DataType) -> bool:
        a_list = types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)
        return a_list and (unknown(type_.value_type) or fits(type_.value_type))

    return fits_list


MOST_WHOLE = 10**18  # what is larger is written as 6e+23: eighteen digits are an integer (see `type_of_answer`)
TEXT = Kind("text", is_text)
NUMBER = Kind("a number", _text_or_number)  # CSV has it as text; whether it is one is looked at row by row
ANSWER = Kind("text or a number", _written)
TEXTS = Kind("a list of texts or numbers", _list_of(_written))
IMAGE = Kind("an image: bytes or a path", _image)
IMAGES = Kind("a list of images", _list_of(_image))
FIELDS = Kind("a group of named fields", types.is_struct)


def _either(*kinds: Kind) -> Kind:
    return Kind(" or ".join(kind.name for kind in kinds), lambda type_: any(kind.fits(type_) for kind in kinds))


PICTURES = _either(IMAGE, IMAGES)
TURNS = Kind("a list of turns", _list_of(types.is_struct))
PROMPT = _either(TEXT, TURNS)
ANSWERS = _either(ANSWER, TEXTS, Kind("a list of groups", _list_of(types.is_struct)))
CHOICES = _either(TEXTS, FIELDS, TEXT)
TAGS = _either(FIELDS, TEXT)  # a cell of a CSV holds them as text


# What any data set may have besides: other pictures that the words of a row could be asked about.
COUNTERFACTUAL = {"counterfactual_image": IMAGE, "counterfactual_images": IMAGES}


def check_columns(schema: pa.Schema, required: Mapping[str, Kind], optional: Mapping[str, Kind]) -> None:
    """Whether every required column is there and every known one of its kind.

    A dot reaches into a group of fields: "metadata.task". A column without any value is of no kind and fits all, and so
    does one of mixed types (JSONL may have them): its rows are looked at one by one.

    Raises:
        ValueError: names the first column that is missing or of another kind, and the columns that were found.
    """
    for name, kind in (*required.items(), *optional.items()):
        found = _type_of(schema, name)
        if found is None and name in optional:
            continue
        if found is None:
            other = "" if "." in name else f". If it has another name there: columns={{{name}: NAME}}"
            raise ValueError(f"column {name!r} ({kind.name}) is missing; found {describe(schema)}{other}")
        if not (unknown(found) or kind.fits(found)):
            raise ValueError(f"column {name!r} must be {kind.name}, but is {found}; found {describe(schema)}")


def describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema) or "no column"


def _type_of(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column or of a field inside it; None where there is none, null inside a group without values."""
    column, *inside = name.split(".")
    if column not in schema.names:
        return None
    found = schema.field(column).type
    for field in inside:
        if not types.is_struct(found):
            return found if unknown(found) else None
        index = found.get_field_index(field)
        if index < 0:
            return None
        found = found.field(index).type
    return found


# Readers of one row. Each raises ValueError with a reason that fits behind the row's id.


def text(row: Row, column: str) -> str:
    """The column's text without surrounding space; "" where the row has none. Numbers are written out."""
    return written(row.get(column), column)


def texts(row: Row, column: str) -> tuple[str, ...]:
    """The column's list of texts; empty where the row has none."""
    values = row.get(column)
    if values is not None and not isinstance(values, list):
        raise ValueError(f"{column} is {type(values).__name__}, not a list of texts")
    return tuple(written(value, f"an item of {column}") for value in values or ())


def written(value: Any, where: str, *, strip: bool = True) -> str:
    """A value as text, True and False as these words."""
    if value is None or value != value:  # a column of numbers may have NaN for nothing
        return ""
    if not isinstance(value, str | bool | int | float | Decimal):
        raise ValueError(f"{where} is {type(value).__name__}, not text")
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST_WHOLE:
        value = int(value)  # one 3.5 makes floats of a column's whole numbers
    if isinstance(value, Decimal):
        value = f"{value:f}"
    value = str(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} has half of a character (position {error.start})") from None
    return value.strip() if strip else value


def whole_number(row: Row, column: str) -> int | None:
    """The column's number, which may be stored as a float or as text; None where the row has none."""
    written = text(row, column)
    digits = re.fullmatch(r"([0-9]+)(\.0*)?", written)
    if written and not digits:
        raise ValueError(f"{column} is {written!r:.40}, not a whole number")
    return int(digits[1]) if digits else None


def fields(row: Row, column: str) -> Mapping[str, Any]:
    """The column's group of fields; empty where the row has none."""
    value = row.get(column)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{column} is {type(value).__name__}, not a group of named fields")
    return value


def pictures(row: Row, columns: Iterable[str]) -> tuple[Any, ...]:
    """The encoded pictures of the columns, each one picture, a list of them, such a list as text, or nothing."""
    found: list[Any] = []
    for column in columns:
        value = row.get(column)
        if isinstance(value, str) and value.startswith("["):
            value = list_in(value, column)
        value = None if value != value else value  # NaN of a table without types stands for nothing
        found += value if isinstance(value, list) else [] if value is None else [value]
    return tuple(found)


# A list of texts as Python writes it, where none has a quote or a backslash in it: base64 and most paths have none.
QUOTED = r"(?:'[^'\\]*'|\"[^\"\\]*\")"
PYTHON_LIST = re.compile(rf"\[\s*{QUOTED}\s*(?:,\s*{QUOTED}\s*)*,?\s*\]")


def list_in(written: str, column: str) -> Any:
    """A list that is stored as text, of any length, as JSON has it or Python.

    >>> list_in("['a.png', 'b.png']", "image")
    ['a.png', 'b.png']
    """
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        if not PYTHON_LIST.fullmatch(written.strip()):
            raise ValueError(f"{column} begins a list and is neither JSON nor Python's") from error
    return [quoted[1:-1] for quoted in re.findall(QUOTED, written)]
