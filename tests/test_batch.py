"""The carriers: rows are chosen, moved and joined as fields say of themselves; pictures survive as patches."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from papo.batch import Batch, column
from papo.objective import Branch
from papo.objective.branch import REFERENCE
from papo.types import Images, PatchLayout, PromptBatch, Responses, RewardResult, Rollouts, Scores, View

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


# -------------------------------------------------------------------------------------------------- what fields may be


@dataclass(frozen=True)
class Part(Batch):
    """Without a mask of its own."""

    values: Tensor = column(pad="right", fill="pad_token_id")


@dataclass(frozen=True)
class Everything(Batch):
    left: Tensor = column(pad="left", fill="pad_token_id")
    mask: Tensor = column(pad="left", mask=True)
    right: Tensor = column(pad="right")
    whole: Tensor  # [rows, 3], padded on neither side
    names: tuple[str, ...]
    part: Part
    parts: Mapping[str, Part | Tensor]
    nothing: Tensor | None = None
    constant: str = "all"


def everything(rows=3, width=4, first=0) -> Everything:
    """Values that tell rows and columns apart: 10 * row + column; row r has r + 1 tokens."""
    numbers = torch.arange(first, first + rows)
    grid = 10 * numbers[:, None] + torch.arange(width)
    return Everything(
        left=grid,
        mask=torch.arange(width) >= width - 1 - torch.arange(rows)[:, None],
        right=grid + 1000,
        whole=10 * numbers[:, None] + torch.arange(3),
        names=tuple(f"row {n}" for n in numbers.tolist()),
        part=Part(grid + 2000),
        parts={"a": Part(grid + 3000), "b": numbers},
    )


def test_select_takes_rows_of_every_field():
    chosen = everything().select([2, 0, 2])
    assert chosen.whole.tolist() == [[20, 21, 22], [0, 1, 2], [20, 21, 22]]
    assert chosen.names == ("row 2", "row 0", "row 2")
    assert chosen.parts["b"].tolist() == [2, 0, 2]
    assert (chosen.nothing, chosen.constant) == (None, "all")


def test_select_drops_columns_by_the_mask_on_the_side_of_the_padding():
    """Two tokens are left of four: the last ones where padding is left, the first ones where it is right."""
    chosen = everything().select([1, 0])
    assert chosen.left.tolist() == [[12, 13], [2, 3]]
    assert chosen.mask.tolist() == [[True, True], [False, True]]
    assert chosen.right.tolist() == [[1010, 1011], [1000, 1001]]
    assert chosen.part.values.tolist() == [[2010, 2011], [2000, 2001]]
    assert chosen.parts["a"].values.tolist() == [[3010, 3011], [3000, 3001]]
    assert chosen.whole.shape == (2, 3)


def test_select_without_a_mask_keeps_every_column_or_as_many_as_it_is_told():
    part = Part(torch.arange(6).view(2, 3))
    assert part.select([1]).values.tolist() == [[3, 4, 5]]
    assert part.select([1], width=2).values.tolist() == [[3, 4]]


def test_concat_widens_on_the_side_of_the_padding():
    joined = Everything.concat([everything(2, 2), everything(1, 3, first=7)], pad_token_id=9)
    assert joined.left.tolist() == [[9, 0, 1], [9, 10, 11], [70, 71, 72]]
    assert joined.mask.tolist() == [[False, False, True], [False, True, True], [False, False, True]]
    assert joined.right.tolist() == [[1000, 1001, 0], [1010, 1011, 0], [1070, 1071, 1072]]
    assert joined.part.values.tolist() == [[2000, 2001, 9], [2010, 2011, 9], [2070, 2071, 2072]]
    assert joined.parts["a"].values[2].tolist() == [3070, 3071, 3072]
    assert joined.parts["b"].tolist() == [0, 1, 7]
    assert joined.names == ("row 0", "row 1", "row 7")
    assert (joined.nothing, joined.constant) == (None, "all")


def test_concat_widens_columns_and_not_what_lies_behind_them():
    """The states of scores are [B, T, H]."""
    parts = [Scores(torch.ones(1, T), torch.ones(1, T), torch.ones(1, T, 2)) for T in (1, 3)]
    joined = Scores.concat(parts, pad_token_id=9)
    assert joined.states.shape == (2, 3, 2)
    assert joined.states[0].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert joined.logprobs[0].tolist() == [1, 0, 0]
    assert Scores.concat([Scores(part.logprobs, part.entropy) for part in parts], 9).states is None


def test_concat_undoes_select():
    batch = everything()
    joined = Everything.concat([batch.select([0]), batch.select([1, 2])], pad_token_id=0)
    assert joined.names == batch.names
    assert torch.equal(joined.mask, batch.mask[:, -3:])
    assert torch.equal(joined.left[joined.mask], batch.left[batch.mask])


def test_to_moves_what_lies_anywhere_inside():
    """Onto a device without values."""
    moved = everything().to(torch.device("meta"))
    tensors = [moved.left, moved.mask, moved.right, moved.whole, moved.part.values, moved.parts["a"].values]
    assert {tensor.device.type for tensor in [*tensors, moved.parts["b"]]} == {"meta"}
    assert moved.names == everything().names
    assert moved.nothing is None
    view = View(images=everything().part, features=(torch.ones(2), torch.ones(3))).to(torch.device("meta"))
    assert [tokens.device.type for tokens in view.features] == ["meta", "meta"]


# ------------------------------------------------------------------------------------------------------------ rollouts

CORRUPTED = Branch("current", "corrupted")


@pytest.fixture
def rollouts(prompts: PromptBatch, make_responses) -> Rollouts:
    """Five prompts, two responses each, every field telling rows apart."""
    lengths = [4, 2, 6, 6, 3, 1, 5, 5, 2, 2]
    negative = replace(prompts.images, pixel_values=-prompts.images.pixel_values)
    own = negative.select([n for n in range(5) for _ in range(2)])
    return Rollouts(
        prompts=prompts,
        responses=make_responses(lengths),
        texts=tuple(f"text {row}" for row in range(10)),
        rewards=tuple(RewardResult(float(row), {}, None, True) for row in range(10)),
        views={
            "clean": View(prompts.images, tuple(torch.full((n, 2), float(n)) for n in range(5))),
            "corrupted": View(negative, tuple(torch.full((n, 2), -float(n)) for n in range(5))),
            "own": View(own, tuple(torch.full((row, 2), float(row)) for row in range(10)), per="response"),
            "trained": View(negative),
        },
        scores={
            REFERENCE: Scores(torch.arange(60.0).reshape(10, 6), torch.zeros(10, 6)),
            CORRUPTED: Scores(-torch.arange(60.0).reshape(10, 6), torch.zeros(10, 6), torch.ones(10, 6, 4)),
        },
        advantages=torch.arange(10.0),
        loss_mask=torch.arange(6) < torch.tensor(lengths)[:, None] - 1,
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
    assert torch.equal(selected.loss_mask, rollouts.loss_mask[rows])
    assert torch.equal(selected.scores[REFERENCE].logprobs, rollouts.scores[REFERENCE].logprobs[rows])
    assert torch.equal(selected.scores[CORRUPTED].logprobs, rollouts.scores[CORRUPTED].logprobs[rows])
    assert torch.equal(selected.views["corrupted"].images.pixel_values, -selected.prompts.images.pixel_values)
    assert [len(tokens) for tokens in selected.views["clean"].features] == [4, 1, 0]
    assert [float(tokens.sum()) for tokens in selected.views["corrupted"].features] == [-32.0, -2.0, 0.0]
    assert selected.views["trained"].features is None


def test_pictures_that_prompts_and_views_share_are_shared_by_a_part_of_them(rollouts, prompts):
    """A step's pictures may be many gigabytes."""
    images = prompts.images
    early = replace(images, pixel_values=images.pixel_values + 1)
    views = {"clean": View(images), "early": View(early), "made": View(replace(images))}
    whole = replace(rollouts, prompts=replace(prompts, views={"early": early}), views=views)
    part = whole.select([1, 3])
    assert part.views["clean"].images is part.prompts.images
    assert part.views["early"].images is part.prompts.views["early"]
    expected = images.select([1, 3]).pixel_values
    for name, more in {"clean": 0, "early": 1, "made": 0}.items():
        assert torch.equal(part.views[name].images.pixel_values, expected + more)
    assert part.views["made"].images is not part.prompts.images


def test_a_view_per_response_is_selected_with_its_responses(rollouts):
    """What a view is of is said, not guessed from its length: a group of one looks the same."""
    view = rollouts.select([4, 1]).views["own"]
    assert view.per == "response"
    assert view.images.counts == (1, 1, 1, 1)
    assert [len(tokens) for tokens in view.features] == [8, 9, 2, 3]
    parts = rollouts.views["own"].images.select([8, 9, 2, 3])
    assert torch.equal(view.images.pixel_values, parts.pixel_values)


def test_rollouts_select_cuts_the_scores_like_the_responses(rollouts):
    selected = rollouts.select([4])  # two tokens at most
    assert selected.responses.response_ids.shape == (2, 2)
    assert torch.equal(selected.scores[REFERENCE].logprobs, rollouts.scores[REFERENCE].logprobs[8:10, :2])
    assert selected.scores[CORRUPTED].states.shape == (2, 2, 4)
    assert torch.equal(selected.loss_mask, rollouts.loss_mask[8:10, :2])


def test_rollouts_select_leaves_what_is_absent(prompts, make_responses):
    bare = Rollouts(prompts, make_responses([1] * 5), ("",) * 5, (RewardResult(0.0, {}, None, True),) * 5)
    selected = bare.select([2])
    assert selected.views == selected.scores == {}
    assert selected.advantages is None
    assert selected.loss_mask is None
    assert torch.equal(selected.trained, selected.responses.response_mask)


def test_rollouts_concat_undoes_select(rollouts):
    joined = Rollouts.concat([rollouts.select([0]), rollouts.select([1, 2, 3, 4])], pad_token_id=1)
    assert joined.texts == rollouts.texts
    assert joined.prompts.items == rollouts.prompts.items
    assert torch.equal(joined.responses.response_mask, rollouts.responses.response_mask)
    mask = joined.responses.response_mask
    assert torch.equal(joined.responses.response_ids[mask], rollouts.responses.response_ids[mask])
    assert torch.equal(joined.scores[REFERENCE].logprobs[mask], rollouts.scores[REFERENCE].logprobs[mask])
    assert joined.views["own"].images.counts == rollouts.views["own"].images.counts
    assert [len(tokens) for tokens in joined.views["own"].features] == list(range(10))
    assert joined.views["own"].per == "response"
    assert joined.advantages.tolist() == list(range(10))


def test_rollouts_say_which_prompts_can_be_learnt_from(rollouts):
    """A prompt learns where any response has a token to train on; it is scorable where all responses are."""
    assert rollouts.learning() == [0, 1, 2, 3, 4]  # of responses of one token nothing is trained, the other has more
    silent = rollouts.loss_mask.clone()
    silent[[2, 3]] = False
    results = [replace(result, scorable=row != 7) for row, result in enumerate(rollouts.rewards)]
    changed = replace(rollouts, loss_mask=silent, rewards=tuple(results))
    assert changed.learning() == [0, 2, 3, 4]
    assert changed.scorable.tolist() == [True, True, True, False, True]
    assert rollouts.prompts.pictured == [0, 1, 3, 4]


def test_pictures_that_prompts_and_views_share_are_shared_by_what_is_joined_of_them(rollouts, prompts):
    early = replace(prompts.images, pixel_values=prompts.images.pixel_values + 1)
    views = {"clean": View(prompts.images), "early": View(early), "made": View(replace(prompts.images))}
    whole = replace(rollouts, prompts=replace(prompts, views={"early": early}), views=views)
    joined = Rollouts.concat([whole.select([0]), whole.select([1, 2])], pad_token_id=1)
    assert joined.views["clean"].images is joined.prompts.images
    assert joined.views["early"].images is joined.prompts.views["early"]
    assert joined.views["made"].images is not joined.prompts.images
    # What one of the parts has apart stays apart.
    alone = replace(
        whole.select([3]), views={name: View(replace(view.images)) for name, view in whole.select([3]).views.items()}
    )
    apart = Rollouts.concat([whole.select([0]), alone], pad_token_id=1)
    assert apart.views["clean"].images is not apart.prompts.images
