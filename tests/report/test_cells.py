"""Tables whose numbers line up and sort."""

import math
import re

import pytest

from papo.report import Report, ReportTable
from papo.report.cells import sort_value
from papo.report.page import pieces


def body(*rows) -> list[list[str]]:
    """Each row's cells: what stands between <tr> and </tr>, cell by cell."""
    table = ReportTable("t", tuple("abcdef"[: len(rows[0])]), rows)
    written = "".join(pieces(Report("", tables=(table,)))).partition("<tbody>")[2]
    return [re.findall(r"<(?:td|th)[^>]*>.*?</(?:td|th)>", row) for row in re.findall(r"<tr>(.*)</tr>", written)]


def text(cell: str) -> str:
    return re.sub(r"<[^>]*>", "", cell)


def test_floats_of_a_column_have_the_same_decimals():
    columns = zip(*body(("x", 75.0, 0.1234, 5.0), ("y", 7.125, -0.5, -1.0)), strict=True)
    assert [[text(cell) for cell in column] for column in columns] == [
        ["x", "y"],
        ["75.0", "7.1"],
        ["0.123", "\u22120.500"],
        ["5.00", "\u22121.00"],
    ]


def test_what_sorts_as_a_number():
    (first, second) = body(("x 1", "43.8 [40.1, 47.6]", None, 2), ("2", "9.0 [8.0, 10.0]", math.nan, 10))
    assert "data-sort" not in first[0] + second[0]  # not all of its texts begin with a number
    assert 'data-sort="43.8"' in first[1]
    assert "43.8<small> [40.1, 47.6]</small>" in first[1]
    assert text(first[2]) == text(second[2]) == "\u2013"
    assert "data-sort" not in first[2] + second[2]
    assert 'data-sort="10.0"' in second[3]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("43.8 [40.1, 47.6]", 43.8),
        ("+1.5", 1.5),
        ("\u22122", -2.0),
        ("-2 %", -2.0),
        ("1,991", 1991.0),
        ("\u221212,345,678.5 [1, 2]", -12345678.5),
        ("1,2,3", 1.0),  # a list
        ("1,2345", 1.0),
        ("lab", None),
        ("1.2.3", None),
        ("", None),
        ("٣", None),
        (3, 3.0),
        (math.nan, None),
        (None, None),
        ("9" * 400, None),
    ],
)
def test_sort_value(cell, expected):
    assert sort_value(cell) == expected
