"""Tables as HTML whose rows the page's script can sort."""

from __future__ import annotations

import math
import re

from papo.report.content import ReportTable
from papo.report.text import markup

NO_VALUE = "\u2013"
_LEADING_NUMBER = re.compile(r"\s*([+\-\u2212]?[0-9]{1,18}(?:\.[0-9]{1,18})?)(?![0-9.])")
_INTERVAL = re.compile(r" \[[^\[\]]*\]$")  # set smaller than the estimate before it

Cell = str | float | None


def table_markup(table: ReportTable) -> str:
    cells = [[cell for row in table.rows if has_value(cell := row[c])] for c in range(len(table.columns))]
    numeric = [all(sort_value(cell) is not None for cell in column) for column in cells]
    head = "".join(
        f'<th scope="col" aria-sort="none"{align(n)}><button type="button">{markup(name)}</button></th>'
        for name, n in zip(table.columns, numeric, strict=True)
    )
    formats = [float_format(column) for column in cells]
    body = "".join(
        f"<tr>{''.join(cell_markup(row[c], c, numeric[c], formats[c]) for c in range(len(row)))}</tr>\n"
        for row in table.rows
    )
    note = f'<p class="note">{markup(table.note)}</p>' if table.note else ""
    return (
        f'<div class="table"><h3>{markup(table.title)}</h3><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{markup(table.title)}"><table class="sortable">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>{note}</div>\n"
    )


def cell_markup(cell: Cell, column: int, numeric: bool, float_format: str) -> str:
    """A cell of a numeric column carries the number that it sorts by; what carries none sorts last."""
    value = sort_value(cell) if numeric else None
    sort = "" if value is None else f' data-sort="{value!r}"'
    name, scope = ("th", ' scope="row"') if column == 0 else ("td", "")
    text = markup(cell_text(cell, float_format))
    if numeric and (interval := _INTERVAL.search(text)):
        text = f"{text[: interval.start()]}<small>{interval[0]}</small>"
    return f"<{name}{scope}{align(numeric)}{sort}>{text}</{name}>"


def align(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def has_value(cell: Cell) -> bool:
    return not (cell is None or (isinstance(cell, float) and math.isnan(cell)))


def cell_text(cell: Cell, float_format: str) -> str:
    if not has_value(cell):
        return NO_VALUE
    if isinstance(cell, str):
        return cell
    return (f"{cell:,}" if isinstance(cell, int) else f"{cell:{float_format}}").replace("-", "\u2212")


def float_format(column: list[Cell]) -> str:
    """One for all floats of a column, so that their points stand below each other: about three digits."""
    largest = max((abs(cell) for cell in column if isinstance(cell, float) and math.isfinite(cell)), default=0.0)
    return ",.1f" if largest >= 10 else ".2f" if largest >= 1 else ".3f"


def sort_value(cell: Cell) -> float | None:
    """The number that a cell is or begins with; None where it is neither.

    >>> sort_value("43.8 [40.1, 47.6]"), sort_value(2), sort_value("lab")
    (43.8, 2.0, None)
    """
    if isinstance(cell, str):
        found = _LEADING_NUMBER.match(cell)
        return float(found[1].replace("\u2212", "-")) if found else None
    return float(cell) if has_value(cell) else None
