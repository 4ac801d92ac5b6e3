"""Shuffled patches: what the image is made of stays, where it was is lost."""

from __future__ import annotations

import torch
from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture


class PatchShuffle(Corruption):
    """Moves the chosen units among one another, in a random cycle: each gets to another's place. One stays alone.

    Args:
        mask_ratio, count, unit, per: see Corruption; mask_ratio 1 shuffles the whole image.
    """

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        patches, unit = picture.patches, self.unit_patches(picture.layout)
        places = mask.view(-1, unit)[:, 0].nonzero().flatten()  # of the chosen units
        cycle = places[torch.from_numpy(generator.permutation(len(places))).to(places.device)]
        units = patches.reshape(-1, unit, *patches.shape[1:])
        return units.index_copy(0, cycle, units[cycle.roll(1)]).reshape(patches.shape)
