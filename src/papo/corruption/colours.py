"""Exchanged colours: form and place stay, what was told by colour is lost."""

from __future__ import annotations

from itertools import permutations

from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture


class ChannelPermutation(Corruption):
    """Permutes the colour channels of the whole image: what was red is green or blue.

    With s a random permutation of the channels, never the identity: I_mask[c] = I[s(c)], in pixel values. What is grey
    stays as it is.

    Args:
        per: see Maker.
    """

    def __init__(self, per: str = "prompt") -> None:
        super().__init__(1.0, per=per)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        orders = list(permutations(range(picture.patches.shape[1])))[1:]  # the first is the identity
        order = list(orders[generator.integers(len(orders))])
        # Each channel is normalised by numbers of its own.
        black, white = picture.normalised(0), picture.normalised(1)
        pixels = (picture.patches - black) / (white - black)
        return pixels[:, order] * (white - black) + black
