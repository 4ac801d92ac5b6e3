"""Either layout of pixel values, and plain patches between them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from papo.layouts import PatchLayout, PixelLayout, to_patches, to_pixels
from papo.types import Images


@pytest.mark.parametrize("merge_size", [1, 2, 4])
def test_patches_are_ordered_token_by_token(merge_size):
    """Each patch holds its own row and column, so that the order can be read off."""
    rows, columns, size = 4, 8, 3
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    pixels = torch.stack([row, column]).repeat_interleave(size, 1).repeat_interleave(size, 2)
    patches = to_patches(pixels, size, merge_size)
    assert patches.shape == (rows * columns, 2, size, size)
    expected = [
        [token_row * merge_size + r, token_column * merge_size + c]
        for token_row in range(rows // merge_size)
        for token_column in range(columns // merge_size)
        for r in range(merge_size)
        for c in range(merge_size)
    ]
    assert patches[:, :, 0, 0].tolist() == expected
    assert (patches == patches[:, :, :1, :1]).all()


@pytest.mark.parametrize("merge_size", [1, 2])
def test_patches_and_back(merge_size):
    pixels = torch.rand(3, 8, 12)
    patches = to_patches(pixels, 2, merge_size)
    assert torch.equal(patches[0], pixels[:, :2, :2])
    assert torch.equal(patches[1], pixels[:, :2, 2:4])  # not turned on its side
    assert torch.equal(to_pixels(patches, 4, 6, merge_size), pixels)


def test_flattened_patches_are_the_processors(flattened, pixel_grid):
    """What the processor flattened, unfolded, is what is cut out of the picture."""
    for a, b, picture in zip(flattened.parts(), pixel_grid.parts(), pixel_grid.pixel_values, strict=True):
        unfolded = flattened.layout.unfold(a, (1, 6, 8))
        torch.testing.assert_close(unfolded, to_patches(picture, 14, 2), rtol=0, atol=1e-5)
        torch.testing.assert_close(pixel_grid.layout.unfold(b, (1, 6, 8)), unfolded, rtol=0, atol=1e-5)


def test_folding_takes_the_chosen_patches_and_no_other(images):
    part = images.parts()[1]
    chosen = torch.arange(48) % 5 == 0
    new = torch.rand(48, 3, 14, 14)
    folded = images.layout.fold(part, (1, 6, 8), new, chosen)
    assert folded.shape == part.shape
    unfolded, before = (images.layout.unfold(values, (1, 6, 8)) for values in (folded, part))
    assert torch.equal(unfolded[chosen], new[chosen])
    assert torch.equal(unfolded[~chosen], before[~chosen])


def test_parts_are_single_images(images, pictures):
    parts = images.parts()
    assert len(parts) == 4
    for image, part in enumerate(parts):
        one = Images(part, images.grid[image : image + 1], (1,), images.layout)
        assert torch.equal(one.pixels(), images.pixels(image))


def test_pixels_are_the_pictures(images, pictures):
    for image, picture in enumerate(pictures):
        expected = torch.tensor(np.asarray(picture), dtype=torch.float32).permute(2, 0, 1) / 255
        torch.testing.assert_close(images.pixels(image), expected, rtol=0, atol=1e-6)


def test_pixels_end_with_the_last_whole_patch(pixel_grid):
    wide = replace(pixel_grid, pixel_values=torch.nn.functional.pad(pixel_grid.pixel_values, (0, 13, 0, 13)))
    assert torch.equal(wide.pixels(2), pixel_grid.pixels(2))


@pytest.mark.parametrize("chosen", [[0], [1], [2], [3, 2, 1], [1, 1]])
def test_select(images, chosen):
    own = {0: [0], 1: [1, 2], 2: [], 3: [3]}
    selected = images.select(chosen)
    expected = [i for n in chosen for i in own[n]]
    assert selected.counts == tuple(len(own[n]) for n in chosen)
    assert selected.pixel_values.ndim == images.pixel_values.ndim
    assert len(selected.parts()) == len(expected)
    for image, i in enumerate(expected):
        assert torch.equal(selected.pixels(image), images.pixels(i))


def test_layouts_have_what_both_need():
    """Whatever reads either layout reads these."""
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    assert PixelLayout(mean, std, patch_size=14).merge_size == 1  # LLaVA merges nothing
    for layout in (PatchLayout(mean, std, frames=2, merge_size=2), PixelLayout(mean, std, 14, 2)):
        assert (layout.image_mean, layout.image_std, layout.merge_size) == (mean, std, 2)
