"""Drawing on a [112, 112, 3] uint8 array without antialiasing.

Own masks rather than a drawing library: the same pixels on every machine and library version, so that a split is
reproducible to the bit. Coordinates are pixel borders (0 = left or top edge of the image, 112 = right or bottom edge).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from papo.lab.palette import FAINT, WHITE

SIZE = 112  # pixels: 8 x 8 patches of 14, merged to 4 x 4 visual tokens of 28

Colour = tuple[int, int, int]
Canvas = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_CENTRES = np.arange(SIZE) + 0.5  # pixel centres


def blank() -> Canvas:
    """An all-white picture."""
    return np.full((SIZE, SIZE, 3), WHITE, np.uint8)


def square_grid(positions: range) -> Canvas:
    """A white picture with faint one-pixel lines, horizontal and vertical, at `positions` (pixels)."""
    canvas = blank()
    canvas[positions] = FAINT
    canvas[:, positions] = FAINT
    return canvas


def disc(diameter: int) -> Mask:
    """A filled circle, [diameter, diameter]."""
    offset = np.arange(diameter) + 0.5 - diameter / 2
    return offset[:, None] ** 2 + offset**2 <= (diameter / 2) ** 2


def stamp(canvas: Canvas, mask: Mask, left: int, top: int, colour: Colour) -> None:
    """Colours the pixels of `mask`, its upper left corner at (left, top). The mask must lie inside the picture."""
    height, width = mask.shape
    canvas[top : top + height, left : left + width][mask] = colour


def near_segment(start: tuple[float, float], end: tuple[float, float], width: float) -> Mask:
    """The [112, 112] pixels whose centre is within width / 2 of the segment from `start` to `end`, both (x, y)."""
    length = math.dist(start, end)
    along_x, along_y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    x, y = _CENTRES - start[0], (_CENTRES - start[1])[:, None]
    beyond = np.abs(x * along_x + y * along_y - length / 2) - length / 2  # > 0 past either end
    across = x * along_y - y * along_x
    return np.maximum(beyond, 0) ** 2 + across**2 <= (width / 2) ** 2
