"""Corruptions of the image: what the policy must not be able to answer from."""

from papo.corruption.patches import RandomPatchMask

__all__ = ["RandomPatchMask"]
