"""One cell of an image painted over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from papo.corruption.patches import RandomPatchMask
from papo.layouts import to_patches
from papo.types import Images


class Cells(NamedTuple):
    """An image cut into squares of patches, counted row by row; those at its right and lower edge may be narrower."""

    rows: int  # of patches
    columns: int
    side: int  # patches of a square's side

    @property
    def per_row(self) -> int:
        return -(-self.columns // self.side)

    @property
    def count(self) -> int:
        return -(-self.rows // self.side) * self.per_row

    def of_patches(self, merge_size: int) -> Tensor:
        """[L] int64, the cell of each patch, in the order of plain patches."""
        row, column = torch.arange(self.rows)[:, None] // self.side, torch.arange(self.columns) // self.side
        return to_patches((row * self.per_row + column)[None], 1, merge_size).flatten()


class CellMask(RandomPatchMask):
    """Paints one cell of a prompt's images over. Nothing is random: the prompt's seed is the number of the cell.

    A prompt's cells are counted through its images in order; a number that is none of them leaves the images alone.
    In the picture's mean colour: a black cell is a thing to be seen itself, on a chart with a white ground above all.

    Args:
        cells: most that an image is cut into along its longer side; at least 1.
    """

    def __init__(self, cells: int) -> None:
        super().__init__(1.0, fill="mean")
        self.cells = cells

    def cells_of(self, images: Images) -> list[Cells]:
        """How each image is cut."""
        sizes = [grid[1:3] for grid in images.grid.tolist()]
        return [Cells(rows, columns, -(-max(rows, columns) // self.cells)) for rows, columns in sizes]

    def patch_mask(self, images: Images, seeds: Sequence[int]) -> Tensor:
        """[sum of L] bool on the CPU, true where a patch is of the cell."""
        cut, masks = iter(self.cells_of(images)), []
        for count, number in zip(images.counts, seeds, strict=True):
            before = 0  # cells of the prompt's images so far
            for cells in itertools.islice(cut, count):
                masks.append(cells.of_patches(images.layout.merge_size) == number - before)
                before += cells.count
        return torch.cat(masks)
