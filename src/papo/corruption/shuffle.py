"""Shuffled patches: what the image is made of stays, where it was is lost."""

from __future__ import annotations

import torch
from numpy.random import Generator
from torch import Tensor

from papo.corruption.base import Corruption, Picture
from papo.errors import SettingError
from papo.layouts import Layout


class PatchShuffle(Corruption):
    """Moves the chosen units among one another, in a random cycle: each gets to another's place. One stays alone.

    With c a random cycle over the chosen units: I_mask[u] = I[c(u)] where u is chosen, I[u] elsewhere.

    Args:
        mask_ratio, count, per: see Corruption; mask_ratio 1 shuffles the whole image.
        unit: "patch" or "token", see Corruption; or k, for squares of k x k tokens from the top left. What they leave
            of an image at its right and lower edge stays in place.
    """

    fewest = 2  # one stays where it is

    def __init__(self, mask_ratio: float, count: str = "exact", unit: str | int = "patch", per: str = "prompt") -> None:
        super().__init__(mask_ratio, count, "token" if isinstance(unit, int) else unit, per)
        if isinstance(unit, int) and unit < 1:
            raise SettingError("unit", f"must be patch, token or at least 1 (tokens a side), got {unit}")
        self.side = unit if isinstance(unit, int) else None

    def units(self, rows: int, columns: int, layout: Layout) -> Tensor:
        if self.side is None:
            return super().units(rows, columns, layout)
        return cells(rows, columns, (self.side, self.side), layout.merge_size)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        units = self.units(picture.rows, picture.columns, picture.layout)
        chosen = units[mask.cpu()[units[:, 0]]]
        cycle = chosen[torch.from_numpy(generator.permutation(len(chosen)))].to(picture.patches.device)
        patches = picture.patches.clone()
        patches[cycle] = picture.patches[cycle.roll(1, 0)]
        return patches


class GridExchange(PatchShuffle):
    """Lays a grid of n x n cells over the image and moves its cells in a random cycle: each gets to another's place.

    With c a random cycle over the cells: I_mask[u] = I[c(u)]. Cells are of whole tokens and of one size, so that a
    strip at the right or lower edge may stay; an image with fewer than n tokens a side has fewer cells there.

    Args:
        n: cells a side.
        per: see Maker.

    Raises:
        SettingError: n is not above 1, which would exchange nothing.
    """

    def __init__(self, n: int, per: str = "prompt") -> None:
        super().__init__(1.0, unit="token", per=per)
        if n < 2:
            raise SettingError("n", f"must be at least 2 (cells a side), got {n}")
        self.n = n

    def units(self, rows: int, columns: int, layout: Layout) -> Tensor:
        m = layout.merge_size
        shape = max(1, rows // m // self.n), max(1, columns // m // self.n)
        # Floors leave more than n cells where a side is no multiple of n: those beyond are the strip.
        return cells(rows, columns, shape, m, most=self.n)


def cells(rows: int, columns: int, shape: tuple[int, int], merge_size: int, most: int | None = None) -> Tensor:
    """[cells, patches of one] which patches lie in each cell of a picture, row by row from its top left.

    Args:
        rows, columns: of patches.
        shape: rows and columns of visual tokens in a cell; where the last ones do not fill a cell they lie in none.
        merge_size: patches per side of a token.
        most: cells in a row, and in a column; None = as many as there is room for.
    """
    tokens = torch.arange(rows * columns).view(rows // merge_size, columns // merge_size, merge_size**2)
    down, across = (size // of for size, of in zip(tokens.shape, shape, strict=False))
    if most is not None:
        down, across = min(down, most), min(across, most)
    inside = tokens[: down * shape[0], : across * shape[1]].reshape(down, shape[0], across, shape[1], merge_size**2)
    return inside.permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1)
