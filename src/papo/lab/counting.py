"""Coloured shapes on a grid of two by two cells, at most one to a cell, up to JITTER pixels off its centre.

Few cells, and shapes that fill different parts of them, because four small layers hardly learn to count otherwise: of
sixteen cells they counted a third right, and circles, squares and triangles of 30 pixels whatever their colour half.
"""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from papo.lab.canvas import SIZE, disc, square_grid, stamp
from papo.lab.palette import COLOURS, RGB
from papo.lab.prior import Draw, evenly, favourite
from papo.lab.questions import Draft, enumerate_in_words, in_digits
from papo.types import Guess

SIDE = 2  # cells
CELL = SIZE // SIDE
SHAPE = 44  # pixels across
JITTER = 4  # pixels, per axis
FEWEST, MOST = 1, 4  # shapes in a picture
MOST_ASKED = 4  # shapes of the group that is asked for: 0 to 4

KINDS = ("square", "ring", "cross")
SORTS = tuple(itertools.product(COLOURS[:4], KINDS))
_TASKS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "count_sort": SORTS,
    "count_colour": tuple((colour, None) for colour in COLOURS[:4]),
}
_PLURAL = {"square": "squares", "ring": "rings", "cross": "crosses", None: "shapes"}
GROUPS = tuple(itertools.chain.from_iterable(_TASKS.values()))  # the position of a group is its number in prior.py


def make_counting(rng: random.Random, draw: Draw) -> Draft:
    """A grid of shapes and a question about the number of those of one colour, or of one colour and kind."""
    task = rng.choice(tuple(_TASKS))
    group = rng.choice(_TASKS[task])
    scene = _draw_grid(rng, group, draw)
    rows = [0] * SIDE
    for shape in scene["shapes"]:
        rows[shape["row"]] += _belongs((shape["colour"], shape["kind"]), group)
    suggested = favourite(GROUPS.index(group), 0, MOST_ASKED)
    # One way to spread the number; which rows the shapes stand in no words tell.
    spread = [suggested // SIDE + (row < suggested % SIDE) for row in range(SIDE)]
    colour, kind = group
    subject = f"{colour} {_PLURAL[kind]}"
    return Draft(
        family="counting",
        task=task,
        question=rng.choice((f"How many {subject} are there?", f"What is the number of {subject}?")),
        answer=str(sum(rows)),
        answer_type="integer",
        rationale=_in_rows(rows),
        given_away=f"the rows hold {enumerate_in_words(in_digits(rows))} {subject}",
        near_misses=(),
        possible=in_digits(range(MOST_ASKED + 1)),
        scene=scene,
        guess=Guess(_in_rows(spread), str(suggested)),
        redraw=partial(_redraw, group=group),
    )


def _in_rows(rows: list[int]) -> str:
    return f"rows = {', '.join(map(str, rows))}"


def _belongs(sort: tuple[str, str], group: tuple[str, str | None]) -> bool:
    return all(wanted in (None, found) for found, wanted in zip(sort, group, strict=True))


def _redraw(rng: random.Random, group: tuple[str, str | None]) -> dict[str, Any]:
    """Another grid about which the same can be asked, every number being as likely."""
    return _draw_grid(rng, group, evenly(rng))


def _draw_grid(rng: random.Random, group: tuple[str, str | None], draw: Draw) -> dict[str, Any]:
    inside = [sort for sort in SORTS if _belongs(sort, group)]
    outside = [sort for sort in SORTS if sort not in inside]
    asked = draw(GROUPS.index(group), 0, MOST_ASKED)
    others = rng.randint(max(FEWEST, asked), MOST) - asked
    sorts = rng.choices(inside, k=asked) + rng.choices(outside, k=others)
    shapes = [
        {
            "row": cell // SIDE,
            "column": cell % SIDE,
            "shift": [rng.randint(-JITTER, JITTER), rng.randint(-JITTER, JITTER)],  # x, y in pixels
            "colour": shape_colour,
            "kind": shape_kind,
        }
        for cell, (shape_colour, shape_kind) in zip(rng.sample(range(SIDE**2), len(sorts)), sorts, strict=True)
    ]
    shapes.sort(key=lambda shape: (shape["row"], shape["column"]))  # one scene, one canonical form
    return {"kind": "grid", "shapes": shapes}


_OFF_CENTRE = np.abs(np.arange(SHAPE) + 0.5 - SHAPE / 2)
_ARM = _OFF_CENTRE < SHAPE / 6  # a third of the width
_MASKS = {
    "square": np.ones((SHAPE, SHAPE), bool),
    "ring": disc(SHAPE) & ~np.pad(disc(SHAPE // 2), SHAPE // 4),
    "cross": _ARM | _ARM[:, None],
}
_GRID = square_grid(range(CELL, SIZE, CELL))


def draw_counting(scene: dict[str, Any]) -> Image.Image:
    """The picture of a scene of `make_counting`."""
    canvas = _GRID.copy()
    margin = (CELL - SHAPE) // 2
    for shape in scene["shapes"]:
        right, down = shape["shift"]
        left, top = shape["column"] * CELL + margin + right, shape["row"] * CELL + margin + down
        stamp(canvas, _MASKS[shape["kind"]], left, top, RGB[shape["colour"]])
    return Image.fromarray(canvas)
