"""Shuffled patches and cells: all still there, each elsewhere."""

from types import SimpleNamespace

import pytest
import torch

from papo.corruption import GridExchange, PatchShuffle, RandomPatchMask
from papo.errors import SettingError

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


# ---------------------------------------------------------------------------------------------------------------- cells


def token_sources(before, after, image):
    """[rows, columns, 2] int: which token of `before` stands at each place of `after`."""
    columns = before.pixels(image).shape[2] // 28
    source = sources(blocks(before, image, "token"), blocks(after, image, "token"))
    return torch.stack([source // columns, source % columns], -1).view(-1, columns, 2)


@pytest.fixture
def large(processor, item, picture):
    """5 x 7 tokens."""
    return processor.prompts([item("a", "?", picture(196, 140, 1)), item("b", "?", picture(196, 140, 2))]).images


@pytest.mark.parametrize(
    ("make", "height", "width", "down", "across"),
    [
        (lambda: PatchShuffle(1.0, unit=1), 1, 1, 5, 7),
        (lambda: PatchShuffle(1.0, unit=2), 2, 2, 2, 3),
        (lambda: PatchShuffle(1.0, unit=3), 3, 3, 1, 2),
        (lambda: GridExchange(2), 2, 3, 2, 2),
        (lambda: GridExchange(3), 1, 2, 3, 3),
        (lambda: GridExchange(6), 1, 1, 5, 6),
    ],
)
def test_cells_move_whole_and_none_stays(large, make, height, width, down, across):
    shuffled = make()(large, [1, 2])
    for image in range(2):
        source = token_sources(large, shuffled, image)
        seen = set()
        for y in range(down):
            for x in range(across):
                corner = source[y * height, x * width]
                inside = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1)
                cell = source[y * height : (y + 1) * height, x * width : (x + 1) * width]
                assert torch.equal(cell, corner + inside)  # as it was, somewhere else
                seen.add((int(corner[0]), int(corner[1])))
                assert (int(corner[0]), int(corner[1])) != (y * height, x * width)
        assert seen == {(y * height, x * width) for y in range(down) for x in range(across)}
        places = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij"), -1)
        stays = torch.ones(5, 7, dtype=torch.bool)
        stays[: down * height, : across * width] = False
        assert torch.equal(source[stays], places[stays])


def test_a_share_of_the_cells_moves(large):
    source = token_sources(large, PatchShuffle(0.5, unit=2)(large, [1, 2]), 0)
    places = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij"), -1)
    assert int((source != places).any(-1).sum()) == 3 * 4  # of 6 cells of 4 tokens


def test_a_unit_as_large_as_the_picture_stays_alone(large):
    assert torch.equal(PatchShuffle(1.0, unit=5)(large, [1, 2]).pixel_values, large.pixel_values)
    assert torch.equal(PatchShuffle(1.0, unit=9)(large, [1, 2]).pixel_values, large.pixel_values)


def test_both_layouts_show_the_same_cells(flattened, pixel_grid):
    for corruption in (PatchShuffle(1.0, unit=2), GridExchange(2)):
        a, b = corruption(flattened, SEEDS), corruption(pixel_grid, SEEDS)
        for image in range(4):
            torch.testing.assert_close(a.pixels(image), b.pixels(image), rtol=0, atol=1e-5)
            assert (a.pixels(image) - flattened.pixels(image)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchShuffle(1.0, unit=0), "^unit must be patch, token or at least 1"),
        (lambda: PatchShuffle(1.0, unit="tile"), "^unit must be patch or token, got 'tile'"),
        (lambda: GridExchange(1), "^n must be at least 2"),
    ],
)
def test_impossible_cells_name_their_override(make, message):
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(
    ("corruption", "changes"),
    [
        (PatchShuffle(1.0, unit=1), True),
        (PatchShuffle(1.0, unit=50), False),  # no picture has two such squares
        (PatchShuffle(0.001), False),  # of no picture two patches
        (PatchShuffle(0.001, count="bernoulli"), True),
        (PatchShuffle(0.0), True),  # which is asked for
        (GridExchange(2), True),
        (RandomPatchMask(0.001), False),
        (RandomPatchMask(0.1, unit="token"), True),
    ],
)
def test_what_has_too_few_units_changes_nothing_and_says_so(images, corruption, changes):
    why = corruption.bound(SimpleNamespace(images=images), "corruption")
    assert why == (None if changes else "corruption.mask_ratio is too small for them, or corruption.unit too large")
    if corruption.mask_ratio and corruption.count == "exact":
        assert torch.equal(corruption(images, SEEDS).pixel_values, images.pixel_values) is not changes
