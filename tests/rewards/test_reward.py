"""The weighted sum, the format, and settings that make no sense."""

import time
from dataclasses import replace

import pytest
from PIL import Image

from papo.errors import SettingError
from papo.rewards.reward import Reward
from papo.types import Item

ITEM = Item("item-7", "How many?", (Image.new("RGB", (28, 28)),), answer="7", answer_type="integer")
RIGHT = "<think> red = 3, blue = 4 </think> \\boxed{7}"


@pytest.mark.parametrize(
    ("response", "accuracy", "format"),
    [
        (RIGHT, 1.0, 1.0),
        ("\n<think>\nred\n</think>\n\n\\boxed{7}\n", 1.0, 1.0),
        ("<think></think>\\boxed{7}", 1.0, 1.0),
        ("<think> red </think> \\boxed{8}", 0.0, 1.0),
        ("<think> red </think> \\boxed{\\frac{1}{2}}", 0.0, 1.0),
        ("\\boxed{7}", 1.0, 0.0),
        ("<think> red </think> The answer is \\boxed{7}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7} apples", 1.0, 0.0),
        ("well <think> red </think> \\boxed{7}", 1.0, 0.0),
        ("<think> red <think> blue </think> \\boxed{7}", 1.0, 0.0),
        ("<think> red </think> <think> blue </think> \\boxed{7}", 1.0, 0.0),
        ("<think> 3 < 7, a<b and <b> </think> \\boxed{7}", 1.0, 1.0),  # a sign, and no tag that counts
        ("<think> x </think> \\boxed{x < 7}", 0.0, 1.0),
        ("<think> x </think> \\boxed {7}", 1.0, 1.0),
        ("<think> a <think> b </think> \\boxed{7}", 1.0, 0.0),
        ("<think> a </think> b </think> \\boxed{7}", 1.0, 0.0),
        ("<think> a </think> \\boxed{7 <think>}", 0.0, 0.0),
        ("<think> \\boxed{7} </think>", 1.0, 0.0),
        ("<think> red \\boxed{7}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7", 0.0, 0.0),
        # One box, with something in it, and nothing behind it.
        ("<think> red </think> \\boxed{8} or maybe \\boxed{7}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7}\\boxed{7}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7} and a long text \\frac{1}{2}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7}}", 1.0, 0.0),
        ("<think> red </think> \\boxed{7} {}", 1.0, 0.0),
        ("<think> red </think> \\boxed{}", 0.0, 0.0),
        ("<think> red </think> \\boxed{ \n}", 0.0, 0.0),
        ("<think> red </think> \\boxed{7\\}", 0.0, 0.0),
        ("<think> red </think> \\boxed{{7}", 0.0, 0.0),
        ("<think> red </think> \\boxed{{7}}", 1.0, 1.0),
        ("<think> red </think> \\boxed{\\{7\\}}", 0.0, 1.0),
        ("<think> maybe \\boxed{6} </think> \\boxed{7}", 1.0, 1.0),  # reasoning
        ("<THINK> red </THINK> \\boxed{7}", 1.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_parts(response, accuracy, format):
    result = Reward(0.9, 0.1)(ITEM, response)
    assert result.parts == {"accuracy": accuracy, "format": format}
    assert result.total == pytest.approx(0.9 * accuracy + 0.1 * format, abs=1e-12)
    assert result.scorable


def test_the_papers_reward_is_binary():
    assert Reward()(ITEM, RIGHT).total == 1.0
    assert Reward()(ITEM, "<think> red </think> \\boxed{8}").total == 0.0
    assert Reward()(ITEM, "\\boxed{7}").total == 1.0


def test_weights_are_not_normalised():
    assert Reward(2.0, 3.0)(ITEM, RIGHT).total == 5.0
    assert Reward(0.0, 1.0)(ITEM, RIGHT).total == 1.0


def test_the_answer_is_reported():
    assert Reward()(ITEM, "\\boxed{ 8 }").answer == "8"
    assert Reward()(ITEM, "8").answer is None


def test_an_unscorable_item_is_marked():
    result = Reward()(replace(ITEM, answer="many"), "\\boxed{many}")
    assert not result.scorable
    assert result.total == 0.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((-0.1, 1.0), "accuracy_weight must be 0 .* got -0.1"),
        ((1.0, -0.1), "format_weight must be 0 .* got -0.1"),
        ((0.0, 0.0), "accuracy_weight must be positive where format_weight is 0"),
    ],
)
def test_impossible_weights_are_named(weights, message):
    with pytest.raises(SettingError, match=f"^{message}"):
        Reward(*weights)


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "}", " ", "\\boxed{", "} ", "<think></think>\\boxed{7}", "{}", "\\boxed{7}"]
)
def test_a_million_characters_are_graded_fast(piece):
    response = "<think></think>\\boxed{" + piece * (1_000_000 // len(piece)) + "x"
    start = time.process_time()
    assert Reward(0.9, 0.1)(ITEM, response).parts["format"] == 0.0
    assert time.process_time() - start < 5
