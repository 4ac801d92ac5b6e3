"""The data's own other picture: processed as the first, of its size, or refused by name."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from papo.corruption import Counterfactual, PatchShuffle, RandomPatchMask, SaliencyMask
from papo.errors import ConfigError, SettingError
from papo.types import Item, PromptBatch

SEEDS = [1, 2, 3, 4, 5]


class Redrawn:
    """Pictures of the same sizes, whose colour says the seed."""

    def __init__(self, item: Item, *, wider: int = 0) -> None:
        self.sizes = [(picture.width + wider, picture.height) for picture in item.images]

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        return tuple(Image.new("RGB", size, (10 * seed, 0, n)) for n, size in enumerate(self.sizes))


@pytest.fixture
def maker(processor) -> Counterfactual:
    maker = Counterfactual()
    maker.process_with(lambda items: processor.prompts(items).images)
    return maker


def batch(processor, items, **settings) -> PromptBatch:
    """Prompts of the fixture's items: sizes of all kinds, one without a picture, one with two."""
    return processor.prompts(
        [replace(item, counterfactual=Redrawn(item, **settings) if item.images else None) for item in items]
    )


def test_what_makes_the_rest_is_handed_the_same():
    rest = Counterfactual()
    maker = Counterfactual(rest)
    maker.process_with(len)
    assert (rest.process, maker.process) == (len, len)


def test_the_other_pictures_are_shown(maker, processor, items):
    prompts = batch(processor, items)
    view = maker.of(prompts, SEEDS)
    assert torch.equal(view.grid, prompts.images.grid)
    assert view.counts == (1, 1, 0, 2, 1)
    expected = [(1, 0), (2, 0), (4, 0), (4, 1), (5, 0)]
    found = [view.pixels(image)[:, 0, 0] * 255 for image in range(5)]
    assert [(round(float(red) / 10), round(float(blue))) for red, _, blue in found] == expected
    assert not torch.equal(view.pixel_values, prompts.images.pixel_values)


def test_where_there_is_none_another_maker_serves(maker, processor, items):
    """Prompt by prompt, each from its own seed."""
    maker.otherwise = RandomPatchMask(1.0)
    with_other = batch(processor, items)
    others = [item if n in (0, 3) else replace(item, counterfactual=Redrawn(item)) for n, item in enumerate(items)]
    prompts = processor.prompts(others)
    view = maker.of(prompts, SEEDS)
    assert (view.counts, view.grid.tolist()) == (prompts.images.counts, prompts.images.grid.tolist())
    redrawn, black = maker.of(with_other, SEEDS), RandomPatchMask(1.0)(prompts.images, SEEDS)
    for n in range(len(items)):
        expected = black if n in (0, 3) else redrawn
        assert torch.equal(view.select([n]).pixel_values, expected.select([n]).pixel_values)
    bare = processor.prompts(items)  # none has another picture
    assert torch.equal(maker.of(bare, SEEDS).pixel_values, RandomPatchMask(1.0)(bare.images, SEEDS).pixel_values)


@pytest.mark.parametrize(
    ("otherwise", "whole"), [(None, True), (PatchShuffle(0.5), True), (PatchShuffle(0.001), False)]
)
def test_it_changes_nothing_where_what_makes_the_rest_does_not(processor, items, otherwise, whole):
    maker, bare = Counterfactual(otherwise), processor.prompts(items)
    assert maker.bound(bare, "corruption") == (
        None
        if whole
        else "corruption.otherwise.mask_ratio is too small for them, or corruption.otherwise.unit too large"
    )
    one = processor.prompts([*items[:4], replace(items[4], counterfactual=Redrawn(items[4]))])
    assert maker.bound(one, "corruption") is None


def test_a_batch_without_pictures(maker, processor, items):
    view = maker.of(processor.prompts([items[2]]), [1])
    assert len(view.grid) == 0


def test_an_item_without_another_picture_is_refused(maker, processor, items):
    prompts = processor.prompts([replace(items[0], counterfactual=Redrawn(items[0])), items[1]])
    with pytest.raises(
        ConfigError, match=r"^corruption=counterfactual needs data .* counterfactual_image.*item wide has"
    ):
        maker.of(prompts, [1, 2])


def test_a_picture_of_another_size_is_refused(maker, processor, items):
    prompts = processor.prompts(
        [
            replace(items[0], counterfactual=Redrawn(items[0])),
            replace(items[1], counterfactual=Redrawn(items[1], wider=28)),
        ]
    )
    with pytest.raises(ConfigError, match=r"item wide must take as many .* 6 x 12, got 6 x 14"):
        maker.of(prompts, [1, 2])


def test_one_picture_for_two_is_refused(maker, processor, items):
    prompts = processor.prompts([replace(items[3], counterfactual=lambda seed: items[3].images[:1])])
    with pytest.raises(ConfigError, match=r"item pair must take as many .* 4 x 4, 8 x 4, got 4 x 4$"):
        maker.of(prompts, [1])


def test_a_count_that_only_adds_up_is_refused(maker, processor, items):
    """Two items whose pictures together are as many as before."""
    a, b = (replace(item, images=(items[0].images[0],) * n) for item, n in ((items[0], 1), (items[1], 2)))
    a = replace(a, counterfactual=lambda seed: b.images)
    b = replace(b, counterfactual=lambda seed: a.images)
    with pytest.raises(ConfigError, match="item square must"):
        maker.of(processor.prompts([a, b]), [1, 2])


def test_it_needs_more_than_pictures(maker, prompts):
    with pytest.raises(NotImplementedError, match="Counterfactual needs more than pictures"):
        maker(prompts.images, SEEDS)
    with pytest.raises(RuntimeError, match="process_with"):
        Counterfactual().of(prompts, SEEDS)


@pytest.mark.parametrize(
    ("otherwise", "message"),
    [
        (RandomPatchMask(0.5, per="response"), r"^otherwise\.per must be prompt, got 'response'"),
        (SaliencyMask(0.5, looking=None), r"^otherwise must make a view of the pictures alone.*SaliencyMask"),
    ],
)
def test_what_makes_the_others_is_there_where_data_is_loaded(otherwise, message):
    with pytest.raises(SettingError, match=message):
        Counterfactual(otherwise)
