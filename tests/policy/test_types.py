"""The carriers: pictures survive the way into patches and back, selections take what they name and no more padding."""

import numpy as np
import pytest
import torch

from papo.types import Images, PatchLayout, PromptBatch, Responses, RewardResult, Rollouts, Scores

# ------------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("size", [(168, 84), (84, 140), (56, 56)])
def test_pixels_undo_the_image_processor(processor, item, picture, size):
    """Sizes that need no resizing come back exactly, up to the rounding of the normalisation."""
    image = picture(*size)
    images = processor.prompts([item("a", "?", image)]).images
    expected = torch.tensor(np.asarray(image), dtype=torch.float32).permute(2, 0, 1) / 255
    torch.testing.assert_close(images.pixels(), expected, rtol=0, atol=1e-6)


def test_pixels_of_any_image_of_the_batch(prompts, items):
    pictures = [image for item in items for image in item.images]
    for i, image in enumerate(pictures):
        expected = torch.tensor(np.asarray(image), dtype=torch.float32).permute(2, 0, 1) / 255
        torch.testing.assert_close(prompts.images.pixels(i), expected, rtol=0, atol=1e-6)


def test_pixels_stay_in_range():
    layout = PatchLayout((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), frames=1, merge_size=1)
    images = Images(torch.tensor([[3.0, -3.0, 0.0]]), torch.tensor([[1, 1, 1]]), (1,), layout)
    assert images.pixels().flatten().tolist() == [1.0, 0.0, 0.5]


def test_images_know_their_patches(prompts):
    assert prompts.images.patches() == [64, 72, 16, 32, 16]
    assert prompts.images.counts == (1, 1, 0, 2, 1)


@pytest.mark.parametrize("chosen", [[0], [3], [2], [4, 2, 3], [1, 1], [2, 0]])
def test_images_select(prompts, chosen):
    parts = prompts.images.pixel_values.split(prompts.images.patches())
    own = {0: [0], 1: [1], 2: [], 3: [2, 3], 4: [4]}
    expected = [i for n in chosen for i in own[n]]
    selected = prompts.images.select(chosen)
    assert selected.counts == tuple(len(own[n]) for n in chosen)
    assert selected.grid.tolist() == [prompts.images.grid[i].tolist() for i in expected]
    assert selected.grid.shape == (len(expected), 3)
    assert len(selected.pixel_values) == sum(len(parts[i]) for i in expected)
    if expected:
        assert torch.equal(selected.pixel_values, torch.cat([parts[i] for i in expected]))
    assert selected.layout == prompts.images.layout


# ------------------------------------------------------------------------------------------------------------- prompts


@pytest.mark.parametrize("chosen", [[2], [4, 1], [0, 1, 2, 3, 4]])
def test_prompts_select_drops_common_padding(prompts, chosen):
    selected = prompts.select(chosen)
    assert len(selected) == len(chosen)
    assert selected.items == tuple(prompts.items[n] for n in chosen)
    assert selected.prompt_mask.any(0)[0]  # the longest fills its row
    for row, n in enumerate(chosen):
        tokens = prompts.prompt_ids[n][prompts.prompt_mask[n]]
        assert torch.equal(selected.prompt_ids[row][selected.prompt_mask[row]], tokens)
        assert bool(selected.prompt_mask[row, -len(tokens) :].all())  # still padded left
    assert selected.images.counts == tuple(prompts.images.counts[n] for n in chosen)


# ----------------------------------------------------------------------------------------------------------- responses


def test_responses_select_drops_common_padding(make_responses):
    responses = make_responses([3, 1, 5, 2], seed=1)
    responses = Responses(
        responses.response_ids,
        responses.response_mask,
        torch.arange(20.0).reshape(4, 5),
        torch.tensor([True, False, True, False]),
    )
    selected = responses.select([3, 0])
    assert selected.response_ids.shape == (2, 3)
    assert torch.equal(selected.response_ids, responses.response_ids[[3, 0], :3])
    assert torch.equal(selected.response_mask, responses.response_mask[[3, 0], :3])
    assert torch.equal(selected.logprobs, responses.logprobs[[3, 0], :3])
    assert selected.finished.tolist() == [False, True]


def test_responses_select_keeps_one_column():
    empty = Responses(torch.zeros(2, 3).long(), torch.zeros(2, 3).bool(), torch.zeros(2, 3), torch.ones(2).bool())
    assert empty.select([1]).response_ids.shape == (1, 1)


# ------------------------------------------------------------------------------------------------------------ rollouts


@pytest.fixture
def rollouts(prompts: PromptBatch, make_responses) -> Rollouts:
    """Five prompts, two responses each, every field telling rows apart."""
    lengths = [4, 2, 6, 6, 3, 1, 5, 5, 2, 2]
    return Rollouts(
        prompts=prompts,
        responses=make_responses(lengths),
        texts=tuple(f"text {row}" for row in range(10)),
        rewards=tuple(RewardResult(float(row), {}, None, True) for row in range(10)),
        advantages=torch.arange(10.0),
        corrupted_images=Images(
            -prompts.images.pixel_values, prompts.images.grid, prompts.images.counts, prompts.images.layout
        ),
        reference=Scores(torch.arange(60.0).reshape(10, 6), torch.zeros(10, 6)),
        features=tuple(torch.full((n, 2), float(n)) for n in range(5)),
        corrupted_features=tuple(torch.full((n, 2), -float(n)) for n in range(5)),
    )


def test_rollouts_rows(rollouts):
    assert rollouts.group_size == 2
    assert rollouts.rows([3, 0]) == [6, 7, 0, 1]


def test_rollouts_select(rollouts):
    selected = rollouts.select([4, 1, 0])
    rows = [8, 9, 2, 3, 0, 1]
    assert selected.group_size == 2
    assert [item.id for item in selected.prompts.items] == ["small", "wide", "square"]
    assert selected.texts == tuple(f"text {row}" for row in rows)
    assert [reward.total for reward in selected.rewards] == rows
    assert selected.advantages.tolist() == rows
    assert torch.equal(selected.responses.response_ids, rollouts.responses.response_ids[rows])
    assert torch.equal(selected.reference.logprobs, rollouts.reference.logprobs[rows])
    assert torch.equal(selected.corrupted_images.pixel_values, -selected.prompts.images.pixel_values)
    assert [len(tokens) for tokens in selected.features] == [4, 1, 0]
    assert [float(tokens.sum()) for tokens in selected.corrupted_features] == [-32.0, -2.0, 0.0]


def test_rollouts_select_cuts_the_reference_like_the_responses(rollouts):
    selected = rollouts.select([4])  # two tokens at most
    assert selected.responses.response_ids.shape == (2, 2)
    assert torch.equal(selected.reference.logprobs, rollouts.reference.logprobs[8:10, :2])


def test_rollouts_select_leaves_what_is_absent(prompts, make_responses):
    bare = Rollouts(prompts, make_responses([1] * 5), ("",) * 5, (RewardResult(0.0, {}, None, True),) * 5)
    selected = bare.select([2])
    assert selected.corrupted_images is None
    assert selected.reference is None
    assert selected.features is None
    assert selected.corrupted_features is None
