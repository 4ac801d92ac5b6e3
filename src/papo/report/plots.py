"""Interval plots, measured out: a dot and its whiskers per estimate, told apart by shape as well as by colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from papo.report.content import Plot, PlotRow

# All lengths in CSS pixels at full size; the drawing scales with its column.
WIDTH = 620
LABELS = 150  # left of the axis
VALUES = 130  # right of it
LINE = 19  # between the estimates of a label
GAP = 13  # between labels
TOP = 6
BOTTOM = 42  # ticks and the axis' name
LABEL_CHARS = 24  # that fit into LABELS
TICKS = 5
SERIES = 6  # colours in page.css
SHAPES = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0Z",  # circle
    "M-4,-4h8v8h-8Z",  # square
    "M0,-5.5L5.5,0L0,5.5L-5.5,0Z",  # diamond
    "M0,-5L5,4H-5Z",  # triangle
)


class Look(NamedTuple):
    """What tells a series from the others."""

    name: str
    colour: str  # class of page.css
    shape: str  # path


class Tick(NamedTuple):
    x: float
    text: str
    zero: bool  # whether it is where a difference changes its sign


class Dot(NamedTuple):
    """A row in place; all lengths are from the left, or from the top."""

    row: PlotRow
    y: float
    low: float
    mean: float
    high: float
    text: str
    look: Look
    label: str | None  # shortened; at the first row of a label alone


class Drawing(NamedTuple):
    width: int
    height: float
    top: float  # where the axis' lines begin
    bottom: float  # where they end
    middle: float  # of the axis
    series: list[Look]
    ticks: list[Tick]
    dots: list[Dot]


class Figure(NamedTuple):
    """A plot as its template takes it."""

    title: str
    axis: str
    drawing: Drawing | None  # None where there is nothing to plot
    note: str


def figure(plot: Plot) -> Figure:
    rows = [row for row in plot.rows if all(map(math.isfinite, (row.mean, row.low, row.high)))]
    left_out = len(plot.rows) - len(rows)
    notes = [plot.note] * bool(plot.note) + [f"{left_out} without a finite estimate left out."] * bool(left_out)
    return Figure(plot.title, plot.axis, drawing(rows) if rows else None, " ".join(notes))


def drawing(rows: Sequence[PlotRow]) -> Drawing:
    names = dict.fromkeys(row.series for row in rows)
    looks = {name: Look(name, f"s{n % SERIES}", SHAPES[n % len(SHAPES)]) for n, name in enumerate(names)}
    values = nice_ticks(min(row.low for row in rows), max(row.high for row in rows))
    low, high = values[0], values[-1]
    step = values[1] - values[0]
    right = WIDTH - VALUES

    def x(value: float) -> float:
        return LABELS + (value - low) / (high - low) * (right - LABELS)

    def dot(y: float, row: PlotRow, first: bool) -> Dot:
        text = f"{decimal(row.mean, step, 1)} [{decimal(row.low, step, 1)}, {decimal(row.high, step, 1)}]"
        label = short(row.label) if first else None
        return Dot(row, y, x(row.low), x(row.mean), x(row.high), text, looks[row.series], label)

    dots = [dot(*line) for line in lines(rows)]
    bottom = dots[-1].y + LINE / 2 + GAP / 2
    ticks = [Tick(x(value), decimal(value, step), abs(value) < step / 2 and low < 0) for value in values]
    return Drawing(WIDTH, bottom + BOTTOM, TOP, bottom, (LABELS + right) / 2, [*looks.values()], ticks, dots)


def lines(rows: Sequence[PlotRow]) -> Iterator[tuple[float, PlotRow, bool]]:
    """Each row with its height and whether it is its label's first; labels stay together, in order of appearance."""
    y = TOP + GAP / 2 + LINE / 2
    for name in dict.fromkeys(row.label for row in rows):
        for i, row in enumerate(row for row in rows if row.label == name):
            yield y, row, i == 0
            y += LINE
        y += GAP


def short(label: str) -> str:
    return label if len(label) <= LABEL_CHARS else label[: LABEL_CHARS - 1] + "…"


def nice_ticks(low: float, high: float) -> list[float]:
    """About TICKS round values, evenly spaced, that enclose [low, high].

    >>> nice_ticks(12.3, 58.9)
    [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [tick * step for tick in range(first, max(last, first + 1) + 1)]


def decimal(value: float, step: float, further: int = 0) -> str:
    """With the decimals that a tick of this step needs, and `further` ones; a true minus sign."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) + further
    return f"{value:.{digits}f}".replace("-", "\u2212")
