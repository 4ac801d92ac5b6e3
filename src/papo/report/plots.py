"""Interval plots as inline SVG: a dot and its whiskers per estimate, told apart by shape as well as by colour."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence

from papo.report.content import Plot, PlotRow
from papo.report.text import markup, visible

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


def plot_markup(plot: Plot) -> str:
    rows = [row for row in plot.rows if all(map(math.isfinite, (row.mean, row.low, row.high)))]
    left_out = len(plot.rows) - len(rows)
    notes = [plot.note] * bool(plot.note) + [f"{left_out} without a finite estimate left out."] * bool(left_out)
    note = f'<p class="note">{markup(" ".join(notes))}</p>' if notes else ""
    drawing = svg(plot, rows) if rows else '<p class="note">Nothing to plot.</p>'
    return f"<figure><figcaption><h3>{markup(plot.title)}</h3></figcaption>{drawing}{note}</figure>\n"


def svg(plot: Plot, rows: Sequence[PlotRow]) -> str:
    series = list(dict.fromkeys(row.series for row in rows))
    ticks = nice_ticks(min(row.low for row in rows), max(row.high for row in rows))
    low, high = ticks[0], ticks[-1]
    step = ticks[1] - ticks[0]
    right = WIDTH - VALUES

    def x(value: float) -> float:
        return LABELS + (value - low) / (high - low) * (right - LABELS)

    places = list(lines(rows))
    height = places[-1][0] + LINE / 2 + GAP / 2
    parts = [
        f'<line class="{"zero" if abs(tick) < step / 2 and low < 0 else "grid"}" x1="{x(tick):.1f}" y1="{TOP}" '
        f'x2="{x(tick):.1f}" y2="{height:.1f}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{height + 16:.1f}">{decimal(tick, step)}</text>'
        for tick in ticks
    ]
    for y, row, first in places:
        if first:
            parts.append(label(row.label, y))
        n = series.index(row.series)
        text = f"{decimal(row.mean, step, 1)} [{decimal(row.low, step, 1)}, {decimal(row.high, step, 1)}]"
        parts.append(
            f'<g class="s{n % SERIES}"><title>{markup(row.label)}, {markup(row.series)}: {text}</title>'
            f'<line class="whisker" x1="{x(row.low):.1f}" y1="{y:.1f}" x2="{x(row.high):.1f}" y2="{y:.1f}"/>'
            f'<path d="{SHAPES[n % len(SHAPES)]}" transform="translate({x(row.mean):.1f} {y:.1f})"/>'
            f'<text class="value" x="{WIDTH}" y="{y + 4:.1f}">{text}</text></g>'
        )
    axis = f'<text class="axis" x="{(LABELS + right) / 2}" y="{height + 34:.1f}">{markup(plot.axis)}</text>'
    return (
        f'{key(series)}<svg class="plot" viewBox="0 0 {WIDTH} {height + BOTTOM:.0f}" role="img" '
        f'aria-label="{markup(plot.title)}">\n' + "\n".join(parts) + f"\n{axis}</svg>"
    )


def lines(rows: Sequence[PlotRow]) -> Iterator[tuple[float, PlotRow, bool]]:
    """Each row with its height and whether it is its label's first; labels stay together, in order of appearance."""
    y = TOP + GAP / 2 + LINE / 2
    for name in dict.fromkeys(row.label for row in rows):
        for i, row in enumerate(row for row in rows if row.label == name):
            yield y, row, i == 0
            y += LINE
        y += GAP


def label(text: str, y: float) -> str:
    short = text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…"
    return (
        f'<text class="label" x="0" y="{y + 4:.1f}">{html.escape(visible(short))}<title>{markup(text)}</title></text>'
    )


def key(series: Sequence[str]) -> str:
    """What the shapes and colours mean."""
    entries = "".join(
        f'<li><svg class="s{n % SERIES}" viewBox="-7 -7 14 14" aria-hidden="true"><path '
        f'd="{SHAPES[n % len(SHAPES)]}"/></svg>{markup(name)}</li>'
        for n, name in enumerate(series)
    )
    return f'<ul class="key">{entries}</ul>'


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
