"""What a response loses without a cell: against one painted picture at a time, and where the lab knows what counts."""

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch

from papo.corruption import CellMask, RandomPatchMask
from papo.errors import SettingError
from papo.evaluation.looking import LEVELS, MOST_TOKENS, Looking, drops, in_box, packed
from papo.evaluation.measure import Examination, views_of
from papo.evaluation.records import Record, RecordFile
from papo.lab import lab_item
from papo.lab.palette import RGB
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine


def slowly(policy, prompt, responses, mask, temperature) -> list[list[list[float]]]:
    """drop(c, t) of each response and cell: one pass each."""
    found = []
    for g in range(len(responses.response_ids)):
        one, of_cells = responses.select([g]), []
        T = int(one.response_mask.sum())

        def logprobs(images, one=one, T=T):
            context = policy.prefill(replace(prompt, images=images), policy.encode(images))
            return policy.score(context, one, temperature=temperature).logprobs[0, :T].double()

        for cell in range(sum(cells.count for cells in mask.cells_of(prompt.images))):
            of_cells.append((logprobs(prompt.images) - logprobs(mask(prompt.images, [cell]))).tolist())
        found.append(of_cells)
    return found


@torch.no_grad()
def assert_as_slow(policy, prompt, responses, mask):
    fast = drops(policy, prompt, responses, mask, temperature=0.7, at_once=3)
    for of_response, expected in zip(fast, slowly(policy, prompt, responses, mask, 0.7), strict=True):
        expected = torch.tensor(expected)
        torch.testing.assert_close(of_response[:, : expected.shape[1]].double(), expected.double(), atol=1e-5, rtol=0)
        assert not of_response[:, expected.shape[1] :].any()
    assert fast.abs().amax((0, 2)).min() > 1e-4  # every cell is seen


@pytest.mark.parametrize("number", [1, 3], ids=["wide", "two pictures"])
def test_drops_are_those_of_one_painted_picture_at_a_time(policy, prompts, make_responses, number):
    assert_as_slow(policy, prompts.select([number]), make_responses([7, 1, 4]), CellMask(3))


@pytest.mark.parametrize("family", ["llava_onevision", "smolvlm"])
def test_pictures_that_are_cut_into_tiles_are_painted_in_all_of_them(
    saved_family, family_items, make_responses, family
):
    loaded = load_policy(saved_family(family), train=(), dtype="float32", chunk_tokens=100)
    processor = PromptProcessor(loaded.processor, "Think.")
    assert_as_slow(loaded.policy, processor.prompts([family_items[2]]), make_responses([5, 3]), CellMask(2))


def test_without_a_picture_there_is_no_map(policy, prompts, make_responses):
    looking = Looking(first_items=1, cells=2)
    found = looking(
        policy, prompts.select([2]), make_responses([2, 3]), [["a"] * 2, ["a"] * 3], temperature=1, at_once=4
    )
    assert found == [None, None]


# ------------------------------------------------------------------------------------ what the lab knows to be decisive


def test_what_is_asked_for_costs_more_than_all_else_of_a_chart():
    """The right response to questions for one value, by the base: its loss is largest where that series is drawn."""
    loaded = load_policy("lab_qwen", train=(), dtype="float32", chunk_tokens=4096)
    instruction = "Think inside <think> </think>, then answer inside \\boxed{}."  # which it was trained with
    processor, mask = PromptProcessor(loaded.processor, instruction), CellMask(8)
    sizes = []
    for index in range(60):
        item = lab_item(0, "val", index)
        if not item.tags["task"].endswith("_read") or item.tags["vision_dependency"] == "low":
            continue
        named = next(colour for colour in item.scene["colours"] if colour in item.rationale)
        response = processor.targets([f"<think> {item.rationale} </think> \\boxed{{{item.answer}}}"])
        found = drops(loaded.policy, processor.prompts([item]), response, mask, temperature=1.0, at_once=65)
        loss = found[0].sum(-1).view(8, 8).numpy()
        drawn = {colour: shown(item.images[0], RGB[colour]) for colour in item.scene["colours"]}
        others = np.logical_or.reduce([cells for colour, cells in drawn.items() if colour != named]) & ~drawn[named]
        assert drawn[named][np.unravel_index(loss.argmax(), loss.shape)], item.question
        sizes.append([np.abs(loss[cells]).mean() for cells in (drawn[named], others)])
        assert sizes[-1][0] > sizes[-1][1], item.question
    asked_for, other = np.mean(sizes, axis=0)
    assert len(sizes) >= 5
    assert asked_for > 10 * other


def shown(picture, rgb) -> np.ndarray:
    """[8, 8] bool, the cells that show any of a colour."""
    return (np.asarray(picture) == rgb).all(-1).reshape(8, 14, 8, 14).any((1, 3))


# -------------------------------------------------------------------------------------------------------- as it is kept


def unpacked(kept) -> np.ndarray:
    """[maps, cells] nats."""
    levels = np.frombuffer(base64.b64decode(kept.levels), np.int8).reshape(len(kept.scale), -1)
    return levels * np.array(kept.scale)[:, None] / LEVELS


def test_maps_are_kept_to_a_hundredth_of_their_largest_value():
    words = ["so ", "\\boxed{", "1", "2", "}", "."]
    drop = torch.randn(6, 8) * torch.tensor([5.0, 0.1, 3.0, 1e-4, 0.0, 1.0])[:, None]
    kept = packed(drop, words, ((2, 4, 1),))
    assert kept.sums == ("whole response", "box")
    expected = torch.stack([drop.sum(0), drop[2:4].sum(0), *drop]).numpy()
    assert (np.abs(unpacked(kept) - expected) <= 0.005 * np.abs(expected).max(1, keepdims=True)).all()


def test_the_maps_of_a_response_are_its_drops_token_by_token(policy, prompts, make_responses):
    prompt, responses = prompts.select([0]), make_responses([4, 2])
    words = [["a", "\\boxed{", "b", "}"], ["a", "b"]]
    found = Looking(1, cells=3)(policy, prompt, responses, words, temperature=1.0, at_once=9)
    expected = drops(policy, prompt, responses, CellMask(3), temperature=1.0, at_once=9)
    for kept, of_response, of_words in zip(found, expected, words, strict=True):
        tokens = of_response[:, : len(of_words)].T.numpy()
        largest = np.abs(tokens).max(1, keepdims=True)
        assert (np.abs(unpacked(kept)[len(kept.sums) :] - tokens) <= 0.005 * largest).all()


def test_without_a_box_there_is_no_map_of_it_and_of_a_long_response_those_tokens_have_one_that_lose_most():
    words = ["so"] * (MOST_TOKENS + 5)
    drop = torch.full((len(words), 2), 0.5)
    drop[[0, 3, 50, 51]], drop[7, 1] = 0.25, 0.0
    drop[100] = -1.0
    kept = packed(drop, words, ((1, 2, 1),))
    assert kept.sums == ("whole response",)
    assert set(range(len(words))) - set(kept.tokens) == {0, 3, 50, 51, 99}  # of those that lose as much, the first
    assert unpacked(kept)[-1] == pytest.approx([-1, -1])
    assert unpacked(kept)[0] == pytest.approx(drop.sum(0).numpy(), abs=0.005 * len(words))


def test_numbers_that_are_none_are_shown_as_nothing():
    kept = packed(torch.tensor([[float("nan"), 1.0, float("inf")]]), ["a"], ((1, 3, 1),))
    assert unpacked(kept)[1] == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["\\boxed{", " a", "b", "}", "."], [1, 2]),
        (["\\box", "ed{1", "2}.", "x"], [1, 2]),
        (["\\boxed{1}", " or ", "\\boxed{2}"], [2]),
        (["\\boxed{", "1"], []),
        (["\\boxed{", "}"], []),
    ],
)
def test_which_tokens_stand_in_the_box(tokens, expected):
    assert in_box(tokens) == expected


def test_an_evaluation_looks_into_the_first_responses_to_the_first_items(policy, processor, items, tmp_path):
    views = views_of(["image"], RandomPatchMask(0.5))
    examination = Examination(views, 2, 2, Sampling(5), 0, NativeEngine(), 9, 1, Looking(first_items=3, cells=2))
    records = examination(policy, processor, items, RecordFile(tmp_path / "r.jsonl", 2, 5), "name")
    assert [[of.drops is not None for of in record.views["image"]] for record in records] == [
        [True, False],
        [True, False],
        [False, False],  # has no picture
        [False, False],
        [False, False],
    ]
    first = records[0].views["image"][0]
    assert first.kl == ()  # nothing is masked here
    assert len(first.drops.scale) == len(first.drops.sums) + len(first.tokens)
    assert RecordFile(tmp_path / "r.jsonl", 2, 5).records == records
    line = records[3].to_json()
    assert Record.from_json(line.replace('"drops": null, ', "").replace(', "drops": null', "")) == records[3]


@pytest.mark.parametrize(
    ("settings", "message"), [((-1, 8), "first_items must be 0"), ((1, 0), "cells must be at least 1")]
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(SettingError, match=f"^{message}"):
        Looking(*settings)
