"""The colours of the lab: saturated and few, so that a model of a few million parameters can tell them apart."""

from __future__ import annotations

RGB = {
    "red": (225, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 70, 240),
    "yellow": (250, 225, 0),
    "purple": (150, 0, 200),
    "orange": (255, 130, 0),
}
COLOURS = tuple(RGB)  # the position of a colour here is its number in prior.py

WHITE = (255, 255, 255)
FAINT = (220, 220, 220)  # grid lines
GREY = (130, 130, 130)  # axes, polylines, ticks
BLACK = (0, 0, 0)
