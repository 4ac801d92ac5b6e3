"""avg@k with its interval: against numpy, and against the truth in repeated experiments."""

import json

import numpy as np
import pytest

from papo.evaluation.metrics import Estimate, mean_over_items


@pytest.mark.parametrize("n", [2, 3, 7, 256])
def test_mean_and_interval_are_numpys(n):
    values = np.random.default_rng(n).binomial(8, 0.4, n) / 8
    estimate = mean_over_items(values.tolist())
    half = 1.959964 * values.std(ddof=1) / np.sqrt(n)
    assert estimate.n == n
    assert estimate.mean == pytest.approx(values.mean(), abs=1e-12)
    assert estimate.ci95 == pytest.approx((max(0, values.mean() - half), min(1, values.mean() + half)), abs=1e-6)


def test_by_hand():
    """Mean 0.5, deviations 0.25, 0, 0.25: s = 0.25, so the interval is 0.5 +- 1.96 * 0.25 / sqrt(3)."""
    estimate = mean_over_items([0.25, 0.5, 0.75])
    assert (estimate.mean, estimate.n) == (0.5, 3)
    assert estimate.ci95 == pytest.approx((0.217104, 0.782896), abs=1e-6)


def test_one_item_has_no_spread():
    assert mean_over_items([0.25]) == Estimate(0.25, (0.25, 0.25), 1)


def test_the_interval_stays_between_none_and_all():
    estimate = mean_over_items([0.0] * 9 + [1.0])
    assert estimate.ci95[0] == 0.0
    assert 0.1 < estimate.ci95[1] < 1
    estimate = mean_over_items([1.0] * 9 + [0.0])
    assert estimate.ci95[1] == 1.0
    assert 0 < estimate.ci95[0] < 0.9
    assert mean_over_items([1.0] * 5) == Estimate(1.0, (1.0, 1.0), 5)


def test_no_items_have_no_mean():
    with pytest.raises(ValueError, match="no items"):
        mean_over_items([])


@pytest.mark.parametrize(("a", "b"), [(2.0, 2.0), (0.5, 0.5), (1.0, 3.0)])
def test_95_of_100_intervals_hold_the_truth(a, b):
    """Items of beta-distributed difficulty, 8 responses each, measured 2000 times.

    The responses of an item share its difficulty: an interval over responses would be right far less often.
    """
    rng = np.random.default_rng(0)
    difficulty = rng.beta(a, b, (2000, 64))
    accuracies = rng.binomial(8, difficulty) / 8
    intervals = np.array([mean_over_items(row).ci95 for row in accuracies.tolist()])
    truth = a / (a + b)
    coverage = ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean()
    assert 0.93 <= coverage <= 0.97


def test_an_estimate_is_json_and_text():
    estimate = Estimate(0.5, (0.25, 0.753), 12)
    assert json.loads(json.dumps(estimate.to_dict())) == {"mean": 0.5, "ci95": [0.25, 0.753], "n": 12}
    assert str(estimate) == "50.0 [25.0, 75.3]"
