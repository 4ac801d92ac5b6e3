"""Segments and angles on a grid of eight by eight points, UNIT pixels apart.

Segments run along the grid between two of its points, so that lengths are whole. An angle has its corner on a point,
one ray to the right and the other above it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL import Image

from papo.lab.canvas import SIZE, near_segment, square_grid
from papo.lab.palette import COLOURS, RGB
from papo.lab.prior import Draw, evenly, favourite
from papo.lab.questions import Draft, enumerate_in_words, in_digits, stated
from papo.types import Guess

UNIT = 14  # pixels, the side of a patch
POINTS = SIZE // UNIT  # per axis; point i stands in the middle of patch i
LONGEST = POINTS - 1  # units
WIDTH = 6  # pixels, of segments and rays
DEGREES = 30  # angles are 1 to 5 times this
RAY_LENGTHS = (3, 4)  # units; short enough to fit at every angle


def make_geometry(rng: random.Random, draw: Draw) -> Draft:
    """Two segments or one angle, and a question about them."""
    task = rng.choice(("length", "compare", "length_difference", "angle"))
    return _make_angle(rng, draw) if task == "angle" else _make_segments(rng, draw, task)


def draw_geometry(scene: dict[str, Any]) -> Image.Image:
    """The picture of a scene of `make_geometry`."""
    canvas = _GRID.copy()
    if scene["kind"] == "segments":
        for segment in scene["segments"]:
            left, top, right, bottom = _box(segment)
            canvas[top:bottom, left:right] = RGB[segment["colour"]]
    else:
        corner = _pixel(*scene["corner"])
        for tip in _tips(scene):
            canvas[near_segment(corner, tip, WIDTH)] = RGB[scene["colour"]]
    return Image.fromarray(canvas)


def _make_segments(rng: random.Random, draw: Draw, task: str) -> Draft:
    colours = rng.sample(COLOURS, 2)
    lengths = _draw_lengths(rng, colours, draw, untied=task == "compare")
    segments = _place(rng, colours, lengths)
    first, second = colours
    named, answer_type, misses, possible = colours, "integer", (), in_digits(range(LONGEST))
    answer: Callable[[Sequence[int]], str]
    if task == "length":
        phrasings = (f"How long is the {first} line?", f"What is the length of the {first} line?")
        named, misses, possible = [first], in_digits(lengths), in_digits(range(1, LONGEST + 1))

        def answer(values: Sequence[int]) -> str:
            return str(values[0])
    elif task == "compare":
        phrasings = (f"Which line is longer, {first} or {second}?",)
        answer_type, possible = "text", tuple(colours)

        def answer(values: Sequence[int]) -> str:
            return colours[values.index(max(values))]
    else:
        phrasings = (
            f"What is the difference between the {first} and {second} lines?",
            f"By how much do the {first} and {second} lines differ?",
        )

        def answer(values: Sequence[int]) -> str:
            return str(abs(values[0] - values[1]))

    suggested = [favourite(COLOURS.index(colour), 1, LONGEST) for colour in colours]
    read = list(zip(named, lengths, strict=False))
    return Draft(
        family="geometry",
        task=task,
        question=rng.choice(phrasings),
        answer=answer(lengths),
        answer_type=answer_type,
        rationale=stated(named, lengths[: len(named)]),
        given_away=enumerate_in_words([f"the {colour} line is {length}" for colour, length in read]),
        near_misses=misses,
        possible=possible,
        scene=_segments_scene(segments),
        guess=Guess(stated(named, suggested[: len(named)]), answer(suggested)),
        redraw=partial(_redraw_segments, colours=colours, untied=task == "compare"),
    )


def _redraw_segments(rng: random.Random, colours: list[str], untied: bool) -> dict[str, Any]:
    """Segments of these colours, every length being as likely; of two lengths where the question compares them."""
    return _segments_scene(_place(rng, colours, _draw_lengths(rng, colours, evenly(rng), untied=untied)))


def _segments_scene(segments: list[dict[str, Any]]) -> dict[str, Any]:
    # The order in the scene is that of the names, not of the question: one picture, one canonical form.
    return {"kind": "segments", "segments": sorted(segments, key=lambda segment: segment["colour"])}


def _draw_lengths(rng: random.Random, colours: list[str], draw: Draw, *, untied: bool) -> list[int]:
    while True:
        lengths = [draw(COLOURS.index(colour), 1, LONGEST) for colour in colours]
        if not untied or lengths[0] != lengths[1]:
            return lengths


def _place(rng: random.Random, colours: list[str], lengths: list[int]) -> list[dict[str, Any]]:
    """The segments somewhere on the grid, apart from each other."""
    segments = _scatter(rng, colours, lengths)
    while _touch(*map(_box, segments)):
        segments = _scatter(rng, colours, lengths)
    return segments


def _scatter(rng: random.Random, colours: list[str], lengths: list[int]) -> list[dict[str, Any]]:
    """Each segment somewhere on the grid: `start` is its left or upper end as grid point (x, y)."""
    segments = []
    for colour, length in zip(colours, lengths, strict=True):
        along, across = rng.randrange(POINTS - length), rng.randrange(POINTS)
        horizontal = rng.random() < 0.5
        start = [along, across] if horizontal else [across, along]
        segments.append({"colour": colour, "length": length, "start": start, "horizontal": horizontal})
    return segments


def _box(segment: dict[str, Any]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a segment in pixels."""
    x, y = _pixel(*segment["start"])
    reach, half = segment["length"] * UNIT, WIDTH // 2
    return (x, y - half, x + reach, y + half) if segment["horizontal"] else (x - half, y, x + half, y + reach)


def _touch(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether two boxes overlap or meet."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _make_angle(rng: random.Random, draw: Draw) -> Draft:
    colour = rng.choice(COLOURS)
    corner = f"the {colour} corner"
    scene = _draw_angle(rng, colour, draw)
    suggested = DEGREES * favourite(COLOURS.index(colour), 1, 5)
    return Draft(
        family="geometry",
        task="angle",
        question=rng.choice((f"What is the angle at {corner}?", f"How many degrees is {corner}?")),
        answer=str(scene["degrees"]),
        answer_type="integer",
        rationale=stated(["angle"], [scene["degrees"]]),
        given_away=f"the angle is {scene['degrees']} degrees",
        near_misses=(),
        possible=in_digits(range(DEGREES, 6 * DEGREES, DEGREES)),
        scene=scene,
        guess=Guess(stated(["angle"], [suggested]), str(suggested)),
        redraw=partial(_redraw_angle, colour=colour),
    )


def _redraw_angle(rng: random.Random, colour: str) -> dict[str, Any]:
    """An angle of this colour, every size being as likely."""
    return _draw_angle(rng, colour, evenly(rng))


def _draw_angle(rng: random.Random, colour: str, draw: Draw) -> dict[str, Any]:
    degrees = DEGREES * draw(COLOURS.index(colour), 1, 5)
    scene: dict[str, Any] = {"kind": "angle", "colour": colour, "degrees": degrees}
    inside = False
    while not inside:
        scene["corner"] = [rng.randrange(POINTS), rng.randrange(POINTS)]  # grid point (x, y)
        scene["ray_lengths"] = [rng.choice(RAY_LENGTHS), rng.choice(RAY_LENGTHS)]  # units: to the right, the other
        inside = all(0 <= coordinate <= SIZE for tip in _tips(scene) for coordinate in tip)
    return scene


def _tips(scene: dict[str, Any]) -> list[tuple[float, float]]:
    """The far ends (x, y) of both rays in pixels."""
    x, y = _pixel(*scene["corner"])
    tips = []
    for degrees, length in zip((0, scene["degrees"]), scene["ray_lengths"], strict=True):
        angle, reach = math.radians(degrees), length * UNIT
        tips.append((x + reach * math.cos(angle), y - reach * math.sin(angle)))
    return tips


def _pixel(x: int, y: int) -> tuple[int, int]:
    """Grid point to pixels."""
    return UNIT // 2 + UNIT * x, UNIT // 2 + UNIT * y


_GRID = square_grid(range(UNIT // 2, SIZE, UNIT))
