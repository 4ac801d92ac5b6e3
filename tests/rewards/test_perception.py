"""The perception reward on top of what the text earns."""

import math

import pytest
from PIL import Image

from papo.errors import SettingError
from papo.rewards.perception import PerceptionReward
from papo.rewards.reward import Reward
from papo.types import Item

ITEM = Item("item-7", "How many?", (Image.new("RGB", (28, 28)),), answer="7", answer_type="integer")
GRADED = Reward(0.9, 0.1)
RIGHT, WRONG = "<think> red = 7 </think> \\boxed{7}", "<think> red = 8 </think> \\boxed{8}"


def reward(response, divergence, *, weight=0.5, scale=0.2, correct_only=False):
    term = PerceptionReward(GRADED, weight, scale, correct_only)
    return term.add(term(ITEM, response), divergence)


@pytest.mark.parametrize(
    ("divergence", "part"),
    [(0.0, 0.0), (0.2, 1 - math.exp(-1)), (0.1, 1 - math.exp(-0.5)), (100.0, 1.0), (-0.3, 0.0)],
)
def test_part_by_hand(divergence, part):
    """63 % at the scale, all of it far beyond, none below zero, where a sampled estimate may lie."""
    result = reward(RIGHT, divergence)
    assert result.parts["perception"] == pytest.approx(part, abs=1e-12)
    assert result.total == pytest.approx(1.0 + 0.5 * part, abs=1e-12)


@pytest.mark.parametrize(("correct_only", "wrong"), [(True, 0.0), (False, 1 - math.exp(-1))])
def test_wrong_answers_earn_it_only_where_they_may(correct_only, wrong):
    assert reward(RIGHT, 0.2, correct_only=correct_only).parts["perception"] == pytest.approx(1 - math.exp(-1))
    result = reward(WRONG, 0.2, correct_only=correct_only)
    assert result.parts["perception"] == pytest.approx(wrong)
    assert result.total == pytest.approx(0.1 + 0.5 * wrong)


def test_no_divergence_outbids_a_right_answer():
    """With a weight below the accuracy's."""
    assert reward(WRONG, 1e9).total < reward(RIGHT, 0.0).total


def test_the_rest_of_the_result_stays():
    graded = GRADED(ITEM, RIGHT)
    term = PerceptionReward(GRADED, 0.5, 0.2, True)
    assert term(ITEM, RIGHT) == graded
    result = term.add(graded, 0.2)
    assert {name: result.parts[name] for name in graded.parts} == graded.parts
    assert (result.answer, result.scorable) == (graded.answer, graded.scorable)
    assert "perception" not in graded.parts  # a result is not changed in place


@pytest.mark.parametrize("name", ["weight", "scale"])
@pytest.mark.parametrize("value", [0.0, -0.5])
def test_an_impossible_setting_names_its_override(name, value):
    with pytest.raises(SettingError, match=rf"^{name} must be positive, got {value}; reward=accuracy has no"):
        PerceptionReward(GRADED, **{"weight": 0.5, "scale": 0.2, "correct_only": True} | {name: value})
