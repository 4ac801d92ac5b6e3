"""Gaussian noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture, positive


class GaussianNoise(Corruption):
    """Adds independent Gaussian noise to every pixel value of the chosen units; the result is clipped to [0, 1].

    I_mask[u] = clip(I[u] + std ε, 0, 1) where u is chosen, I[u] elsewhere; ε ~ N(0, 1) for each pixel value.

    Args:
        mask_ratio, count, unit, per: see Corruption; mask_ratio 1 is a noisy image.
        std: standard deviation of the noise, of pixel values in [0, 1].
    """

    def __init__(
        self, mask_ratio: float, std: float, count: str = "exact", unit: str = "patch", per: str = "prompt"
    ) -> None:
        super().__init__(mask_ratio, count, unit, per)
        self.std = positive("std", std)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        noise = torch.from_numpy(generator.standard_normal(picture.patches.shape, dtype=np.float32)).to(
            picture.patches.device
        )
        black, white = picture.normalised(0), picture.normalised(1)
        # Normalisation divides by its std, so (white - black) is 1 in pixel values.
        return (picture.patches + self.std * (white - black) * noise).clamp(black, white)
