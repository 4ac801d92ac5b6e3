"""Random patch masking: how many, which, how black, and that nothing but the prompt's own seed decides."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from PIL import Image

from papo.corruption import RandomPatchMask
from papo.errors import SettingError
from papo.types import Images, PatchLayout

# Seeds as derive_seed makes them: 63 bits.
SEEDS = [2**62 + 1, 2, 3, 2**63 - 1, 5]


# ------------------------------------------------------------------------------------------------------------- count


@pytest.mark.parametrize("ratio", ["0", "0.01", "0.1", "0.29", "0.3", "0.4", "0.57", "0.58", "0.6", "0.7", "0.99", "1"])
def test_exact_count_is_the_floor(make_images, ratio):
    """In rationals: 0.29 * 100 is 29 patches, although the floating-point product is below 29."""
    grids = [(2, 2), (2, 4), (4, 4), (10, 10), (8, 18), (2, 50), (20, 50)]
    images = make_images(grids, (1,) * len(grids))
    mask = RandomPatchMask(float(ratio)).patch_mask(images, range(len(grids)))
    assert mask.dtype == torch.bool
    for part, (rows, columns) in zip(mask.split(images.patches()), grids, strict=True):
        assert int(part.sum()) == int(Fraction(ratio) * rows * columns)


def test_exact_masks_every_patch_equally_often(make_images):
    images = make_images([(2, 5)], (1,))
    corruption = RandomPatchMask(0.3)
    share = sum(corruption.patch_mask(images, [seed]).float() for seed in range(2000)) / 2000
    assert (share - 0.3).abs().max() < 0.05  # five standard deviations


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ("exact", [[0, 3, 4, 9, 10, 13], [0, 1, 6]]),
        ("bernoulli", [[0, 3, 4, 9, 10, 13, 14], [0, 1, 6]]),
    ],
)
def test_pinned(make_images, count, expected):
    """A change of these numbers changes every published run."""
    mask = RandomPatchMask(0.4, count).patch_mask(make_images([(4, 4), (2, 4)], (2,)), [7])
    assert [part.nonzero().flatten().tolist() for part in mask.split([16, 8])] == expected


@pytest.mark.parametrize("ratio", ["0", "0.29", "0.3", "0.58", "0.6", "1"])
def test_exact_count_of_tokens_is_the_floor(make_images, ratio):
    grids = [(2, 2), (4, 4), (10, 10), (8, 18), (20, 50)]
    images = make_images(grids, (1,) * len(grids))
    mask = RandomPatchMask(float(ratio), unit="token").patch_mask(images, range(len(grids)))
    for part, (rows, columns) in zip(mask.split(images.patches()), grids, strict=True):
        tokens = part.view(-1, 4)
        assert torch.equal(tokens.all(-1), tokens.any(-1))
        assert int(tokens.all(-1).sum()) == int(Fraction(ratio) * (rows // 2) * (columns // 2))


@pytest.mark.parametrize("merge_size", [1, 2, 3])
def test_a_token_is_as_many_patches_as_the_merger_joins(merge_size):
    layout = PatchLayout((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), frames=1, merge_size=merge_size)
    images = Images(torch.rand(72, 12), torch.tensor([[1, 6, 12]]), (1,), layout)
    tokens = RandomPatchMask(0.3, unit="token").patch_mask(images, [3]).view(-1, merge_size**2)
    assert torch.equal(tokens.all(-1), tokens.any(-1))
    assert int(tokens.all(-1).sum()) == {1: 21, 2: 5, 3: 2}[merge_size]  # of 72, 18 and 8 tokens


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.6, 1.0])
def test_bernoulli_share(make_images, ratio):
    images = make_images([(100, 100), (100, 100), (4, 4)], (1, 1, 1))
    mask = RandomPatchMask(ratio, count="bernoulli").patch_mask(images, [0, 1, 2])
    assert mask.float().mean().item() == pytest.approx(ratio, abs=0.02)  # five standard deviations: 0.0173
    if ratio not in (0, 1):
        counts = [int(part.sum()) for part in mask.split(images.patches())]
        assert counts[0] != counts[1]  # independent patches, not a fixed number of them
    else:
        assert mask.float().mean().item() == ratio


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_ratio_zero_changes_nothing_and_one_leaves_nothing(prompts, count):
    images = prompts.images
    untouched = RandomPatchMask(0.0, count)(images, SEEDS)
    assert torch.equal(untouched.pixel_values, images.pixel_values)
    black = RandomPatchMask(1.0, count)(images, SEEDS)
    assert all(float(black.pixels(image).max()) < 1e-6 for image in range(len(images.grid)))


@pytest.mark.parametrize(
    ("settings", "name"), [((1.2,), "mask_ratio"), ((-0.1,), "mask_ratio"), ((0.5, "all"), "count")]
)
def test_an_impossible_setting_names_its_override(settings, name):
    with pytest.raises(SettingError, match=rf"^{name} must .*{settings[-1]}"):
        RandomPatchMask(*settings)


def test_an_impossible_fill_names_its_override():
    with pytest.raises(SettingError, match=r"^fill must be black, mean or noise, got 'white'"):
        RandomPatchMask(0.5, fill="white")


# ------------------------------------------------------------------------------------------------------------- paint


@pytest.mark.parametrize("size", [(112, 112), (168, 84), (56, 56)])
def test_black_is_what_the_processor_makes_of_black(processor, item, picture, size):
    noise = processor.prompts([item("noise", "?", picture(*size))]).images
    black = processor.prompts([item("black", "?", Image.new("RGB", size))]).images
    painted = RandomPatchMask(1.0)(noise, [0])
    torch.testing.assert_close(painted.pixel_values, black.pixel_values, rtol=0, atol=1e-6)
    assert torch.equal(painted.grid, black.grid)


def test_black_is_channel_by_channel():
    layout = PatchLayout(image_mean=(0.5, 0.4, 0.3), image_std=(0.25, 0.2, 0.1), frames=2, merge_size=1)
    images = Images(torch.ones(1, 24), torch.tensor([[1, 1, 1]]), (1,), layout)  # 3 channels, 2 frames, 2 x 2 pixels
    expected = [-2.0] * 8 + [-2.0] * 8 + [-3.0] * 8
    torch.testing.assert_close(RandomPatchMask(1.0)(images, [0]).pixel_values[0], torch.tensor(expected))


def test_mean_is_the_pictures_mean_colour(images):
    painted = RandomPatchMask(0.5, fill="mean")(images, [1, 2, 3, 4])
    for image in range(4):
        before, after = images.pixels(image), painted.pixels(image)
        new = after[:, (before != after).any(0)]  # [3, pixels]
        torch.testing.assert_close(new, before.mean((1, 2))[:, None].expand_as(new), rtol=0, atol=1e-5)


def test_noise_is_uniform_over_pixel_values(images):
    """Mean 1/2, standard deviation 1/sqrt(12), each value by itself, in every channel."""
    painted = RandomPatchMask(1.0, fill="noise")(images, [1, 2, 3, 4])
    values = torch.stack([painted.pixels(image) for image in range(4)]).transpose(0, 1).flatten(1)  # [3, 37,632]
    n = values.shape[1]
    assert (values.mean(-1) - 0.5).abs().max() < 5 * (1 / 12 / n) ** 0.5
    assert (values.std(-1) - 12**-0.5).abs().max() < 5 * 0.15 / n**0.5
    assert values.min() < 0.001
    assert values.max() > 0.999
    assert torch.corrcoef(values).fill_diagonal_(0).abs().max() < 5 / n**0.5
    assert torch.corrcoef(torch.stack([values[0, 1:], values[0, :-1]]))[0, 1].abs() < 5 / n**0.5


class Chosen(RandomPatchMask):
    """Paints over the units of the given numbers."""

    def __init__(self, numbers, unit):
        super().__init__(0.5, unit=unit)
        self.numbers = numbers

    def choose(self, images, seeds):
        units = map(len, self.units_of(images))
        return [torch.zeros(count, dtype=torch.bool).index_fill(0, torch.tensor(self.numbers), True) for count in units]


@pytest.mark.parametrize(
    ("unit", "number", "box"),
    [
        # Of 12 x 6 patches, 6 x 3 tokens; box is left, upper, right, lower in pixels.
        ("token", 0, (0, 0, 28, 28)),
        ("token", 5, (140, 0, 168, 28)),
        ("token", 6, (0, 28, 28, 56)),
        ("token", 16, (112, 56, 140, 84)),
        ("patch", 0, (0, 0, 14, 14)),
        ("patch", 1, (14, 0, 28, 14)),
        ("patch", 2, (0, 14, 14, 28)),  # the second row of the first token, not the third column
        ("patch", 4, (28, 0, 42, 14)),
        ("patch", 24, (0, 28, 14, 42)),  # the seventh token
        ("patch", 71, (154, 70, 168, 84)),
    ],
)
def test_a_unit_is_where_the_processor_has_it(processor, item, picture, unit, number, box):
    """Painted into the picture before the processor saw it, the same rectangle gives the same values."""
    original = picture(168, 84)
    painted = original.copy()
    painted.paste((0, 0, 0), box)
    before, after = (processor.prompts([item("a", "?", image)]).images for image in (original, painted))
    masked = Chosen([number], unit)(before, [0])
    torch.testing.assert_close(masked.pixel_values, after.pixel_values, rtol=0, atol=1e-6)


def test_a_masked_token_is_one_that_the_vision_tower_merges(policy, prompts):
    """The other visual tokens of a tower that cannot look aside stay as they were: those of the tower's own order."""
    tower = policy.model.model.visual
    images = prompts.images.select([1])

    def tokens(images):
        patches = tower.patch_embed(images.pixel_values)
        return tower.merger(patches)

    with torch.no_grad():
        changed = (tokens(images) != tokens(Chosen([3, 7], "token")(images, [0]))).any(-1)
    assert changed.nonzero().flatten().tolist() == [3, 7]


def test_whole_patches_on_the_grid_in_pixel_space(prompts):
    """Undone to pixels, what changed is whole 14 x 14 blocks, and exactly the promised number of them."""
    corrupted = RandomPatchMask(0.4)(prompts.images, SEEDS)
    for image, (_, rows, columns) in enumerate(prompts.images.grid.tolist()):
        before, after = prompts.images.pixels(image), corrupted.pixels(image)
        assert before.shape == (3, rows * 14, columns * 14)
        changed = (before != after).any(0).unfold(0, 14, 14).unfold(1, 14, 14).flatten(2)  # [rows, columns, 196]
        whole = changed.all(-1)
        assert torch.equal(whole, changed.any(-1))
        assert int(whole.sum()) == int(0.4 * rows * columns)
        blocks = after.unfold(1, 14, 14).unfold(2, 14, 14)  # [3, rows, columns, 14, 14]
        assert float(blocks[:, whole].max()) < 1e-6


def test_the_input_stays_as_it_is(prompts):
    before = prompts.images.pixel_values.clone()
    corrupted = RandomPatchMask(0.6)(prompts.images, SEEDS)
    assert torch.equal(prompts.images.pixel_values, before)
    assert corrupted.pixel_values.data_ptr() != prompts.images.pixel_values.data_ptr()
    assert torch.equal(corrupted.grid, prompts.images.grid)
    assert corrupted.counts == prompts.images.counts


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_precision_is_kept(make_images, dtype):
    images = make_images([(4, 4)], (1,))
    images = replace(images, pixel_values=images.pixel_values.to(dtype))
    assert RandomPatchMask(0.5)(images, [0]).pixel_values.dtype == dtype


# ------------------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_the_seed_decides(prompts, count):
    corruption = RandomPatchMask(0.6, count)
    first = corruption.patch_mask(prompts.images, SEEDS)
    torch.manual_seed(1234)  # the global generator has no say
    assert torch.equal(corruption.patch_mask(prompts.images, SEEDS), first)
    other = corruption.patch_mask(prompts.images, [seed - 1 for seed in SEEDS])
    for a, b in zip(first.split(prompts.images.patches()), other.split(prompts.images.patches()), strict=True):
        assert not torch.equal(a, b)


@pytest.mark.parametrize("count", ["exact", "bernoulli"])
def test_a_prompt_is_masked_alike_in_any_batch(prompts, count):
    corruption = RandomPatchMask(0.6, count)
    whole = corruption(prompts.images, SEEDS)
    for chosen in ([3], [4, 0], [2, 3, 1], [4, 3, 2, 1, 0]):
        part = corruption(prompts.images.select(chosen), [SEEDS[n] for n in chosen])
        assert torch.equal(part.pixel_values, whole.select(chosen).pixel_values)


def test_changing_one_seed_changes_one_prompt(prompts):
    corruption = RandomPatchMask(0.6)
    whole = corruption(prompts.images, SEEDS)
    other = corruption(prompts.images, [*SEEDS[:3], 77, SEEDS[4]])
    for n in range(5):
        same = torch.equal(whole.select([n]).pixel_values, other.select([n]).pixel_values)
        assert same == (n != 3), n


def test_two_images_of_a_prompt_get_masks_of_their_own(make_images):
    images = make_images([(6, 6), (6, 6)], (2,))
    first, second = RandomPatchMask(0.5).patch_mask(images, [7]).split(36)
    assert int(first.sum()) == int(second.sum()) == 18
    assert not torch.equal(first, second)


def test_a_batch_without_images(processor, item):
    images = processor.prompts([item("a", "red?"), item("b", "blue?")]).images
    corrupted = RandomPatchMask(0.6)(images, [0, 1])
    assert corrupted.counts == (0, 0)
    assert len(corrupted.pixel_values) == 0


def test_one_seed_for_each_prompt(prompts):
    with pytest.raises(ValueError, match="shorter"):
        RandomPatchMask(0.6)(prompts.images, SEEDS[:-1])
