"""Views from the rest of the batch: whose picture is shown, and how much of it."""

from dataclasses import replace

import pytest
import torch

from papo.corruption import BoxExchange, Swap
from papo.errors import SettingError
from papo.types import Images

SEEDS = [5, 2, 3, 9]
OWNERS = [0, 1, 1, 3]  # the prompt of each image of the fixture


def shown(view: Images, images: Images) -> list[int]:
    """Which of `images` each image of the view is."""
    found = []
    for part in view.parts():
        (same,) = [i for i, other in enumerate(images.parts()) if torch.equal(part, other)]
        found.append(same)
    return found


def test_another_prompts_picture_is_shown(images):
    for seed in range(20):
        found = shown(Swap()(images, [seed + prompt for prompt in range(4)]), images)
        assert all(OWNERS[i] != OWNERS[j] for i, j in enumerate(found))


def test_every_picture_that_fits_comes_equally_often(images):
    found = [shown(Swap()(images, [seed, 1, 1, 1]), images)[0] for seed in range(600)]
    shares = torch.bincount(torch.tensor(found), minlength=4) / 600
    assert shares[0] == 0
    assert (shares[1:] - 1 / 3).abs().max() < 0.097  # five standard deviations


def test_only_pictures_of_the_same_grid_fit(make_images):
    images = make_images([(2, 4), (4, 2), (2, 4), (4, 4), (4, 2)], (1, 1, 1, 1, 1))
    assert shown(Swap()(images, range(5)), images) == [2, 4, 0, 3, 1]  # the fourth is alone and stays


def test_the_same_picture_does_not_fit(images):
    """Several questions may be about one picture."""
    twice = images.select([0, 0, 3])
    found = Swap()(twice, [1, 2, 3]).parts()
    assert all(torch.equal(part, twice.parts()[2]) for part in found[:2])
    alone = images.select([0, 0])
    assert torch.equal(Swap()(alone, [1, 2]).pixel_values, alone.pixel_values)


@pytest.mark.parametrize("maker", [Swap(), BoxExchange(0.5)])
def test_pictures_of_as_many_sizes_have_no_others_and_it_is_said(prompts, maker):
    """The fixture's fourth and fifth prompt have pictures of one size."""
    assert maker.bound(prompts, "corruption") is None
    for shown in (prompts.select([0, 1, 2, 3]), prompts.select([3]), prompts.select([4, 4])):  # an item may come twice
        assert maker.bound(shown, "corruption").startswith("no two items have pictures with as many visual tokens")
        assert torch.equal(maker(shown.images, SEEDS[: len(shown)]).pixel_values, shown.images.pixel_values)
    again = replace(prompts.items[4], id="mixed/small")  # as a mixture calls it
    assert maker.bound(replace(prompts.select([4, 4]), items=(prompts.items[4], again)), "corruption") is not None


def test_a_box_of_nothing_is_meant_as_it_is(prompts):
    assert BoxExchange(0.0).bound(prompts.select([0, 1]), "corruption") is None


def test_a_batch_without_pictures(images):
    none = images.select([2])
    assert Swap()(none, [1]) is none


@pytest.mark.parametrize("make", [Swap, lambda: BoxExchange(0.5)])
def test_the_seeds_decide(images, make):
    first = make()(images, SEEDS).pixel_values
    state = torch.manual_seed(1).get_state()
    assert torch.equal(make()(images, SEEDS).pixel_values, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not all(torch.equal(make()(images, [seed, 2, 3, 9]).pixel_values, first) for seed in range(6))
    with pytest.raises(ValueError, match="shorter"):
        make()(images, SEEDS[:-1])


# -------------------------------------------------------------------------------------------------------------- boxes


def changed_tokens(before: Images, after: Images, image: int) -> torch.Tensor:
    """[rows, columns] bool; no token may change in part."""
    changed = (before.pixels(image) != after.pixels(image)).any(0).unfold(0, 28, 28).unfold(1, 28, 28).flatten(2)
    assert torch.equal(changed.float().mean(-1) > 0.9, changed.any(-1))  # a pixel may be equal by chance
    return changed.any(-1)


@pytest.mark.parametrize(("ratio", "height", "width"), [(0.1, 1, 1), (0.25, 2, 2), (0.6, 2, 3), (1.0, 3, 4)])
def test_a_box_of_another_picture_lies_where_it_lay_there(images, ratio, height, width):
    view = BoxExchange(ratio)(images, SEEDS)
    for image in range(4):
        changed = changed_tokens(images, view, image)
        assert int(changed.sum()) == height * width  # of 3 x 4 tokens
        assert (int(changed.any(1).sum()), int(changed.any(0).sum())) == (height, width)
        box = changed.repeat_interleave(28, 0).repeat_interleave(28, 1)
        equal = [torch.equal(view.pixels(image)[:, box], images.pixels(j)[:, box]) for j in range(4)]
        assert sum(equal) == 1
        assert OWNERS[equal.index(True)] != OWNERS[image]


def test_a_box_can_lie_anywhere(images):
    corners = [changed_tokens(images, BoxExchange(0.25)(images, [seed, 1, 1, 1]), 0) for seed in range(60)]
    assert len({tuple(corner.flatten().tolist()) for corner in corners}) == 2 * 3


def test_all_of_it_is_another_picture_and_none_is_its_own(images):
    assert torch.equal(BoxExchange(0.0)(images, SEEDS).pixel_values, images.pixel_values)
    whole = BoxExchange(1.0)(images, SEEDS)
    torch.testing.assert_close(whole.pixel_values, Swap()(images, SEEDS).pixel_values)


def test_pixels_beyond_the_patches_stay(pixel_grid):
    wide = replace(pixel_grid, pixel_values=torch.nn.functional.pad(pixel_grid.pixel_values, (0, 5, 0, 3), value=0.25))
    view = BoxExchange(1.0)(wide, SEEDS).pixel_values.clone()
    assert not torch.equal(view, wide.pixel_values)
    view[..., :84, :112] = 0.25
    assert (view == 0.25).all()


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_an_impossible_ratio_names_its_override(ratio):
    with pytest.raises(SettingError, match=rf"^mask_ratio must lie in \[0, 1\], got {ratio}"):
        BoxExchange(ratio)
