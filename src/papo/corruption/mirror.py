"""The picture in a mirror: all is there, what was left is right."""

from __future__ import annotations

from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture, one_of
from papo.layouts import to_patches, to_pixels


class Mirror(Corruption):
    """Mirrors the whole image: I_mask[y, x] = I[y, W - 1 - x], or I[H - 1 - y, x]. Seeds choose nothing.

    Args:
        direction: in which pixels trade places: "horizontal" (left and right) or "vertical" (up and down).
    """

    def __init__(self, direction: str = "horizontal") -> None:
        super().__init__(1.0)
        self.direction = one_of("direction", direction, ("horizontal", "vertical"))

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        m = picture.layout.merge_size
        pixels = to_pixels(picture.patches, picture.rows, picture.columns, m)  # [channels, height, width]
        return to_patches(pixels.flip(-1 if self.direction == "horizontal" else -2), picture.patches.shape[-1], m)
