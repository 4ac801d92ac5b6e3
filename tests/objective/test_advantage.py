"""Group-relative advantages against numbers worked out by hand."""

import math

import pytest
import torch

from papo.objective import group_advantages, zero_std_groups

from . import slow


@pytest.mark.parametrize("normalize_std", [True, False])
@pytest.mark.parametrize("group_size", [2, 3, 4, 6])
def test_against_the_slow_one(normalize_std, group_size):
    generator = torch.Generator().manual_seed(group_size)
    rewards = torch.randint(0, 4, (12,), generator=generator).double() / 3
    rewards[:group_size] = 0.9
    got = group_advantages(rewards, group_size, normalize_std=normalize_std)
    expected = slow.advantages(rewards.tolist(), group_size, normalize_std)
    assert got.tolist() == pytest.approx(expected, abs=1e-9)
    assert got.count_nonzero() > 0


def test_without_the_spread_by_hand():
    """Dr. GRPO: the distance from the mean, whatever the spread."""
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 2.0, 4.0, 6.0, 8.0])
    got = group_advantages(rewards, 4, normalize_std=False)
    assert got.tolist() == [0.5, -0.5, -0.5, 0.5, -3.0, -1.0, 1.0, 3.0]


def test_the_spread_is_divided_by_unless_said_otherwise():
    rewards = torch.tensor([0.0, 0.1, 0.5, 1.0])
    assert torch.equal(group_advantages(rewards, 2), group_advantages(rewards, 2, normalize_std=True))
    assert not torch.equal(group_advantages(rewards, 2), group_advantages(rewards, 2, normalize_std=False))


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
@pytest.mark.parametrize("normalize_std", [True, False])
def test_equal_rewards_give_exactly_zero(reward, group_size, normalize_std):
    rewards = torch.cat([torch.full((group_size,), reward), torch.arange(group_size).float()])
    advantages = group_advantages(rewards, group_size, normalize_std=normalize_std)
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
