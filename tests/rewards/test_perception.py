"""The perception reward on top of what the text earns."""

import math

import pytest
import torch
from PIL import Image

from papo.errors import SettingError
from papo.objective import Branch, Need
from papo.objective.branch import OLD
from papo.rewards.perception import PerceptionReward
from papo.rewards.reward import Reward
from papo.training.shaping import add_part
from papo.types import Item, Scores

ITEM = Item("item-7", "How many?", (Image.new("RGB", (28, 28)),), answer="7", answer_type="integer")
GRADED = Reward(0.9, 0.1)
RIGHT, WRONG = "<think> red = 7 </think> \\boxed{7}", "<think> red = 8 </think> \\boxed{8}"


def part(divergence, *, correct=True, scale=0.2, correct_only=False, lengths=(3,)):
    """[B] of responses whose mean k3 per token is `divergence`; behind their end is junk."""
    term = PerceptionReward(GRADED, 0.5, scale, correct_only)
    mask = torch.arange(max(lengths) + 1) < torch.tensor(lengths)[:, None]
    logprobs = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -7.0)
    # k3 at d < 0 takes every value once: halving finds the d of this one.
    low, high = -100.0, 0.0
    for _ in range(100):
        d = (low + high) / 2
        low, high = (d, high) if math.exp(d) - d - 1 > divergence else (low, d)
    masked = torch.full_like(logprobs, high).masked_fill(~mask, 9.0)
    scores = {branch: Scores(x, x) for branch, x in ((OLD, logprobs), (term.masked, masked))}
    return term.values(scores, mask, torch.tensor([correct] * len(lengths)))


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [(0.0, 0.0), (0.2, 1 - math.exp(-1)), (0.1, 1 - math.exp(-0.5)), (1.0, 1 - math.exp(-5))],
)
def test_part_by_hand(divergence, expected):
    """63 % at the scale, nearly all of it far beyond; the mean per token, whatever the length."""
    assert part(divergence, lengths=(3, 1, 4)).tolist() == pytest.approx([expected] * 3, abs=1e-9)


def test_one_token_counts_for_ten_nats_at_most():
    assert part(60.0, scale=20.0).item() == pytest.approx(1 - math.exp(-0.5), abs=1e-9)


@pytest.mark.parametrize(("correct_only", "wrong"), [(True, 0.0), (False, 1 - math.exp(-1))])
def test_wrong_answers_earn_it_only_where_they_may(correct_only, wrong):
    assert part(0.2, correct_only=correct_only).item() == pytest.approx(1 - math.exp(-1))
    assert part(0.2, correct_only=correct_only, correct=False).item() == pytest.approx(wrong)


def test_no_divergence_outbids_a_right_answer():
    """With a weight below the accuracy's."""
    term = PerceptionReward(GRADED, 0.5, 0.2, False)
    most = add_part(term(ITEM, WRONG), part(1e9, correct=False).item(), term.name, term.weight)
    assert most.total == pytest.approx(0.1 + 0.5)
    assert most.total < term(ITEM, RIGHT).total


def test_the_rest_of_the_result_stays():
    graded = GRADED(ITEM, RIGHT)
    term = PerceptionReward(GRADED, 0.5, 0.2, True)
    assert term(ITEM, RIGHT) == graded
    result = add_part(graded, 0.25, term.name, term.weight)
    assert result.total == pytest.approx(graded.total + 0.125)
    assert result.parts == graded.parts | {"perception": 0.25}
    assert (result.answer, result.scorable) == (graded.answer, graded.scorable)
    assert "perception" not in graded.parts  # a result is not changed in place


def test_it_looks_at_the_policy_that_wrote_the_responses():
    """On the picture and on a view of it."""
    term = PerceptionReward(GRADED, 0.5, 0.2, True, view="noised")
    assert term.passes() == {OLD: Need(), Branch("rollout", "noised"): Need()}
    assert PerceptionReward(GRADED, 0.5, 0.2, True).masked == Branch("rollout", "corrupted")


def test_the_picture_itself_is_no_view_of_it():
    with pytest.raises(SettingError, match=r"^view must be another view than clean"):
        PerceptionReward(GRADED, 0.5, 0.2, True, view="clean")


@pytest.mark.parametrize("name", ["weight", "scale"])
@pytest.mark.parametrize("value", [0.0, -0.5])
def test_an_impossible_setting_names_its_override(name, value):
    with pytest.raises(SettingError, match=rf"^{name} must be positive, got {value}; reward=accuracy has no"):
        PerceptionReward(GRADED, **{"weight": 0.5, "scale": 0.2, "correct_only": True} | {name: value})
