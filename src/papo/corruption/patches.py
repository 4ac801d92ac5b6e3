"""Random patch masking on the model's own patch grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from papo.types import Images, PatchLayout


def black_patch(layout: PatchLayout, patch_width: int) -> Tensor:
    """[C] a patch of black pixels after the image processor's normalisation: (0 - mean) / std in each channel.

    Args:
        patch_width: C, the values of one flattened patch; its channels lie behind one another.
    """
    per_channel = -torch.tensor(layout.image_mean) / torch.tensor(layout.image_std)
    return per_channel.repeat_interleave(patch_width // len(per_channel))


class RandomPatchMask:
    """Paints a random share of an image's patches black (I_mask of arXiv 2507.06448, section 3.2).

    The released code paints the original image before it is resized, so that its patches straddle the model's; here
    the patches are the model's own.

    Args:
        mask_ratio: p in [0, 1].
        count: "exact" masks floor(p * L) of the L patches of an image; "bernoulli" masks each patch with probability p.

    Raises:
        ValueError: mask_ratio or count out of range.
    """

    def __init__(self, mask_ratio: float, count: str = "exact") -> None:
        if not 0 <= mask_ratio <= 1:
            raise ValueError(f"mask_ratio must lie in [0, 1], got {mask_ratio}")
        if count not in ("exact", "bernoulli"):
            raise ValueError(f"corruption.count must be exact or bernoulli, got {count!r}")
        self.mask_ratio = mask_ratio
        self.count = count

    def __call__(self, images: Images, seeds: Sequence[int]) -> Images:
        """A corrupted copy; `images` stays as it is.

        Args:
            seeds: one per prompt; its images are masked from this seed alone, on any device, in any batch.
        """
        pixel_values = images.pixel_values
        if len(images.grid) == 0:
            return images
        masked = self.patch_mask(images, seeds).to(pixel_values.device)
        black = black_patch(images.layout, pixel_values.shape[1]).to(pixel_values)
        return replace(images, pixel_values=torch.where(masked[:, None], black, pixel_values))

    def patch_mask(self, images: Images, seeds: Sequence[int]) -> Tensor:
        """[sum of L] bool on the CPU, true where a patch is painted over."""
        patches = iter(images.patches())
        masks = []
        for count, seed in zip(images.counts, seeds, strict=True):
            generator = torch.Generator().manual_seed(seed)
            masks += [self._mask_one(next(patches), generator) for _ in range(count)]
        return torch.cat(masks)

    def _mask_one(self, L: int, generator: torch.Generator) -> Tensor:
        noise = torch.rand(L, generator=generator)
        if self.count == "bernoulli":
            return noise < self.mask_ratio
        # 0.29 * 100 is 28.999999999999996: the epsilon keeps floor from losing a patch to rounding.
        masked = int(self.mask_ratio * L + 1e-9)
        return torch.zeros(L, dtype=torch.bool).index_fill_(0, noise.argsort()[:masked], True)
