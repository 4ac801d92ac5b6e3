"""Gaussian blur."""

from __future__ import annotations

import math

import torch
from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture, positive
from papo.layouts import to_patches, to_pixels


class GaussianBlur(Corruption):
    """Shows the chosen units as they look in the blurred image; beyond its edges the image goes on as at the edge.

    I_mask[u] = (G * I)[u] where u is chosen, I[u] elsewhere; G is the Gaussian of width sigma, to 3 sigma, of sum 1.

    Args:
        mask_ratio, count, unit, per: see Corruption; mask_ratio 1 is a blurred image.
        sigma: of the Gaussian, in pixels of the image as the model sees it.
    """

    def __init__(
        self, mask_ratio: float, sigma: float, count: str = "exact", unit: str = "patch", per: str = "prompt"
    ) -> None:
        super().__init__(mask_ratio, count, unit, per)
        self.sigma = positive("sigma", sigma)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        m = picture.layout.merge_size
        pixels = to_pixels(picture.patches, picture.rows, picture.columns, m)  # [channels, height, width]
        vertical, horizontal = (gaussian(n, self.sigma).to(pixels.device) for n in pixels.shape[1:])
        blurred = vertical @ pixels @ horizontal.T
        return to_patches(blurred, picture.patches.shape[-1], m)


def gaussian(n: int, sigma: float) -> Tensor:
    """[n, n]: row i holds the weights with which each of n pixels in a line enters the blurred pixel i."""
    radius = math.ceil(3 * sigma)  # the rest is 0.3 % of the weight
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()
    sources = (torch.arange(n)[:, None] + offsets).clamp(0, n - 1)  # [n, 2 * radius + 1]
    return torch.zeros(n, n).scatter_add_(1, sources, weights.expand(n, -1))
