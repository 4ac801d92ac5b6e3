"""Shuffled patches: all still there, each elsewhere."""

import pytest
import torch

from papo.corruption import PatchShuffle

SEEDS = [1, 2, 3, 4]


def blocks(images, image, unit):
    """[units, values] of one image in pixel space, row by row."""
    size = 14 if unit == "patch" else 28
    pixels = images.pixels(image).unfold(1, size, size).unfold(2, size, size)  # [3, rows, columns, size, size]
    return pixels.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1)


def sources(before, after):
    """Which unit of `before` each unit of `after` is; every unit is unlike every other."""
    equal = (after[:, None] == before[None]).all(-1)
    assert (equal.sum(-1) == 1).all()
    return equal.int().argmax(-1)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.6, 1.0])
def test_a_permutation_that_leaves_none_of_the_chosen_in_place(images, unit, ratio):
    shuffled = PatchShuffle(ratio, unit=unit)(images, SEEDS)
    for image in range(4):
        before, after = blocks(images, image, unit), blocks(shuffled, image, unit)
        source = sources(before, after)
        assert source.sort().values.tolist() == list(range(len(before)))
        moved = source != torch.arange(len(before))
        assert int(moved.sum()) == int(ratio * len(before))


def test_a_single_cycle(images):
    """So that no few patches merely swap: following the sources leads through all."""
    shuffled = PatchShuffle(1.0)(images, SEEDS)
    source = sources(blocks(images, 0, "patch"), blocks(shuffled, 0, "patch")).tolist()
    place, seen = 0, set()
    while place not in seen:
        seen.add(place)
        place = source[place]
    assert len(seen) == 48


def test_one_unit_stays_alone(make_images):
    images = make_images([(2, 2)], (1,))
    assert torch.equal(PatchShuffle(0.25)(images, [0]).pixel_values, images.pixel_values)
    assert not torch.equal(PatchShuffle(0.5)(images, [0]).pixel_values, images.pixel_values)


def test_images_keep_to_themselves(images):
    """Patches never move to another image, nor do images of one seed get the same order."""
    shuffled = PatchShuffle(1.0)(images, SEEDS)
    orders = [sources(blocks(images, i, "patch"), blocks(shuffled, i, "patch")).tolist() for i in range(4)]
    assert len({tuple(order) for order in orders}) == 4


def test_every_place_is_reached(make_images):
    """Of 4 units the first goes to each of the 3 other places equally often."""
    images = make_images([(2, 2)], (1,))
    value = images.pixel_values[0]
    places = [
        int((PatchShuffle(1.0)(images, [seed]).pixel_values == value).all(-1).int().argmax()) for seed in range(600)
    ]
    share = torch.bincount(torch.tensor(places), minlength=4) / 600
    assert share[0] == 0
    assert (share[1:] - 1 / 3).abs().max() < 0.097  # five standard deviations
