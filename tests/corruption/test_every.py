"""What holds for every corruption, in either layout: how much changes, where, from which seed, and what does not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from papo.corruption.base import Picture
from papo.errors import SettingError
from papo.seeding import generator
from papo.types import Images

# Seeds as derive_seed makes them: 63 bits.
SEEDS = [2**62 + 1, 2, 3, 2**63 - 1]


def changed_units(before: Images, after: Images, unit: str) -> list[Tensor]:
    """[rows, columns] bool for each image, in pixel space; no unit may change in part."""
    size = 14 if unit == "patch" else 28
    result = []
    for image in range(len(before.grid)):
        changed = (before.pixels(image) != after.pixels(image)).any(0)  # [height, width]
        blocks = changed.unfold(0, size, size).unfold(1, size, size).flatten(2)
        assert torch.equal(blocks.any(-1), blocks.all(-1))
        result.append(blocks.all(-1))
    return result


def same(a: Images, b: Images) -> bool:
    return torch.equal(a.pixel_values, b.pixel_values) and torch.equal(a.grid, b.grid) and a.counts == b.counts


# ------------------------------------------------------------------------------------------------- how much, and where


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.99])
def test_exactly_the_share_changes_in_whole_units(make, name, unit, images, ratio):
    corrupted = make(name, ratio, unit=unit)(images, SEEDS)
    for changed in changed_units(images, corrupted, unit):
        assert int(changed.sum()) == int(ratio * changed.numel())  # of 48 patches or 12 tokens


def test_bernoulli_changes_the_share_on_average(make, random_name, unit, make_images):
    """make_images has 2 x 2 pixels to a patch; the corrupted picture is looked at, not the mask."""
    images = make_images([(100, 100)] * 3, (1, 1, 1))
    corrupted = make(random_name, 0.6, unit=unit, count="bernoulli")(images, SEEDS[:3])
    changed = (images.pixel_values != corrupted.pixel_values).any(-1)
    # Five standard deviations: sqrt(0.6 * 0.4 / units) is 0.0028 for 30,000 patches, 0.0057 for 7,500 tokens.
    assert changed.float().mean().item() == pytest.approx(0.6, abs=0.014 if unit == "patch" else 0.029)
    counts = {int(part.sum()) for part in changed.split(images.patches())}
    assert len(counts) > 1  # independent units, not a fixed number of them


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_ratio_zero_changes_nothing(make, name, unit, images, count):
    settings = {} if name == "saliency" else {"count": count}
    assert same(make(name, 0.0, unit=unit, **settings)(images, SEEDS), images)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_ratio_one_leaves_nothing(make, name, unit, images, count):
    settings = {} if name == "saliency" else {"count": count}
    corrupted = make(name, 1.0, unit=unit, **settings)(images, SEEDS)
    assert all(changed.all() for changed in changed_units(images, corrupted, unit))


def test_a_seed_chooses_the_same_units_for_every_replacement(make, random_name, unit, images):
    expected = changed_units(images, make("black", 0.5, unit=unit)(images, SEEDS), unit)
    changed = changed_units(images, make(random_name, 0.5, unit=unit)(images, SEEDS), unit)
    assert all(torch.equal(a, b) for a, b in zip(changed, expected, strict=True))


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_both_layouts_show_the_same(make, name, unit, flattened, pixel_grid, count):
    corruption = make(name, 0.4, unit=unit, **({} if name == "saliency" else {"count": count}))
    a, b = corruption(flattened, SEEDS), corruption(pixel_grid, SEEDS)
    assert a.pixel_values.ndim == 2
    assert b.pixel_values.ndim == 4
    for image in range(len(flattened.grid)):
        torch.testing.assert_close(a.pixels(image), b.pixels(image), rtol=0, atol=1e-5)
        assert (a.pixels(image) - flattened.pixels(image)).abs().max() > 0.1


def test_every_frame_of_a_still_image_is_alike(make, name, flattened):
    corrupted = make(name, 0.5)(flattened, SEEDS).pixel_values
    first, second = corrupted.view(len(corrupted), 3, 2, 196).unbind(2)
    assert torch.equal(first, second)


def test_pixels_beyond_the_patches_stay(make, name, pixel_grid):
    """384 pixels hold 27 patches of 14; the six left over are in no patch."""
    wide = torch.nn.functional.pad(pixel_grid.pixel_values, (0, 5, 0, 3), value=0.25)
    corruption = make(name, 0.5)
    corrupted = corruption(replace(pixel_grid, pixel_values=wide), SEEDS).pixel_values
    assert torch.equal(corrupted[..., :84, :112], corruption(pixel_grid, SEEDS).pixel_values)
    corrupted[..., :84, :112] = 0.25
    assert (corrupted == 0.25).all()


# ------------------------------------------------------------------------------------------------------------- seeds


def test_the_same_seeds_give_the_same(make, name, images):
    corruption = make(name, 0.6)
    first = corruption(images, SEEDS)
    state = torch.manual_seed(1234).get_state()  # the global generator has no say
    assert same(corruption(images, SEEDS), first)
    assert same(make(name, 0.6)(images, SEEDS), first)
    assert torch.equal(torch.get_rng_state(), state)  # and is left alone


def test_a_prompt_is_corrupted_alike_in_any_batch(make, name, unit, images):
    corruption = make(name, 0.6, unit=unit)
    whole = corruption(images, SEEDS)
    for chosen in ([1], [3, 0], [2, 3, 1], [3, 2, 1, 0]):
        part = corruption(images.select(chosen), [SEEDS[n] for n in chosen])
        assert same(part, whole.select(chosen))


def test_changing_one_seed_changes_one_prompt(make, random_name, images):
    corruption = make(random_name, 0.6)
    whole = corruption(images, SEEDS)
    other = corruption(images, [SEEDS[0], 77, *SEEDS[2:]])
    for n in range(4):
        assert same(whole.select([n]), other.select([n])) == (n != 1)


@pytest.mark.parametrize("name", ["noise", "gaussian_noise"])
def test_what_is_drawn_is_new_for_each_image_and_seed(make, name, images):
    """Also where the pictures are equal and all of each is replaced."""
    images = replace(images, pixel_values=torch.zeros_like(images.pixel_values))
    corrupted = make(name, 1.0)(images, SEEDS)
    pixels = [corrupted.pixels(image) for image in range(4)]
    for a in range(4):
        for b in range(a):
            assert not torch.equal(pixels[a], pixels[b])


def test_two_images_of_a_prompt_have_units_of_their_own(make, random_name, images):
    _, second, third, _ = changed_units(images, make(random_name, 0.5)(images, SEEDS), "patch")
    assert not torch.equal(second, third)


def test_one_seed_for_each_prompt(make, name, images):
    with pytest.raises(ValueError, match="shorter"):
        make(name, 0.6)(images, SEEDS[:-1])


# ------------------------------------------------------------------------------------------------------ what stays


def test_the_input_stays_as_it_is(make, name, unit, images):
    before = images.pixel_values.clone()
    for ratio in (0.0, 0.6, 1.0):
        corrupted = make(name, ratio, unit=unit)(images, SEEDS)
        corrupted.pixel_values.zero_()  # no memory is shared
        assert torch.equal(images.pixel_values, before)
        assert torch.equal(corrupted.grid, images.grid)
        assert (corrupted.counts, corrupted.layout) == (images.counts, images.layout)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_is_kept(make, name, images, dtype):
    images = replace(images, pixel_values=images.pixel_values.to(dtype))
    corrupted = make(name, 0.5)(images, SEEDS)
    assert corrupted.pixel_values.dtype == dtype
    assert same(make(name, 0.0)(images, SEEDS), images)


@pytest.mark.parametrize("ratio", [0.0, 0.6])
def test_no_gradient_flows(make, name, images, ratio):
    images = replace(images, pixel_values=images.pixel_values.clone().requires_grad_())
    assert not make(name, ratio)(images, SEEDS).pixel_values.requires_grad


@pytest.mark.parametrize("name", ["black", "mean", "noise", "gaussian_noise", "gaussian_blur"])
def test_what_replaces_is_made_where_the_picture_is(make, name, flattened):
    """On a device without values, which mixes with no other."""
    picture = Picture(torch.empty(48, 3, 14, 14, device="meta"), 6, 8, flattened.layout)
    mask = torch.empty(48, dtype=torch.bool, device="meta")
    assert make(name, 0.5).replacement(picture, mask, generator(0)).device.type == "meta"


def test_a_batch_without_images(make, name, processor, item):
    images = processor.prompts([item("a", "red?"), item("b", "blue?")]).images
    corrupted = make(name, 0.6)(images, [0, 1])
    assert corrupted.counts == (0, 0)
    assert len(corrupted.pixel_values) == 0


def test_a_prompt_without_images_among_others(make, name, images):
    corrupted = make(name, 0.6)(images.select([2]), [5])
    assert corrupted.counts == (0,)
    assert len(corrupted.pixel_values) == 0


def test_images_of_different_sizes(make, name, prompts):
    corrupted = make(name, 0.5)(prompts.images, [1, 2, 3, 4, 5])
    sizes = [int(changed.sum()) for changed in changed_units(prompts.images, corrupted, "patch")]
    assert sizes == [32, 36, 8, 16, 8]


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("ratio", [1.2, -0.1, float("nan")])
def test_an_impossible_ratio_names_its_override(make, name, ratio):
    with pytest.raises(SettingError, match=rf"^mask_ratio must lie in \[0, 1\], got {ratio}"):
        make(name, ratio)


def test_an_impossible_unit_names_its_override(make, name):
    with pytest.raises(SettingError, match=r"^unit must be patch or token, got 'pixel'"):
        make(name, 0.5, unit="pixel")


def test_an_impossible_count_names_its_override(make, random_name):
    with pytest.raises(SettingError, match=r"^count must be exact or bernoulli, got 'all'"):
        make(random_name, 0.5, count="all")
