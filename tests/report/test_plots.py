"""Where dots and whiskers stand."""

import math
import re

import pytest

from papo.report import Plot, PlotRow, Report
from papo.report.page import pieces
from papo.report.plots import decimal, nice_ticks


def plot_markup(plot: Plot) -> str:
    """The <figure> of a page with this plot alone."""
    return re.search("<figure>.*</figure>", "".join(pieces(Report("", plots=(plot,)))), re.DOTALL)[0]


def numbers(pattern: str, written: str) -> list[list[float]]:
    return [[float(x) for x in found] for found in re.findall(pattern, written)]


def test_dots_and_whiskers_stand_where_their_numbers_say():
    rows = (PlotRow("a", "s", 50.0, 25.0, 75.0), PlotRow("b", "s", 0.0, 0.0, 100.0))
    written = plot_markup(Plot("t", rows, "%"))
    ticks = {label: float(x) for x, label in re.findall(r'class="tick" x="([\d.]+)" y="[\d.]+">([\d.]+)<', written)}
    assert list(ticks) == ["0", "20", "40", "60", "80", "100"]
    scale = (ticks["100"] - ticks["0"]) / 100
    dots = numbers(r"translate\(([\d.]+) ([\d.]+)\)", written)
    whiskers = numbers(r'class="whisker" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)"', written)
    for row, (x, y), (x1, y1, x2) in zip(rows, dots, whiskers, strict=True):
        assert [x, x1, x2] == pytest.approx([ticks["0"] + scale * v for v in (row.mean, row.low, row.high)], abs=0.06)
        assert y == y1
    assert dots[1][1] > dots[0][1]


def test_rows_of_a_label_stand_together_and_a_series_keeps_its_look():
    rows = (
        PlotRow("a", "image", 1, 0, 2),
        PlotRow("b", "image", 1, 0, 2),
        PlotRow("a", "blind", 1, 0, 2),
        PlotRow("b", "blind", 1, 0, 2),
    )
    written = plot_markup(Plot("t", rows))
    assert re.findall(r"<title>([ab], \w+):", written) == ["a, image", "a, blind", "b, image", "b, blind"]
    assert re.findall(r'<g class="(s\d)"><title>\w, (\w+)', written) == [
        ("s0", "image"),
        ("s1", "blind"),
        ("s0", "image"),
        ("s1", "blind"),
    ]
    shapes = re.findall(r'<path d="([^"]*)" transform', written)
    assert shapes[0] == shapes[2] != shapes[1] == shapes[3]


def test_a_difference_shows_where_zero_is():
    assert 'class="zero"' in plot_markup(Plot("t", (PlotRow("a", "s", 1.0, -2.0, 4.0),)))
    assert 'class="zero"' not in plot_markup(Plot("t", (PlotRow("a", "s", 2.0, 0.0, 4.0),)))


def test_what_is_not_finite_is_left_out_and_counted():
    rows = (PlotRow("a", "s", 1.0, 0.0, 2.0), PlotRow("b", "s", math.nan, 0.0, 1.0), PlotRow("c", "s", 0, 0, math.inf))
    written = plot_markup(Plot("t", rows))
    assert written.count("<path") == 2  # the dot and the key
    assert "2 without a finite estimate left out." in written
    assert "Nothing to plot." in plot_markup(Plot("t", rows[1:]))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (-3.2, 4.1, [-4, -2, 0, 2, 4, 6]),
        (0.101, 0.119, [0.1, 0.105, 0.11, 0.115, 0.12]),
        (7, 7, [6, 8]),
        (0, 0, [0, 0.2]),
        (-5, -5, [-5, -4]),
    ],
)
def test_ticks_enclose_the_rows_and_are_round(low, high, expected):
    ticks = nice_ticks(low, high)
    assert ticks == pytest.approx(expected)
    assert ticks[0] <= low <= high <= ticks[-1] + 1e-12


@pytest.mark.parametrize(
    ("value", "step", "further", "expected"),
    [(20, 20, 0, "20"), (43.77, 20, 1, "43.8"), (-0.5, 0.5, 0, "\u22120.5"), (0.1234, 0.05, 1, "0.123")],
)
def test_decimals_follow_the_ticks(value, step, further, expected):
    assert decimal(value, step, further) == expected
