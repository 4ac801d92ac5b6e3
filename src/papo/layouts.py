"""How image processors lay pixels out as tensors, and the way between each layout and plain patches.

Plain patches of one image are [L, channels, patch_size, patch_size], visual token by visual token: the m x m patches
that the vision merger joins (m = merge_size) are neighbours, row by row inside the token, and tokens follow one another
row by row. Whatever edits images edits these, and works in every layout.

Layouts read a row of Images.grid: frames, rows and columns of patches, and what else they say of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad


@dataclass(frozen=True)
class PatchLayout:
    """Flattened patches, the Qwen-VL family: pixel_values [sum of L, C], the patches of all images one by one.

    A row holds one patch of every channel and frame, C = channels * frames * patch_size**2.
    """

    image_mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    image_std: tuple[float, ...]
    frames: int  # temporal_patch_size: a still image fills a patch this many times
    merge_size: int  # patches per side of one visual token

    def size(self, grid: Sequence[int]) -> int:
        """Rows of pixel_values that an image takes."""
        return math.prod(grid)

    def unfold(self, part: Tensor, grid: Sequence[int]) -> Tensor:
        """Plain patches of one image [L, C], of its first frame: those of a still image are alike."""
        channels = len(self.image_mean)
        size = math.isqrt(part.shape[1] // (channels * self.frames))
        return part.reshape(len(part), channels, self.frames, size, size)[:, :, 0]

    def fold(self, part: Tensor, grid: Sequence[int], patches: Tensor, chosen: Tensor) -> Tensor:
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

    def size(self, grid: Sequence[int]) -> int:
        """Rows of pixel_values that an image takes."""
        return 1

    def unfold(self, part: Tensor, grid: Sequence[int]) -> Tensor:
        """Plain patches of one image [1, channels, height, width]."""
        size, (_, rows, columns) = self.patch_size, grid
        return to_patches(part[0, :, : rows * size, : columns * size], size, self.merge_size)

    def fold(self, part: Tensor, grid: Sequence[int], patches: Tensor, chosen: Tensor) -> Tensor:
        """A copy of `part` with the patches that are true in `chosen` [L] taken from `patches`."""
        _, rows, columns = grid
        painted = chosen_pixels(chosen, rows, columns, self.patch_size, self.merge_size)
        filled = to_pixels(patches.to(part.dtype), rows, columns, self.merge_size)
        part = part.clone()
        inside = part[0, :, : painted.shape[1], : painted.shape[2]]
        inside.copy_(torch.where(painted, filled, inside))
        return part


@dataclass(frozen=True)
class VaryingLayout:
    """Whole pictures of any size one after another, models of no known family: pixel_values [sum of C * H * W].

    Behind frames, rows and columns, a row of Images.grid holds C, H and W.
    """

    image_mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    image_std: tuple[float, ...]
    patch_size: int  # pixels per side of a patch
    merge_size: int = 1  # patches per side of one visual token

    def size(self, grid: Sequence[int]) -> int:
        """Values of pixel_values that an image takes."""
        return math.prod(grid[3:])

    def unfold(self, part: Tensor, grid: Sequence[int]) -> Tensor:
        """Plain patches of one image [C * H * W]."""
        return self._of_one_size.unfold(part.view(1, *grid[3:]), grid[:3])

    def fold(self, part: Tensor, grid: Sequence[int], patches: Tensor, chosen: Tensor) -> Tensor:
        """A copy of `part` with the patches that are true in `chosen` [L] taken from `patches`."""
        return self._of_one_size.fold(part.view(1, *grid[3:]), grid[:3], patches, chosen).flatten()

    @property
    def _of_one_size(self) -> PixelLayout:
        return PixelLayout(self.image_mean, self.image_std, self.patch_size, self.merge_size)


@dataclass(frozen=True)
class TileLayout:
    """Pictures cut into square tiles, the LLaVA-OneVision and SmolVLM families: pixel_values [pieces, channels, S, S].

    A picture of r x c tiles takes r * c + 1 pieces: its tiles row by row, and a thumbnail of the whole. One that is not
    cut (r = c = 0) takes one. Side by side the tiles are the mosaic, in which the picture may have padding around it.

    Behind frames, rows and columns, a row of Images.grid holds r and c, and the top, left, height and width of the
    picture in the mosaic, in pixels; see `grid`. The patches of an image are those of the mosaic that show any of the
    picture; the thumbnail has none of its own, it changes with them.
    """

    image_mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    image_std: tuple[float, ...]
    tile_size: int  # S
    patch_size: int  # pixels per side of a patch; what a tile has beyond its last whole patch no tower sees
    merge_size: int = 1  # patches per side of one visual token
    thumbnail_first: bool = False

    def grid(self, tiles: tuple[int, int], top: int, left: int, height: int, width: int) -> list[int]:
        """The row of Images.grid of a picture, of which the arguments are the last six columns."""
        rows, columns = self._span(top, height), self._span(left, width)
        return [1, len(rows), len(columns), *tiles, top, left, height, width]

    def size(self, grid: Sequence[int]) -> int:
        """Rows of pixel_values that an image takes."""
        return grid[3] * grid[4] + 1

    def unfold(self, part: Tensor, grid: Sequence[int]) -> Tensor:
        """Plain patches of one picture [pieces, channels, S, S], as the tiles show them."""
        n = self.tile_size // self.patch_size * self.patch_size
        mosaic = joined(self._tiles(part, grid)[:, :, :n, :n], max(1, grid[4]))
        return to_patches(mosaic[:, *self._inside(grid)], self.patch_size, self.merge_size)

    def fold(self, part: Tensor, grid: Sequence[int], patches: Tensor, chosen: Tensor) -> Tensor:
        """A copy of `part` with the patches that are true in `chosen` [L] taken from `patches`.

        In the thumbnail, what shows any of them becomes what it is in a thumbnail of the new mosaic.
        """
        tiles, per_row = self._tiles(part, grid), max(1, grid[4])
        n = self.tile_size // self.patch_size * self.patch_size
        mosaic = joined(tiles[:, :, :n, :n], per_row)
        painted, filled = torch.zeros_like(mosaic[:1], dtype=torch.bool), mosaic.clone()
        rows, columns = self._inside(grid)
        painted[:, rows, columns] = chosen_pixels(chosen, *grid[1:3], self.patch_size, self.merge_size)
        filled[:, rows, columns] = to_pixels(patches.to(part.dtype), *grid[1:3], self.merge_size)
        painted, filled = cut(painted, n), cut(filled, n)  # [tiles, 1 or channels, n, n]
        new = tiles.clone()
        new[:, :, :n, :n] = torch.where(painted, filled, tiles[:, :, :n, :n])
        if grid[3] == 0:
            return new
        # Of the strip beyond the last patch the thumbnail shows something too: it goes with the patch beside it.
        edge = (0, self.tile_size - n) * 2
        painted, filled = (pad(x.to(part.dtype), edge, mode="replicate") for x in (painted, filled))
        shown = joined(torch.where(painted > 0, filled, tiles), per_row)
        top, left, height, width = grid[5:9]
        whole = (slice(None), slice(top, top + height), slice(left, left + width))
        shown, touched = (
            adaptive_avg_pool2d(x[whole], (self.tile_size,) * 2) for x in (shown, joined(painted, per_row))
        )
        thumbnail = torch.where(touched > 0, shown, part[0 if self.thumbnail_first else -1])[None]
        return torch.cat([thumbnail, new] if self.thumbnail_first else [new, thumbnail])

    def _tiles(self, part: Tensor, grid: Sequence[int]) -> Tensor:
        """The pieces without the thumbnail."""
        return part if grid[3] == 0 else part[1:] if self.thumbnail_first else part[:-1]

    def _span(self, start: int, length: int) -> range:
        """Patches of the mosaic, in one direction, that show any of its pixels from `start` on; whole tokens."""
        per_tile, m = self.tile_size // self.patch_size, self.merge_size

        def patch(pixel: int) -> int:
            tile, inside = divmod(pixel, self.tile_size)
            return tile * per_tile + min(inside // self.patch_size, per_tile - 1)

        return range(patch(start) // m * m, (patch(start + length - 1) // m + 1) * m)

    def _inside(self, grid: Sequence[int]) -> tuple[slice, slice]:
        """Where the picture's patches lie in the mosaic without the tiles' last strips, in pixels."""
        top, left, height, width = grid[5:9]
        spans = self._span(top, height), self._span(left, width)
        return tuple(slice(span.start * self.patch_size, span.stop * self.patch_size) for span in spans)


Layout = PatchLayout | PixelLayout | VaryingLayout | TileLayout


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


def chosen_pixels(chosen: Tensor, rows: int, columns: int, size: int, merge_size: int) -> Tensor:
    """[1, height, width] bool, the pixels of the patches that are true in `chosen` [L]."""
    return to_pixels(chosen[:, None, None, None].expand(-1, 1, size, size), rows, columns, merge_size)


def joined(tiles: Tensor, per_row: int) -> Tensor:
    """[channels, height, width] of square tiles [r * per_row, channels, n, n], side by side."""
    return to_pixels(tiles, len(tiles) // per_row, per_row, 1)


def cut(mosaic: Tensor, n: int) -> Tensor:
    """The way back: square tiles of n x n pixels, row by row."""
    return to_patches(mosaic, n, 1)
