"""Tables whose rows the page's script can sort: what each cell shows, and the number that it sorts by."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from papo.report.content import ReportTable

NO_VALUE = "\u2013"
# Its thousands may be set off by commas, as in 12,345; those of 1,2,3 are a list's.
_LEADING_NUMBER = re.compile(
    r"\s*([+\-\u2212]?(?:[0-9]{1,3}(?:,[0-9]{3}){1,5}(?![0-9])|[0-9]{1,18})(?:\.[0-9]{1,18})?)(?![0-9.])"
)
_INTERVAL = re.compile(r" \[[^\[\]]*\]$")

Value = str | float | None


class Cell(NamedTuple):
    text: str
    interval: str  # set smaller, behind the text; may be empty
    sort: float | None  # what carries none sorts last


@dataclass(frozen=True)
class Cells:
    """A table as its template takes it."""

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]  # of each column
    rows: tuple[tuple[Cell, ...], ...]
    note: str


def cells(table: ReportTable) -> Cells:
    """A column is numeric where every value that it has is a number or begins with one."""
    columns = [[value for row in table.rows if has_value(value := row[c])] for c in range(len(table.columns))]
    numeric = tuple(all(sort_value(value) is not None for value in column) for column in columns)
    formats = [float_format(column) for column in columns]
    rows = tuple(tuple(map(cell, row, numeric, formats)) for row in table.rows)
    return Cells(table.title, table.columns, numeric, rows, table.note)


def cell(value: Value, numeric: bool, float_format: str) -> Cell:
    text = cell_text(value, float_format)
    interval = _INTERVAL.search(text) if numeric else None
    start = interval.start() if interval else len(text)
    return Cell(text[:start], text[start:], sort_value(value) if numeric else None)


def has_value(value: Value) -> bool:
    return not (value is None or (isinstance(value, float) and math.isnan(value)))


def cell_text(value: Value, float_format: str) -> str:
    if not has_value(value):
        return NO_VALUE
    if isinstance(value, str):
        return value
    return (f"{value:,}" if isinstance(value, int) else f"{value:{float_format}}").replace("-", "\u2212")


def float_format(column: list[Value]) -> str:
    """One for all floats of a column, so that their points stand below each other: about three digits."""
    largest = max((abs(value) for value in column if isinstance(value, float) and math.isfinite(value)), default=0.0)
    return ",.1f" if largest >= 10 else ".2f" if largest >= 1 else ".3f"


def sort_value(value: Value) -> float | None:
    """The number that a cell is or begins with; None where it is neither.

    >>> sort_value("43.8 [40.1, 47.6]"), sort_value(2), sort_value("lab")
    (43.8, 2.0, None)
    """
    if isinstance(value, str):
        found = _LEADING_NUMBER.match(value)
        return float(found[1].replace("\u2212", "-").replace(",", "")) if found else None
    return float(value) if has_value(value) else None
