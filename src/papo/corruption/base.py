"""What every corruption shares: which units of an image it replaces, from which seed, and how they are put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from papo import seeding
from papo.corruption.maker import Maker
from papo.errors import SettingError
from papo.layouts import Layout
from papo.seeding import derive_seed
from papo.types import Images, PromptBatch


@dataclass(frozen=True)
class Picture:
    """One image as corruptions see it, whichever layout it came in."""

    patches: Tensor  # [L, channels, patch_size, patch_size] float32, normalised, token by token
    rows: int  # of patches
    columns: int
    layout: Layout

    def normalised(self, value: float) -> Tensor:
        """[channels, 1, 1] what the image processor makes of a pixel value in [0, 1]: (value - mean) / std."""
        mean, std = torch.tensor(self.layout.image_mean), torch.tensor(self.layout.image_std)
        return ((value - mean) / std)[:, None, None].to(self.patches.device)


class Corruption(Maker):
    """Makes I_mask: replaces a share of the units of each image, by what a subclass says.

    Units lie on the model's own grid, so that a visual token is replaced whole or not at all (unit="token") or patch
    by patch. Which units a seed chooses does not depend on what they are replaced by.

    Args:
        mask_ratio: p in [0, 1].
        count: "exact" replaces floor(p * units) of an image's units; "bernoulli" each unit with probability p.
        unit: "patch", or "token" for the merge_size x merge_size patches that the vision merger joins.
        per: see Maker.

    Raises:
        SettingError: an argument out of range.
    """

    fewest = 1  # units of an image that have to be chosen for it to change

    def __init__(self, mask_ratio: float, count: str = "exact", unit: str = "patch", per: str = "prompt") -> None:
        if not 0 <= mask_ratio <= 1:
            raise SettingError("mask_ratio", f"must lie in [0, 1], got {mask_ratio}")
        self.mask_ratio = mask_ratio
        self.count = one_of("count", count, ("exact", "bernoulli"))
        self.unit = one_of("unit", unit, ("patch", "token"))
        self.per = one_of("per", per, ("prompt", "response"))

    def bound(self, prompts: PromptBatch, key: str) -> str | None:
        """Where none of the pictures has as many units as it takes; a mask_ratio of 0 is meant as it is."""
        share = 1.0 if self.count == "bernoulli" else self.mask_ratio
        units = map(len, self.units_of(prompts.images))
        if self.mask_ratio == 0 or any(replaced(share, of_image) >= self.fewest for of_image in units):
            return None
        return f"{key}.mask_ratio is too small for them, or {key}.unit too large"

    @torch.no_grad()
    def __call__(self, images: Images, seeds: Sequence[int]) -> Images:
        """A corrupted copy without gradient; `images` stays as it is.

        Args:
            seeds: one per prompt; its images are corrupted from this seed alone, on any device, in any batch.
        """
        if len(images.grid) == 0:
            return images
        masks = self.patch_mask(images, seeds).to(images.pixel_values.device).split(images.patches())
        generators = [
            generator
            for count, seed in zip(images.counts, seeds, strict=True)
            # One for a prompt's images, and not the one that chose units: how much is drawn there is another matter.
            for generator in [seeding.generator(derive_seed("replacement", seed))] * count
        ]
        parts = []
        for part, grid, mask, generator in zip(images.parts(), images.grid.tolist(), masks, generators, strict=True):
            picture = Picture(images.layout.unfold(part, grid).float(), *grid[1:3], images.layout)
            new = self.replacement(picture, mask, generator).expand_as(picture.patches)
            parts.append(images.layout.fold(part, grid, new, mask))
        return replace(images, pixel_values=torch.cat(parts))

    def patch_mask(self, images: Images, seeds: Sequence[int]) -> Tensor:
        """[sum of L] bool on the CPU, true where a patch is replaced."""
        masks = [torch.zeros(patches, dtype=torch.bool) for patches in images.patches()]
        for mask, chosen, units in zip(masks, self.choose(images, seeds), self.units_of(images), strict=True):
            mask[units[chosen]] = True
        return torch.cat(masks)

    def units(self, rows: int, columns: int, layout: Layout) -> Tensor:
        """[units, patches of one] int64 on the CPU: which patches of an image make up each of its units."""
        # The patches of a token are neighbours in every layout.
        return torch.arange(rows * columns).view(-1, layout.merge_size**2 if self.unit == "token" else 1)

    def units_of(self, images: Images) -> list[Tensor]:
        """The units of each image."""
        return [self.units(rows, columns, images.layout) for _, rows, columns, *_ in images.grid.tolist()]

    def choose(self, images: Images, seeds: Sequence[int]) -> list[Tensor]:
        """[units] bool on the CPU for each image, true where a unit is replaced; at random."""
        units = map(len, self.units_of(images))
        chosen = []
        for count, seed in zip(images.counts, seeds, strict=True):
            generator = seeding.generator(seed)
            chosen += [self._draw(next(units), generator) for _ in range(count)]
        return chosen

    def _draw(self, units: int, generator: Generator) -> Tensor:
        noise = torch.from_numpy(generator.random(units, dtype=np.float32))
        return noise < self.mask_ratio if self.count == "bernoulli" else first(noise.argsort(), self.mask_ratio)

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        """What replaced patches become, broadcastable to [L, channels, patch_size, patch_size], normalised.

        Args:
            mask: [L] bool, the patches whose replacement will be used.
            generator: on the CPU; the only source of randomness.
        """
        raise NotImplementedError


def first(order: Tensor, ratio: float) -> Tensor:
    """[units] bool, true for the first floor(ratio * units) that `order` [units] names."""
    chosen = order[: replaced(ratio, len(order))]
    return torch.zeros(len(order), dtype=torch.bool).index_fill_(0, chosen, True)


def replaced(ratio: float, units: int) -> int:
    """floor(ratio * units)."""
    # 0.29 * 100 is 28.999999999999996: the epsilon keeps floor from losing a unit to rounding.
    return int(ratio * units + 1e-9)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, which must be allowed.

    Raises:
        SettingError: it is not; `name` is the argument.
    """
    if value not in allowed:
        raise SettingError(name, f"must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """`value`, which must be positive and finite.

    Raises:
        SettingError: it is not; `name` is the argument.
    """
    if not 0 < value < float("inf"):
        raise SettingError(name, f"must be positive and finite, got {value}")
    return value
