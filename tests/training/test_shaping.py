"""The whole reward, the advantages that are made of it, the tokens that are trained, and which groups are alive."""

from dataclasses import replace

import pytest
import torch

from papo.objective import Branch, Need, ReferenceKL, RewardPart, group_advantages
from papo.objective.branch import OLD, REFERENCE
from papo.rewards.perception import PerceptionReward
from papo.rewards.reward import Reward
from papo.training.shaping import Shaping, add_part, alive
from papo.types import PromptBatch, RewardResult, Rollouts, Scores

LENGTHS = [7, 3, 5, 6, 2, 2, 7, 7, 1, 4]  # two responses to each of five prompts, 7 tokens at most
TOTALS = [1.0, 0.0, 0.5, 0.5, 1.0, 1.0, 0.25, 0.75, 0.0, 0.0]


@pytest.fixture
def rollouts(prompts: PromptBatch, make_responses) -> Rollouts:
    responses = make_responses(LENGTHS)
    responses = replace(responses, finished=torch.tensor(LENGTHS) < 7)
    rewards = tuple(RewardResult(total, {"accuracy": total}, None, True) for total in TOTALS)
    return Rollouts(prompts, responses, ("",) * 10, rewards)


def shaping(reward=None, parts=(), **settings) -> Shaping:
    defaults = {"normalize_std": True, "max_new_tokens": 7, "overlong_buffer": 0, "overlong_filter": False}
    return Shaping(reward, parts, **defaults | settings)


class Paid(RewardPart):
    """Pays what it is told."""

    def __init__(self, name, weight, values, branch=OLD) -> None:
        self.name, self.weight, self.paid, self.branch = name, weight, torch.tensor(values), branch

    def passes(self):
        return {self.branch: Need()}

    def values(self, scores, response_mask, correct):
        return self.paid


def unscorable(rollouts, *rows) -> Rollouts:
    return replace(
        rollouts,
        rewards=tuple(replace(result, scorable=row not in rows) for row, result in enumerate(rollouts.rewards)),
    )


# ---------------------------------------------------------------------------------------------------------- the reward


def test_without_further_parts_the_reward_is_that_of_the_text(rollouts):
    shaped = shaping()(rollouts)
    assert shaped.rewards == rollouts.rewards
    assert torch.equal(shaped.advantages, group_advantages(torch.tensor(TOTALS), 2))
    assert torch.equal(shaped.trained, rollouts.responses.response_mask)


def test_a_part_is_weighed_into_the_total_and_kept_as_it_is(rollouts):
    values = [0.1 * row for row in range(10)]
    shaped = shaping(parts=[Paid("ref_kl", -0.5, values)])(rollouts)
    assert [result.parts["ref_kl"] for result in shaped.rewards] == pytest.approx(values)
    expected = [total - 0.5 * value for total, value in zip(TOTALS, values, strict=True)]
    assert [result.total for result in shaped.rewards] == pytest.approx(expected)
    torch.testing.assert_close(shaped.advantages, group_advantages(shaped.totals, 2))
    assert "ref_kl" not in rollouts.rewards[0].parts  # a reward never changes in place


def test_the_length_penalty_is_a_part(rollouts):
    """Over the last 4 tokens of 7, by hand."""
    shaped = shaping(overlong_buffer=4)(rollouts)
    penalties = [-1, 0, -0.5, -0.75, 0, 0, -1, -1, 0, -0.25]
    assert [result.parts["overlong"] for result in shaped.rewards] == penalties
    expected = [total + penalty for total, penalty in zip(TOTALS, penalties, strict=True)]
    assert [result.total for result in shaped.rewards] == expected


def test_a_part_of_the_reward_comes_first_and_those_of_terms_last(rollouts):
    class Grader(Paid):
        """A reward that a part of itself depends on scores."""

    reward = Grader("perception", 0.5, [1.0] * 10, Branch("rollout", "corrupted"))
    whole = shaping(reward, [Paid("ref_kl", -0.1, [2.0] * 10, REFERENCE)], overlong_buffer=4)
    assert list(whole(rollouts).rewards[0].parts) == ["accuracy", "perception", "overlong", "ref_kl"]
    assert whole(rollouts).rewards[1].total == pytest.approx(0.0 + 0.5 - 0.2)


def test_the_branches_that_rewards_depend_on():
    assert shaping().passes() == {}
    assert shaping(Reward(), overlong_buffer=4).passes() == {}
    reward = PerceptionReward(Reward(), 0.5, 0.2, True)
    kl = ReferenceKL(0.1, place="reward").reward_parts()
    assert shaping(reward, kl).passes() == {OLD: Need(), Branch("rollout", "corrupted"): Need(), REFERENCE: Need()}


def test_the_reference_kl_of_a_response_is_the_sum_over_its_tokens(rollouts):
    """beta times 0.25 nats a token, k1; junk behind the end of a response."""
    mask = rollouts.responses.response_mask
    logprobs = torch.zeros(mask.shape).masked_fill(~mask, -9.0)
    other = torch.full(mask.shape, -0.25).masked_fill(~mask, 5.0)
    scores = {OLD: Scores(logprobs, logprobs), REFERENCE: Scores(other, other)}
    parts = ReferenceKL(0.4, "k1", place="reward").reward_parts()
    shaped = shaping(parts=parts)(replace(rollouts, scores=scores))
    assert [result.parts["ref_kl"] for result in shaped.rewards] == pytest.approx([0.25 * n for n in LENGTHS])
    expected = [total - 0.1 * length for total, length in zip(TOTALS, LENGTHS, strict=True)]
    assert [result.total for result in shaped.rewards] == pytest.approx(expected)


def test_add_part_by_hand():
    result = RewardResult(0.5, {"accuracy": 1.0}, "7", True)
    assert add_part(result, 0.25, "new", 2.0) == RewardResult(1.0, {"accuracy": 1.0, "new": 0.25}, "7", True)


# ------------------------------------------------------------------------------------------------ advantages and tokens


def test_advantages_without_the_standard_deviation(rollouts):
    assert shaping(normalize_std=False)(rollouts).advantages.tolist() == [0.5, -0.5, 0, 0, 0, 0, -0.25, 0.25, 0, 0]


def test_responses_that_were_cut_off_can_be_left_out(rollouts):
    shaped = shaping(overlong_filter=True)(rollouts)
    assert shaped.trained.any(-1).tolist() == [length < 7 for length in LENGTHS]
    kept = rollouts.responses.finished
    assert torch.equal(shaped.trained[kept], rollouts.responses.response_mask[kept])
    assert shaped.advantages[0] != 0  # it still is what the others of its group are compared with


def test_nothing_is_learnt_from_the_group_of_an_item_that_cannot_be_graded(rollouts):
    shaped = shaping()(unscorable(rollouts, 0))
    assert shaped.advantages[:2].tolist() == [0.0, 0.0]
    assert not shaped.trained[:2].any()
    assert torch.equal(shaped.trained[2:], rollouts.responses.response_mask[2:])
    assert shaped.advantages[6] != 0


# ---------------------------------------------------------------------------------------------------------------- alive


def test_groups_are_alive_whose_rewards_differ_and_can_be_graded(rollouts):
    assert alive(rollouts) == [0, 3]
    assert alive(unscorable(rollouts, 1)) == [3]


def test_a_group_of_which_nothing_is_left_is_not_alive(rollouts):
    """Both responses to the fourth prompt were cut off, one to the first."""
    cut_off = replace(rollouts, rewards=tuple(RewardResult(float(n % 2), {}, None, True) for n in range(10)))
    assert alive(shaping()(cut_off)) == [0, 1, 2, 3, 4]
    assert alive(shaping(overlong_filter=True)(cut_off)) == [0, 1, 2, 4]


def test_groups_are_counted_alive_after_the_whole_reward(rollouts):
    """A length penalty, or what terms pay, makes rewards differ that the text made equal, and the other way round."""
    assert alive(shaping(overlong_buffer=4)(rollouts)) == [1, 3, 4]  # 1 - 1 and 0 are the first group's
    paid = [0.0] * 10
    paid[4] = 0.5
    assert alive(shaping(parts=[Paid("ref_kl", -1.0, paid)])(rollouts)) == [0, 2, 3]
    assert alive(shaping(parts=[Paid("ref_kl", 1.0, [0, 0, 0, 0, 0, 0, 0.5, 0, 0, 0])])(rollouts)) == [0]
