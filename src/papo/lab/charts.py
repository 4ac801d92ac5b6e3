"""Bar, line and pie charts of three to five coloured series with integer values from 1 to 9.

Bars and points share one scale: UNIT pixels per unit, value 0 at BASELINE. A pie is a clock face: a slice of value v
takes v of the 12 hours, clockwise from 12 o'clock.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from papo.lab.canvas import SIZE, Canvas, blank, disc, near_segment, stamp
from papo.lab.palette import BLACK, COLOURS, FAINT, GREY, RGB, WHITE
from papo.lab.prior import Draw, evenly, favourite
from papo.lab.questions import Draft, enumerate_in_words, in_digits, stated
from papo.types import Guess

LOW, HIGH = 1, 9
HOURS = 12

UNIT = 11  # pixels per unit: the largest that leaves room for a whole marker at 9
BASELINE = 106
BAR_WIDTH = 16
MARKER = 10  # pixels across
RADIUS = 50  # of a pie


class Chart(NamedTuple):
    """What is drawn: series from left to right, slices clockwise."""

    kind: str  # "bar" | "line" | "pie"
    colours: list[str]
    values: list[int]

    @property
    def noun(self) -> str:
        return {"bar": "bar", "line": "point", "pie": "slice"}[self.kind]


Extreme = Callable[[Sequence[int]], int]  # max or min themselves: what a worker process is sent must pickle


class Asked(NamedTuple):
    """What a task makes of a chart; the fields are those of Draft."""

    phrasings: tuple[str, ...]
    named: list[int]  # the series that must be read, in the order of the question
    answer: Callable[[Sequence[int]], str]  # to the same question about a chart of these values
    near_misses: tuple[str, ...]
    possible: tuple[str, ...]
    answer_type: str = "integer"
    extreme: Extreme | None = None  # max or min, of which there must be one


def make_chart(rng: random.Random, draw: Draw) -> Draft:
    """A chart and a question about one, two or all of its series."""
    kind, task = rng.choice(("bar", "line", "pie")), rng.choice(tuple(_TASKS))
    chart = _draw_chart(rng, kind, draw)
    while (asked := _TASKS[task](rng, chart)) is None:
        chart = _draw_chart(rng, kind, draw)
    named, values = ([of[i] for i in asked.named] for of in (chart.colours, chart.values))
    suggested = _values(chart.colours, favourite)
    return Draft(
        family="charts",
        task=f"{kind}_{task}",
        question=rng.choice(asked.phrasings),
        answer=asked.answer(chart.values),
        answer_type=asked.answer_type,
        rationale=stated(named, values),
        given_away=enumerate_in_words(
            [f"the {colour} {chart.noun} is {value}" for colour, value in zip(named, values, strict=True)]
        ),
        near_misses=asked.near_misses,
        possible=asked.possible,
        scene=chart._asdict(),
        guess=Guess(stated(named, [suggested[i] for i in asked.named]), asked.answer(suggested)),
        redraw=partial(_redraw, chart=chart, extreme=asked.extreme),
    )


def draw_chart(scene: dict[str, Any]) -> Image.Image:
    """The picture of a scene of `make_chart`."""
    draw = {"bar": _draw_bars, "line": _draw_line, "pie": _draw_pie}[scene["kind"]]
    return Image.fromarray(draw([RGB[colour] for colour in scene["colours"]], scene["values"]))


def _draw_chart(rng: random.Random, kind: str, draw: Draw) -> Chart:
    count = rng.randint(3, 4 if kind == "pie" else 5)
    while True:
        colours = rng.sample(COLOURS, count)  # redrawn too: the favourites of some colours never make a full pie
        values = _values(colours, draw)
        if _drawable(kind, values):
            return Chart(kind, colours, values)


def _redraw(rng: random.Random, chart: Chart, extreme: Extreme | None) -> dict[str, Any]:
    """The chart with other values, all being as likely of those to which the question has one answer."""
    while True:
        values = _values(chart.colours, evenly(rng))
        if _drawable(chart.kind, values) and (extreme is None or not _shared(values, extreme)):
            return chart._replace(values=values)._asdict()


def _values(colours: Sequence[str], draw: Draw) -> list[int]:
    return [draw(COLOURS.index(colour), LOW, HIGH) for colour in colours]


def _drawable(kind: str, values: Sequence[int]) -> bool:
    return kind != "pie" or sum(values) == HOURS


def _shared(values: Sequence[int], extreme: Extreme) -> bool:
    """Whether two series have the highest value, or the lowest."""
    return values.count(extreme(values)) > 1


def _read(rng: random.Random, chart: Chart) -> Asked:
    i = rng.randrange(len(chart.values))
    subject = f"the {chart.colours[i]} {chart.noun}"
    adjective = "large" if chart.kind == "pie" else "high"
    return Asked(
        phrasings=(f"What is the value of {subject}?", f"How {adjective} is {subject}?"),
        named=[i],
        answer=lambda values: str(values[i]),
        near_misses=in_digits(chart.values),
        possible=in_digits(range(LOW, HIGH + 1)),
    )


def _extreme(rng: random.Random, chart: Chart) -> Asked | None:
    """None where two series share the extreme: the question needs another chart."""
    most, least = ("largest", "smallest") if chart.kind == "pie" else ("highest", "lowest")
    pick, word = rng.choice(((max, most), (min, least)))
    if _shared(chart.values, pick):
        return None
    return Asked(
        phrasings=(f"Which colour is the {word} {chart.noun}?", f"Which {chart.noun} is the {word}?"),
        named=list(range(len(chart.values))),
        answer=lambda values: chart.colours[values.index(pick(values))],
        near_misses=(),
        possible=tuple(chart.colours),
        answer_type="text",
        extreme=pick,
    )


def _sum(rng: random.Random, chart: Chart) -> Asked:
    i, j = rng.sample(range(len(chart.values)), 2)
    subject = f"the {chart.colours[i]} and {chart.colours[j]} {chart.noun}s"
    return Asked(
        phrasings=(f"What is the sum of {subject}?", f"What are {subject} together?"),
        named=[i, j],
        answer=lambda values: str(values[i] + values[j]),
        near_misses=in_digits(a + b for a, b in itertools.combinations(chart.values, 2)),
        possible=in_digits(range(2 * LOW, HOURS if chart.kind == "pie" else 2 * HIGH + 1)),
    )


def _difference(rng: random.Random, chart: Chart) -> Asked:
    i, j = rng.sample(range(len(chart.values)), 2)
    subject = f"the {chart.colours[i]} and {chart.colours[j]} {chart.noun}s"
    return Asked(
        phrasings=(f"What is the difference between {subject}?", f"By how much do {subject} differ?"),
        named=[i, j],
        answer=lambda values: str(abs(values[i] - values[j])),
        near_misses=in_digits(abs(a - b) for a, b in itertools.combinations(chart.values, 2)),
        possible=in_digits(range(HIGH - LOW + 1)),
    )


def _count_above(rng: random.Random, chart: Chart) -> Asked:
    threshold = rng.randint(1, 5) if chart.kind == "pie" else rng.randint(2, 7)  # slices are smaller than bars
    return Asked(
        phrasings=(f"How many {chart.noun}s are above {threshold}?",),
        named=list(range(len(chart.values))),
        answer=lambda values: str(sum(value > threshold for value in values)),
        near_misses=(),
        possible=in_digits(range(6)),
    )


_TASKS: dict[str, Callable[[random.Random, Chart], Asked | None]] = {
    "read": _read,
    "extreme": _extreme,
    "sum": _sum,
    "difference": _difference,
    "count_above": _count_above,
}


def _axes() -> Canvas:
    canvas = blank()
    canvas[BASELINE - UNIT * HIGH : BASELINE : UNIT] = FAINT
    canvas[BASELINE] = GREY
    return canvas


def _clock() -> tuple[Canvas, np.ndarray, list[np.ndarray]]:
    """The empty face with a tick at every hour, the hour [112, 112] that each pixel of the pie lies in (HOURS
    outside), and the radius [112, 112] that separates hour h from the one before."""
    centre = SIZE / 2
    offset = np.arange(SIZE) + 0.5 - centre
    x, y = offset, offset[:, None]
    inside = x**2 + y**2 <= RADIUS**2
    turn = np.arctan2(x, -y) / (2 * np.pi) % 1  # clockwise from 12 o'clock; no pixel centre lies on a border
    hour = np.where(inside, (turn * HOURS).astype(int), HOURS)
    tips = [(math.sin(2 * math.pi * h / HOURS), -math.cos(2 * math.pi * h / HOURS)) for h in range(HOURS)]
    face = blank()
    for tip_x, tip_y in tips:
        face[near_segment((centre, centre), (centre + 54 * tip_x, centre + 54 * tip_y), 2)] = GREY
    rim = [(centre + (RADIUS - 1) * tip_x, centre + (RADIUS - 1) * tip_y) for tip_x, tip_y in tips]
    return face, hour, [near_segment((centre, centre), end, 2) for end in rim]


_AXES = _axes()
_FACE, _HOUR, _SPOKES = _clock()
_ALL_SPOKES = np.logical_or.reduce(_SPOKES)
_MARKER = disc(MARKER)


def _centres(count: int) -> list[int]:
    """Where the series stand, in pixels from the left."""
    return [SIZE * (2 * i + 1) // (2 * count) for i in range(count)]


def _draw_bars(colours: list[tuple[int, int, int]], values: list[int]) -> Canvas:
    canvas = _AXES.copy()
    for x, colour, value in zip(_centres(len(values)), colours, values, strict=True):
        canvas[BASELINE - UNIT * value : BASELINE, x - BAR_WIDTH // 2 : x + BAR_WIDTH // 2] = colour
    return canvas


def _draw_line(colours: list[tuple[int, int, int]], values: list[int]) -> Canvas:
    canvas = _AXES.copy()
    points = [(x, BASELINE - UNIT * value) for x, value in zip(_centres(len(values)), values, strict=True)]
    for start, end in itertools.pairwise(points):
        canvas[near_segment(start, end, 2)] = GREY
    for (x, y), colour in zip(points, colours, strict=True):
        stamp(canvas, _MARKER, x - MARKER // 2, y - MARKER // 2, colour)
    return canvas


def _draw_pie(colours: list[tuple[int, int, int]], values: list[int]) -> Canvas:
    """Slices, a white radius at every hour to count by, and a black one where a slice begins."""
    by_hour = np.repeat(np.array(colours, np.uint8), values, axis=0)
    canvas = np.concatenate((by_hour, np.array([WHITE], np.uint8)))[_HOUR]
    outside = _HOUR == HOURS
    canvas[outside] = _FACE[outside]
    canvas[_ALL_SPOKES] = WHITE
    for begin in itertools.accumulate(values):
        canvas[_SPOKES[begin % HOURS]] = BLACK
    return canvas
