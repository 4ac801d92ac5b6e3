"""Estimates and intervals: by hand, against a second implementation, and against the truth in repeated experiments."""

import json
import math

import numpy as np
import pytest

from papo.statistics import Estimate, mean_difference, mean_over_items

REPETITIONS = 2000


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """The roots of (p - x)^2 = z^2 x (1 - x) / n."""
    a, b, c = 1 + z**2 / n, -(2 * p + z**2 / n), p**2
    root = math.sqrt(b**2 - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


# Of Student's t, from a table: two-sided 95 % quantiles at n - 1 degrees of freedom.
QUANTILES = {3: 4.302653, 5: 2.776445, 11: 2.228139, 31: 2.042272, 256: 1.969311}


@pytest.mark.parametrize("n", QUANTILES)
def test_the_interval_solves_wilsons_equation(n):
    values = np.random.default_rng(n).binomial(8, 0.4, n) / 8
    p = values.mean()
    estimate = mean_over_items(values.tolist())
    independent = p * (1 - p) / (values.var(ddof=1) / n)
    assert (estimate.mean, estimate.n) == (pytest.approx(p, abs=1e-12), n)
    assert estimate.ci95 == pytest.approx(wilson(p, independent, QUANTILES[n]), abs=1e-6)


def test_by_hand():
    """Mean 0.5, s^2 = 1/16: s^2 / n is 1/48, as of 12 answers; t(2) = 4.3027, so t^2 / 12 = 1.5427.

    Centre 0.5; half width sqrt(1.5427 (0.25 + 0.38568)) / 2.5427 = 0.38946.
    """
    assert mean_over_items([0.25, 0.5, 0.75]).ci95 == pytest.approx((0.11054, 0.88946), abs=1e-4)


def test_one_item_says_nothing_about_others():
    assert mean_over_items([0.25]) == Estimate(0.25, (0.0, 1.0), 1)
    assert mean_difference([0.25], [0.5]) == Estimate(0.25, (-1.0, 1.0), 1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_items_that_agree_leave_doubt(value):
    """n equal items are n answers, not certainty."""
    low, high = mean_over_items([value] * 50).ci95
    assert 0 <= low <= value <= high <= 1
    assert 0.02 < high - low < 0.3


def test_no_items_have_no_mean():
    with pytest.raises(ValueError, match="no items"):
        mean_over_items([])
    with pytest.raises(ValueError, match="no items"):
        mean_difference([], [])


def coverage(truth: float, estimates: list[Estimate]) -> float:
    return np.mean([low <= truth <= high for low, high in (estimate.ci95 for estimate in estimates)])


@pytest.mark.parametrize(
    ("mean", "concentration", "k"),
    [(0.5, 4.0, 8), (0.5, 1.0, 8), (0.25, 4.0, 8), (0.9, 5.0, 8), (0.1, 5.0, 8), (0.3, 0.3, 1), (0.05, 5.0, 4)],
)
def test_95_of_100_intervals_hold_the_truth(mean, concentration, k):
    """Items of beta-distributed difficulty, k responses each: the responses of an item share its difficulty."""
    rng = np.random.default_rng(0)
    difficulty = rng.beta(mean * concentration, (1 - mean) * concentration, (REPETITIONS, 100))
    accuracies = rng.binomial(k, difficulty) / k
    assert 0.93 <= coverage(mean, [mean_over_items(row) for row in accuracies.tolist()]) <= 0.97


def correlated(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of two models on the same items; the second is 5 points better, on the items that are easy to both."""
    difficulty = rng.beta(1.0, 1.0, shape)
    return rng.binomial(8, 0.9 * difficulty) / 8, rng.binomial(8, difficulty) / 8


def test_95_of_100_paired_intervals_hold_the_difference():
    first, second = correlated(np.random.default_rng(1), (REPETITIONS, 100))
    estimates = [mean_difference(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert 0.93 <= coverage(0.05, estimates) <= 0.97


def test_pairing_narrows_the_interval_of_correlated_models():
    first, second = (x[0].tolist() for x in correlated(np.random.default_rng(2), (1, 100)))
    low, high = mean_difference(first, second).ci95
    widths = [b - a for a, b in (mean_over_items(x).ci95 for x in (first, second))]
    assert high - low < 0.6 * math.hypot(*widths)


def test_difference_by_hand():
    """Differences 0.5, 0, 0.25: mean 0.25, s = 0.25, t(2) = 4.3027, half width 4.3027 * 0.25 / sqrt(3) = 0.6210."""
    estimate = mean_difference([0.0, 0.5, 0.25], [0.5, 0.5, 0.5])
    assert (estimate.mean, estimate.n) == (0.25, 3)
    assert estimate.ci95 == pytest.approx((-0.3710, 0.8710), abs=1e-4)


def test_only_the_same_items_can_be_paired():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        mean_difference([0.5], [0.5, 0.5])


def test_an_estimate_is_json_and_text():
    estimate = Estimate(0.5, (0.25, 0.753), 12)
    assert json.loads(json.dumps(estimate.to_dict())) == {"mean": 0.5, "ci95": [0.25, 0.753], "n": 12}
    assert str(estimate) == "50.0 [25.0, 75.3]"
