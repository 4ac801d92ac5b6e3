"""How image processors lay pixels out as tensors, and the way between each layout and plain patches.

Plain patches of one image are [L, channels, patch_size, patch_size], visual token by visual token: the m x m patches
that the vision merger joins (m = merge_size) are neighbours, row by row inside the token, and tokens follow one another
row by row. Whatever edits images edits these, and works in every layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PatchLayout:
    """Flattened patches, the Qwen-VL family: pixel_values [sum of L, C], the patches of all images one by one.

    A row holds one patch of every channel and frame, C = channels * frames * patch_size**2.
    """

    image_mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    image_std: tuple[float, ...]
    frames: int  # temporal_patch_size: a still image fills a patch this many times
    merge_size: int  # patches per side of one visual token

    def sizes(self, patches: Sequence[int]) -> list[int]:
        """Rows of pixel_values that each image takes, given its L."""
        return list(patches)

    def unfold(self, part: Tensor, rows: int, columns: int) -> Tensor:
        """Plain patches of one image [L, C], of its first frame: those of a still image are alike."""
        channels = len(self.image_mean)
        size = math.isqrt(part.shape[1] // (channels * self.frames))
        return part.reshape(rows * columns, channels, self.frames, size, size)[:, :, 0]

    def fold(self, part: Tensor, rows: int, columns: int, patches: Tensor, chosen: Tensor) -> Tensor:
        """A copy of `part` with the patches that are true in `chosen` [L] taken from `patches`."""
        filled = patches.to(part.dtype).unsqueeze(2).expand(-1, -1, self.frames, -1, -1).reshape(part.shape)
        return torch.where(chosen[:, None], filled, part)


@dataclass(frozen=True)
class PixelLayout:
    """Whole pictures of one size, the LLaVA family: pixel_values [I, channels, height, width].

    Pixels beyond the last whole patch are never seen by the vision tower and belong to no patch.
    """

    image_mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    image_std: tuple[float, ...]
    patch_size: int  # pixels per side of a patch
    merge_size: int = 1  # patches per side of one visual token

    def sizes(self, patches: Sequence[int]) -> list[int]:
        """Rows of pixel_values that each image takes."""
        return [1] * len(patches)

    def unfold(self, part: Tensor, rows: int, columns: int) -> Tensor:
        """Plain patches of one image [1, channels, height, width]."""
        size = self.patch_size
        return to_patches(part[0, :, : rows * size, : columns * size], size, self.merge_size)

    def fold(self, part: Tensor, rows: int, columns: int, patches: Tensor, chosen: Tensor) -> Tensor:
        """A copy of `part` with the patches that are true in `chosen` [L] taken from `patches`."""
        size, m = self.patch_size, self.merge_size
        painted = to_pixels(chosen[:, None, None, None].expand(-1, 1, size, size), rows, columns, m)
        filled = to_pixels(patches.to(part.dtype), rows, columns, m)
        part = part.clone()
        inside = part[0, :, : rows * size, : columns * size]
        inside.copy_(torch.where(painted, filled, inside))
        return part


Layout = PatchLayout | PixelLayout


def to_patches(pixels: Tensor, size: int, merge_size: int) -> Tensor:
    """Plain patches [L, channels, size, size] of [channels, height, width]."""
    channels, height, width = pixels.shape
    m = merge_size
    blocks = pixels.reshape(channels, height // (m * size), m, size, width // (m * size), m, size)
    return blocks.permute(1, 4, 2, 5, 0, 3, 6).reshape(-1, channels, size, size)


def to_pixels(patches: Tensor, rows: int, columns: int, merge_size: int) -> Tensor:
    """[channels, height, width] of plain patches, of which there are rows * columns."""
    _, channels, size, _ = patches.shape
    m = merge_size
    blocks = patches.reshape(rows // m, columns // m, m, m, channels, size, size)
    return blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(channels, rows * size, columns * size)
