"""The interval over seeds and items: by hand at its ends, by simulation in between."""

import math

import numpy as np
import pytest
from scipy import stats

from papo.statistics import mean_difference, mean_over_items
from papo.study.crossed import crossed, half_length

ONE_EACH = np.arange(64)


def test_one_seed_gives_the_interval_over_items():
    values = np.random.default_rng(0).normal(0.1, 0.3, (1, 64))
    found, plain = crossed(values, ONE_EACH), mean_difference([0.0] * 64, values[0].tolist())
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx(plain.ci95)
    assert (found.seeds, found.pictures, found.var_seed) == (1, 64, 0)


def test_one_value_a_seed_gives_students_interval():
    values = np.array([[1.0], [2.0], [6.0]])
    found = crossed(values, np.array([0]))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 2) * values.std(ddof=1) / math.sqrt(3))


def test_one_value_has_no_interval():
    assert math.isnan(crossed(np.array([[0.5]]), np.array([0])).half)


def test_items_of_one_picture_count_once():
    values = np.random.default_rng(1).normal(size=(3, 64))
    twice = crossed(np.repeat(values, 2, axis=1), np.repeat(ONE_EACH, 2))
    assert twice.half == pytest.approx(crossed(values, ONE_EACH).half)
    assert twice.pictures == 64


def test_the_mean_weighs_items_alike_whatever_picture_they_are_of():
    assert crossed(np.array([[0.0, 0.0, 0.0, 1.0]] * 2), np.array([0, 0, 0, 1])).mean == 0.25


def test_what_items_have_in_common_over_seeds_does_not_shrink_with_seeds():
    """Taking seeds for so many more items, which is the usual mistake, would."""
    hard = np.random.default_rng(2).normal(0, 0.3, 64)
    noise = np.random.default_rng(3).normal(0, 1e-3, (8, 64))
    found = crossed(hard + noise, ONE_EACH)
    assert found.half == pytest.approx(stats.t.ppf(0.975, 63) * hard.std(ddof=1) / 8, rel=0.01)


def test_the_parts_of_the_variance_are_found():
    rng = np.random.default_rng(4)
    values = rng.normal(0, 0.2, (60, 1)) + rng.normal(0, 0.3, 400) + rng.normal(0, 0.5, (60, 400))
    found = crossed(values, np.arange(400))
    parts = [math.sqrt(part) for part in (found.var_seed, found.var_picture, found.var_rest)]
    assert parts == pytest.approx([0.2, 0.3, 0.5], rel=0.2)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_the_multiplier_is_exact_where_one_part_is_alone(seeds):
    assert half_length(1.0, 0.0, seeds, 100) == pytest.approx(stats.t.ppf(0.975, seeds - 1))
    assert half_length(0.0, 1.0, seeds, 100) == pytest.approx(stats.t.ppf(0.975, 99))


# In units of the rest's deviation: seeds alike, as different as makes both parts equal, and far apart.
@pytest.mark.parametrize("sd_seed", [0.0, 0.06, 1.0])
@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_nineteen_intervals_in_twenty_hold_the_effect(seeds, sd_seed):
    rng = np.random.default_rng(seeds)
    held = 0
    for _ in range(600):
        values = 0.1 + sd_seed * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=64) + rng.normal(size=(seeds, 64))
        found = crossed(values, ONE_EACH)
        held += abs(found.mean - 0.1) <= found.half
    assert 0.93 - 0.018 <= held / 600 <= 0.97 + 0.018  # 93 to 97 %, and two deviations of 600 draws


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("right", [0.95, 0.98, 0.99, 0.995, 0.999])
@pytest.mark.parametrize(("seeds", "items"), [(2, 64), (3, 16), (3, 256)])
def test_intervals_of_what_nearly_all_get_right_hold_it(seeds, items, right, samples):
    """Where most studies have a seed or two, or none, with a wrong answer; and the difference of two such arms."""
    rng = np.random.default_rng(items)
    held, same = 0, 0
    for _ in range(400):
        chance = rng.beta(20 * right, 20 * (1 - right), items)
        arm, other = (rng.binomial(samples, chance, (seeds, items)) / samples for _ in range(2))
        low, high = crossed(arm, np.arange(items)).of_share
        held += low <= right <= high
        low, high = crossed(arm - other, np.arange(items)).of_difference(1)
        same += low <= 0 <= high
    assert held / 400 >= 0.93 - 0.025  # two deviations of 400 draws
    assert same / 400 >= 0.93 - 0.025


def test_seeds_that_cancel_are_not_certain():
    """As many right answers, to other items: the seeds' means agree, and so do the pictures'."""
    values = np.ones((2, 16))
    values[0, :8] = values[1, 8:] = 0
    found = crossed(values, np.arange(16))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 15) * math.sqrt(found.var_rest / 32))
    plain = mean_over_items([0.0, 1.0] * 8).ci95
    assert found.of_share == pytest.approx((min(plain[0], 0.5 - found.half), max(plain[1], 0.5 + found.half)))
    low, high = found.of_difference(1)
    assert low <= 0.5 - found.half
    assert high >= 0.5 + found.half


def test_an_interval_within_its_range_is_not_widened():
    values = np.random.default_rng(0).integers(0, 2, (3, 64)).astype(float)
    found = crossed(values, ONE_EACH)
    assert (
        found.of_share
        == found.of_difference(1)
        == found.unbounded
        == (found.mean - found.half, found.mean + found.half)
    )
