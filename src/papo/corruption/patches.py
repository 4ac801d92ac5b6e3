"""Random patches painted over."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture, one_of

FILLS = ("black", "mean", "noise")


class RandomPatchMask(Corruption):
    """Paints a random share of an image's patches over (I_mask of arXiv 2507.06448, section 3.2).

    The released code paints the original image before it is resized, so that its patches straddle the model's; here
    the patches are the model's own.

    Args:
        mask_ratio, count, unit, per: see Corruption; the released code's count is "bernoulli".
        fill: see `filled`; the released code's is "black".
    """

    def __init__(
        self, mask_ratio: float, count: str = "exact", fill: str = "black", unit: str = "patch", per: str = "prompt"
    ) -> None:
        super().__init__(mask_ratio, count, unit, per)
        self.fill = one_of("fill", fill, FILLS)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        return filled(self.fill, picture, generator)


def filled(fill: str, picture: Picture, generator: Generator) -> Tensor:
    """What is painted over a picture's patches, broadcastable to them.

    Args:
        fill: "black"; "mean", the picture's mean colour; "noise", pixel values uniform in [0, 1], each by itself.
    """
    if fill == "black":
        return picture.normalised(0)
    if fill == "mean":
        return picture.patches.mean((0, 2, 3))[:, None, None]
    noise = torch.from_numpy(generator.random(picture.patches.shape, dtype=np.float32)).to(picture.patches.device)
    return torch.lerp(picture.normalised(0), picture.normalised(1), noise)
