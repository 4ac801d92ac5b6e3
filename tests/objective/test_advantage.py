"""Group-relative advantages against numbers worked out by hand."""

import math

import pytest
import torch

from papo.objective import group_advantages, zero_std_groups


def test_hand_computed():
    # (1, 0, 0, 1): mean 1/2, unbiased variance 4 * (1/4) / 3 = 1/3.
    # (2, 4, 6, 8): mean 5, unbiased variance (9 + 1 + 1 + 9) / 3 = 20/3.
    rewards = torch.tensor([1, 0, 0, 1, 2, 4, 6, 8], dtype=torch.float64)
    a = 0.5 / (math.sqrt(1 / 3) + 1e-6)
    b = math.sqrt(20 / 3) + 1e-6
    expected = torch.tensor([a, -a, -a, a, -3 / b, -1 / b, 1 / b, 3 / b], dtype=torch.float64)
    torch.testing.assert_close(group_advantages(rewards, 4), expected, rtol=0, atol=1e-12)


def test_groups_are_rows_side_by_side():
    rewards = torch.tensor([0.0, 1.0, 5.0, 5.5])
    expected = torch.tensor([-1.0, 1.0, -1.0, 1.0]) / math.sqrt(2)
    torch.testing.assert_close(group_advantages(rewards, 2), expected, rtol=0, atol=1e-5)


def test_epsilon_damps_a_spread_of_its_own_size():
    """Rewards 2e-6 apart: deviation 1e-6 over (sqrt(2) * 1e-6 + 1e-6)."""
    rewards = torch.tensor([0.0, 2e-6], dtype=torch.float64)
    expected = 1 / (math.sqrt(2) + 1)
    torch.testing.assert_close(group_advantages(rewards, 2), torch.tensor([-expected, expected], dtype=torch.float64))


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.9, 0.1, 1 / 3, 0.7, 1e9])
@pytest.mark.parametrize("group_size", [2, 3, 5, 7, 16])
def test_equal_rewards_give_exactly_zero(reward, group_size):
    rewards = torch.cat([torch.full((group_size,), reward), torch.arange(group_size).float()])
    advantages = group_advantages(rewards, group_size)
    assert torch.equal(advantages[:group_size], torch.zeros(group_size))
    assert (advantages[group_size:] != 0).sum() >= group_size - 1  # the neighbouring group still learns


def test_rewards_are_not_modified():
    rewards = torch.tensor([0.9, 0.9, 0.0, 1.0])
    before = rewards.clone()
    group_advantages(rewards, 2)
    assert torch.equal(rewards, before)


def test_zero_std_groups():
    rewards = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9])
    assert zero_std_groups(rewards, 3).tolist() == [True, False, False]


def test_zero_std_means_equal_and_not_merely_close():
    """A spread whose square underflows is still a spread."""
    assert zero_std_groups(torch.tensor([0.0, 1e-200, 0.5, 0.5], dtype=torch.float64), 2).tolist() == [False, True]
