"""Corruptions of the image: what the policy must not be able to answer from."""

from papo.corruption.base import Corruption
from papo.corruption.blur import GaussianBlur
from papo.corruption.noise import GaussianNoise
from papo.corruption.patches import RandomPatchMask
from papo.corruption.saliency import SaliencyMask
from papo.corruption.shuffle import PatchShuffle

__all__ = ["Corruption", "GaussianBlur", "GaussianNoise", "PatchShuffle", "RandomPatchMask", "SaliencyMask"]
