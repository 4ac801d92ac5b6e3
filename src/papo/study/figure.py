"""A study at a glance: where the arms end, by factor where there is one, and how they get there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from papo.study.arms import Cell, Levels, told
from papo.study.comparison import CURVES, Comparison, Effect

SHOWN = ("accuracy", "greedy", "guessed", "masked", "readable_masked", "guessable")  # of the metrics, where measured
PANEL = (4.2, 3.0)  # inches
DPI = 110
BAND = 0.15  # opacity
MARGIN = 3  # percentage points beyond what a share can be
# Of the first ten arms, which differ by colour, of the next ten, and so on.
MARKS, LINES = "os^Dv", ("-", "--", ":", "-.")
# Between arms that stand side by side, and of all of them together, of the distance between neighbours.
SPREAD, ROOM = 0.08, 0.8


def draw(comparison: Comparison) -> bytes:
    """As PNG: the final metrics in the first rows, below them a row of learning curves for each level.

    The final metrics are drawn over the levels of the factor where there is exactly one and it has several numbers,
    else arm beside arm.
    """
    metrics = [name for name in SHOWN if any(name in of for of in comparison.arms.values())]
    levels = list(dict.fromkeys(cell.levels for cell in comparison.cells))
    columns = max(len(CURVES), min(3, len(metrics)))
    above = -(-len(metrics) // columns)
    rows = above + len(levels)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()  # until something is drawn there
    for name, panel in zip(metrics, panels[:above].flat, strict=False):
        final(panel, comparison, name)
    for level, row in zip(levels, panels[above:], strict=True):
        for name, panel in zip(CURVES, row, strict=False):
            curve(panel, comparison, name, level)
    handles = {line.get_label(): line for panel in panels.flat for line in panel.get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=4, frameon=False)
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def final(panel: Axes, comparison: Comparison, name: str) -> None:
    """A metric of every arm at the end, over the factor or arm beside arm."""
    number = all(len(cell.levels) == 1 and is_number(cell.levels[0][1]) for cell in comparison.cells)
    values = sorted({cell.levels[0][1] for cell in comparison.cells}) if number else []
    if len(values) > 1:
        # Levels such as 0.9, 0.95, 1.0 would lie on one another: each has the same room.
        places = {value: n for n, value in enumerate(values)}
        panel.set_xticks(list(places.values()), [f"{value:g}" for value in values])
        panel.set_xlabel(comparison.cells[0].levels[0][0])
        of_arms = by_arm(comparison.cells)
        for n, (arm, of_arm) in enumerate(of_arms.items()):
            known = {cell.levels[0][1]: comparison.arms[cell.label].get(name) for cell in of_arm}
            aside = beside(n, len(of_arms))
            bars(panel, {place + aside: known.get(value) for value, place in places.items()}, arm, n)
    else:
        alone = len({cell.levels for cell in comparison.cells}) == 1
        labels = [cell.arm if alone else cell.label for cell in comparison.cells]
        panel.set_xticks(range(len(labels)), labels, rotation=30, ha="right", fontsize=7)
        order = list(by_arm(comparison.cells))
        for n, cell in enumerate(comparison.cells):
            bars(panel, {n: comparison.arms[cell.label].get(name)}, cell.arm, order.index(cell.arm))
    panel.set_axis_on()
    within_shares(panel)
    panel.set_title(f"{name}, %", fontsize=9)


def curve(panel: Axes, comparison: Comparison, name: str, levels: Levels) -> None:
    """The course of a measure over steps, with its interval as a band, of every arm at one level."""
    order = list(by_arm(comparison.cells))
    for cell in comparison.cells:
        effects = comparison.curves[cell.label].get(name)
        if cell.levels != levels or not effects:
            continue
        steps, (means, lows, highs) = list(effects), in_percent(list(effects.values()))
        look = look_of(order.index(cell.arm))
        panel.plot(steps, means, **look, markersize=3, label=cell.arm)
        panel.fill_between(steps, lows, highs, color=look["color"], alpha=BAND, linewidth=0)
        panel.set_axis_on()
    if panel.axison:  # once all are there: limits that are set grow no more
        within_shares(panel)
    where = ", ".join(told(key, value) for key, value in levels)
    panel.set_title(f"held-out {name}, %" + (f" ({where})" if where else ""), fontsize=9)
    panel.set_xlabel("step")


def bars(panel: Axes, effects: Mapping[float, Effect | None], arm: str, n: int) -> None:
    """Where an effect is None the line has a gap."""
    if any(effect is not None for effect in effects.values()):
        means, lows, highs = in_percent(list(effects.values()))
        below, above = ([abs(a - b) for a, b in zip(means, ends, strict=True)] for ends in (lows, highs))
        style = {"label": arm, "markersize": 4, "capsize": 2, "linewidth": 1}
        panel.errorbar(list(effects), means, (below, above), **look_of(n), **style)


def within_shares(panel: Axes) -> None:
    """Two seeds may give an interval far beyond 0 and 100 %, which would press all others flat."""
    low, high = panel.get_ylim()
    panel.set_ylim(max(low, -MARGIN), min(high, 100 + MARGIN))


def in_percent(effects: Sequence[Effect | None]) -> tuple[list[float], list[float], list[float]]:
    """Means and both ends; the mean itself where there is no interval, NaN where there is nothing."""
    found = [(math.nan,) * 3 if e is None else (e.mean, *(e.ci95 or (e.mean, e.mean))) for e in effects]
    means, lows, highs = ([100 * value for value in of] for of in zip(*found, strict=True))
    return means, lows, highs


def beside(n: int, count: int) -> float:
    """How far the n-th of so many arms stands from its level, of the distance between levels."""
    return min(SPREAD, ROOM / count) * (n - (count - 1) / 2)


def by_arm(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.arm, []).append(cell)
    return found


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def look_of(n: int) -> dict[str, Any]:
    """Colour, mark and line of the n-th arm, counted from 0: one of 200."""
    tens, colour = divmod(n, 10)
    return {
        "color": colormaps["tab10"](colour),
        "marker": MARKS[tens % len(MARKS)],
        "linestyle": LINES[tens % len(LINES)],
    }
