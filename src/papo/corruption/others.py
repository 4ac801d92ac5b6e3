"""Views from the rest of the batch: another prompt's picture, or a box of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from numpy.random import Generator
from torch import Tensor

from papo import seeding
from papo.corruption.maker import Maker
from papo.errors import SettingError
from papo.types import Images, PromptBatch


class Swap(Maker):
    """Shows another picture of the batch: I_mask of image i is image j, drawn evenly from those that fit.

    Those that fit have the same grid, hence as many visual tokens in the same places, belong to another prompt, and are
    not the same picture. An image that none fits keeps its own: the policy then agrees with itself and a term that
    compares the two learns nothing from it. A view depends on the batch, which is a function of the run's seed.
    """

    alone = False

    def bound(self, prompts: PromptBatch, key: str) -> str | None:
        """Where no two items have pictures of one grid."""
        owners: dict[tuple[int, ...], set[tuple[str, str]]] = {}  # of each grid
        grids = iter(prompts.images.grid.tolist())
        for item, count in zip(prompts.items, prompts.images.counts, strict=True):
            for grid in itertools.islice(grids, count):
                # Not by id: an item of a mixture has another one there than by itself.
                owners.setdefault(tuple(grid), set()).add((item.asked, item.picture))
        if any(len(items) > 1 for items in owners.values()):
            return None
        return (
            "no two items have pictures with as many visual tokens in rows and columns, so that none can be shown in "
            "place of another; a view of the picture alone needs none, as corruption=patch_shuffle"
        )

    @torch.no_grad()
    def __call__(self, images: Images, seeds: Sequence[int]) -> Images:
        parts = images.parts()
        new = [
            parts[i] if j is None else self.shown(images, i, parts[i], parts[j], generator)
            for i, (j, generator) in enumerate(partners(images, seeds))
        ]
        return replace(images, pixel_values=torch.cat(new)) if new else images

    def shown(self, images: Images, i: int, own: Tensor, other: Tensor, generator: Generator) -> Tensor:
        """What stands in the place of image i, whose values are `own`."""
        return other


class BoxExchange(Swap):
    """Shows a box of another picture of the batch in the place where it lies there (cut and mix, arXiv 1905.04899).

    With B a box of about a share p of the visual tokens, in a random place: I_mask = I outside of B and J inside, J as
    in Swap. The sides of B are sqrt(p) of the image's, in whole tokens, at least one.

    Args:
        mask_ratio: p in [0, 1].

    Raises:
        SettingError: mask_ratio out of range.
    """

    def __init__(self, mask_ratio: float) -> None:
        if not 0 <= mask_ratio <= 1:
            raise SettingError("mask_ratio", f"must lie in [0, 1], got {mask_ratio}")
        self.mask_ratio = mask_ratio

    def bound(self, prompts: PromptBatch, key: str) -> str | None:
        """As Swap; a mask_ratio of 0 is meant as it is."""
        return super().bound(prompts, key) if self.mask_ratio else None

    def shown(self, images: Images, i: int, own: Tensor, other: Tensor, generator: Generator) -> Tensor:
        grid, m = images.grid[i].tolist(), images.layout.merge_size
        box = self.box(grid[1] // m, grid[2] // m, generator)  # [rows, columns] of tokens
        chosen = box.flatten().repeat_interleave(m * m).to(own.device)
        return images.layout.fold(own, grid, images.layout.unfold(other, grid).float(), chosen)

    def box(self, rows: int, columns: int, generator: Generator) -> Tensor:
        """[rows, columns] bool on the CPU, the tokens inside the box; none where mask_ratio is 0."""
        box = torch.zeros(rows, columns, dtype=torch.bool)
        if self.mask_ratio > 0:
            height, width = (max(1, round(math.sqrt(self.mask_ratio) * side)) for side in (rows, columns))
            top, left = generator.integers(rows - height + 1), generator.integers(columns - width + 1)
            box[top : top + height, left : left + width] = True
        return box


def partners(images: Images, seeds: Sequence[int]) -> Iterator[tuple[int | None, Generator]]:
    """For each image the image that fits it, or None, and the generator of its prompt, which drew it."""
    parts, grids = images.parts(), images.grid.tolist()
    owner = [n for n, count in enumerate(images.counts) for _ in range(count)]
    fitting: dict[tuple[int, ...], list[int]] = {}
    for i, grid in enumerate(grids):
        fitting.setdefault(tuple(grid), []).append(i)
    i = 0
    for count, seed in zip(images.counts, seeds, strict=True):
        generator = seeding.generator(seed)
        for _ in range(count):
            candidates = fitting[tuple(grids[i])]
            order = (candidates[k] for k in generator.permutation(len(candidates)))
            # Several questions may be about one picture.
            fits = (j for j in order if owner[j] != owner[i] and not torch.equal(parts[i], parts[j]))
            yield next(fits, None), generator
            i += 1
