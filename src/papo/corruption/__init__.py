"""Views of the image other than as it is: what the policy must not be able to answer from."""

from papo.corruption.base import Corruption
from papo.corruption.blur import GaussianBlur
from papo.corruption.cells import CellMask
from papo.corruption.colours import ChannelPermutation
from papo.corruption.counterfactual import Counterfactual
from papo.corruption.maker import Maker
from papo.corruption.mirror import Mirror
from papo.corruption.noise import GaussianNoise
from papo.corruption.others import BoxExchange, Swap
from papo.corruption.patches import RandomPatchMask
from papo.corruption.saliency import SaliencyMask
from papo.corruption.shuffle import GridExchange, PatchShuffle

__all__ = [
    "BoxExchange",
    "CellMask",
    "ChannelPermutation",
    "Corruption",
    "Counterfactual",
    "GaussianBlur",
    "GaussianNoise",
    "GridExchange",
    "Maker",
    "Mirror",
    "PatchShuffle",
    "RandomPatchMask",
    "SaliencyMask",
    "Swap",
]
