"""Segments and angles on a grid of eight by eight points, UNIT pixels apart.

Segments run along the grid between two of its points, so that lengths are whole. An angle has its corner on a point,
one ray to the right and the other above it.
"""

from __future__ import annotations

import math
import random
from typing import Any

from PIL import Image

from papo.lab.canvas import SIZE, near_segment, square_grid
from papo.lab.palette import COLOURS, RGB
from papo.lab.prior import draw_value
from papo.lab.questions import Draft, enumerate_in_words, in_digits

UNIT = 14  # pixels, the side of a patch
POINTS = SIZE // UNIT  # per axis; point i stands in the middle of patch i
LONGEST = POINTS - 1  # units
WIDTH = 6  # pixels, of segments and rays
DEGREES = 30  # angles are 1 to 5 times this
RAY_LENGTHS = (3, 4)  # units; short enough to fit at every angle


def make_geometry(rng: random.Random, strength: float) -> Draft:
    """Two segments or one angle, and a question about them."""
    task = rng.choice(("length", "compare", "length_difference", "angle"))
    return _make_angle(rng, strength) if task == "angle" else _make_segments(rng, strength, task)


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


def _make_segments(rng: random.Random, strength: float, task: str) -> Draft:
    colours = rng.sample(COLOURS, 2)
    lengths = _draw_lengths(rng, colours, strength)
    while task == "compare" and lengths[0] == lengths[1]:
        lengths = _draw_lengths(rng, colours, strength)
    segments = _place(rng, colours, lengths)
    while _touch(*map(_box, segments)):
        segments = _place(rng, colours, lengths)

    first, second = colours
    read = list(zip(colours, lengths, strict=True))
    answer_type, misses, possible = "integer", (), in_digits(range(LONGEST))
    if task == "length":
        phrasings = (f"How long is the {first} line?", f"What is the length of the {first} line?")
        answer, misses, possible = str(lengths[0]), in_digits(lengths), in_digits(range(1, LONGEST + 1))
        read = read[:1]
    elif task == "compare":
        phrasings = (f"Which line is longer, {first} or {second}?",)
        answer_type, answer, possible = "text", colours[lengths.index(max(lengths))], tuple(colours)
    else:
        phrasings = (
            f"What is the difference between the {first} and {second} lines?",
            f"By how much do the {first} and {second} lines differ?",
        )
        answer = str(abs(lengths[0] - lengths[1]))
    # the order in the scene is that of the names, not of the question: one picture, one canonical form
    segments.sort(key=lambda segment: segment["colour"])
    return Draft(
        family="geometry",
        task=task,
        question=rng.choice(phrasings),
        answer=answer,
        answer_type=answer_type,
        rationale=", ".join(f"{colour} = {length}" for colour, length in read),
        given_away=enumerate_in_words([f"the {colour} line is {length}" for colour, length in read]),
        near_misses=misses,
        possible=possible,
        scene={"kind": "segments", "segments": segments},
    )


def _draw_lengths(rng: random.Random, colours: list[str], strength: float) -> list[int]:
    return [draw_value(rng, COLOURS.index(colour), 1, LONGEST, strength) for colour in colours]


def _place(rng: random.Random, colours: list[str], lengths: list[int]) -> list[dict[str, Any]]:
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


def _make_angle(rng: random.Random, strength: float) -> Draft:
    colour = rng.choice(COLOURS)
    corner = f"the {colour} corner"
    degrees = DEGREES * draw_value(rng, COLOURS.index(colour), 1, 5, strength)
    scene: dict[str, Any] = {"kind": "angle", "colour": colour, "degrees": degrees}
    inside = False
    while not inside:
        scene["corner"] = [rng.randrange(POINTS), rng.randrange(POINTS)]  # grid point (x, y)
        scene["ray_lengths"] = [rng.choice(RAY_LENGTHS), rng.choice(RAY_LENGTHS)]  # units: to the right, the other
        inside = all(0 <= coordinate <= SIZE for tip in _tips(scene) for coordinate in tip)
    return Draft(
        family="geometry",
        task="angle",
        question=rng.choice((f"What is the angle at {corner}?", f"How many degrees is {corner}?")),
        answer=str(degrees),
        answer_type="integer",
        rationale=f"angle = {degrees}",
        given_away=f"the angle is {degrees} degrees",
        near_misses=(),
        possible=in_digits(range(DEGREES, 6 * DEGREES, DEGREES)),
        scene=scene,
    )


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
