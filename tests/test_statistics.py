"""Estimates and intervals: by hand, against a second implementation, and against the truth in repeated experiments."""

import json
import math

import numpy as np
import pytest

from papo.statistics import Estimate, Power, mean_difference, mean_over_items
from papo.study.crossed import crossed

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


@pytest.mark.parametrize("value", [1 / 3, 0.1, 0.7])
def test_rounding_is_no_disagreement(value):
    """The mean of three times 0.7 is another number than 0.7."""
    assert mean_over_items([value] * 3).ci95 == pytest.approx(wilson(value, 3, QUANTILES[3]), abs=1e-6)
    low, high = mean_difference([1 / 3, 2 / 3, 0], [2 / 3, 1, 1 / 3]).ci95
    assert high - low > 1
    low, high = mean_difference(*np.float32([[0, 1 / 3, 2 / 3], [1 / 3, 2 / 3, 1]]).tolist()).ci95
    assert high - low > 1
    assert not Power.of([1 / 3, 2 / 3], [2 / 3, 1]).known


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


@pytest.mark.parametrize(
    ("difference", "bound", "interval"),
    [
        # t(4)^2 = 7.708650, so q = 7.708650 / 12.708650 = 0.606567.
        (0.0, 1.0, (-0.606567, 0.606567)),
        (0.5, 1.0, (0.5 - 1.5 * 0.606567, 0.5 + 0.5 * 0.606567)),
        (-1.0, 1.0, (-1.0, -1.0 + 2 * 0.606567)),
        (0.0, 2.0, (-2 * 0.606567, 2 * 0.606567)),
    ],
)
def test_items_that_differ_alike_leave_doubt(difference, bound, interval):
    assert mean_difference([0.0] * 5, [difference] * 5, bound=bound).ci95 == pytest.approx(interval, abs=1e-5)
    pictures = list("aabbccddee")
    assert mean_difference([0.0] * 10, [difference] * 10, pictures, bound).ci95 == pytest.approx(interval, abs=1e-5)


def test_items_that_differ_alike_leave_the_doubt_of_a_share():
    """A gain of everything is as sure as that everything is right."""
    gained, right = mean_difference([0.0] * 40, [1.0] * 40), mean_over_items([1.0] * 40)
    assert (gained.ci95[0] + 1) / 2 == pytest.approx(right.ci95[0])


def test_95_of_100_intervals_hold_a_rare_difference():
    """One item of 50 differs, so that a sample of 100 has none in 13 of 100 cases."""
    drawn = np.random.default_rng(9).binomial(1, 0.02, (REPETITIONS, 100)).astype(float)
    assert coverage(0.02, [mean_difference([0.0] * 100, row) for row in drawn.tolist()]) >= 0.93


def test_a_difference_of_differences_lies_between_minus_2_and_2():
    """Differences 2, 1.5, 2, 1.5: mean 1.75, s = 0.288675, t(3) = 3.182446, half width 0.459347."""
    first, second = [-1.0, -0.75, -1.0, -0.5], [1.0, 0.75, 1.0, 1.0]
    estimate = mean_difference(first, second, bound=2.0)
    assert estimate.ci95 == pytest.approx((1.75 - 0.459347, 2.0), abs=1e-5)
    assert mean_difference(first[:1], second[:1], bound=2.0).ci95 == (-2.0, 2.0)
    assert mean_difference(first, second).ci95 == estimate.ci95  # a bound that does not hold is none


def test_only_the_same_items_can_be_paired():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        mean_difference([0.5], [0.5, 0.5])


def test_an_estimate_is_json_and_text():
    estimate = Estimate(0.5, (0.25, 0.753), 12)
    assert json.loads(json.dumps(estimate.to_dict())) == {"mean": 0.5, "ci95": [0.25, 0.753], "n": 12}
    assert str(estimate) == "50.0 [25.0, 75.3]"


# --------------------------------------------------------------------------------------- several items about a picture


def about_pictures(rng: np.random.Generator, pictures: int) -> tuple[list[float], list[float], list[int]]:
    """Answers of two models to 1 to 6 questions about each picture, of which some are hard; and the pictures."""
    of = np.repeat(np.arange(pictures), rng.integers(1, 7, pictures))
    difficulty, gain = rng.beta(1.5, 1.5, pictures)[of], rng.normal(0.05, 0.15, pictures)[of]
    first = rng.binomial(1, difficulty)
    second = rng.binomial(1, np.clip(difficulty + gain, 0, 1))
    return first.tolist(), second.tolist(), of.tolist()


def test_items_about_a_picture_of_their_own_change_nothing():
    values = np.random.default_rng(3).binomial(4, 0.3, 40) / 4
    own = [f"p{n}" for n in range(40)]
    assert mean_over_items(values.tolist(), own) == mean_over_items(values.tolist())
    assert mean_difference([0.5] * 40, values.tolist(), own) == mean_difference([0.5] * 40, values.tolist())


def test_by_hand_with_two_items_about_one_picture():
    """Differences 0.1, 0.1, 0, 0, pictures a, a, b, c: e is 0.05, 0.05, -0.05, -0.05, and by picture 0.1, -0.05, -0.05.

    Variance 3/2 * 0.015 / 16 = 0.00140625, its root 0.0375; t(2) = 4.302653, so the half width is 0.16135.
    """
    estimate = mean_difference([0, 0, 0, 0], [0.1, 0.1, 0, 0], list("aabc"))
    assert estimate.ci95 == pytest.approx((0.05 - 0.16135, 0.05 + 0.16135), abs=1e-5)
    assert (estimate.n, estimate.pictures) == (4, 3)
    assert estimate.to_dict() == {"mean": 0.05, "ci95": list(estimate.ci95), "n": 4, "pictures": 3}


def test_two_ways_to_the_same_interval():
    """That of studies, over seeds and pictures, with one seed."""
    first, second, pictures = about_pictures(np.random.default_rng(4), 60)
    estimate = mean_difference(first, second, pictures)
    other = crossed(np.array([second]) - np.array([first]), np.array(pictures))
    assert estimate.mean == pytest.approx(other.mean)
    assert estimate.ci95[1] - estimate.mean == pytest.approx(other.half)


def test_the_order_and_the_names_of_pictures_do_not_matter():
    first, second, pictures = about_pictures(np.random.default_rng(5), 20)
    order = np.random.default_rng(6).permutation(len(first))
    mixed = mean_difference(*([of[i] for i in order] for of in (first, second)), [f"x{pictures[i]}" for i in order])
    assert mixed.ci95 == pytest.approx(mean_difference(first, second, pictures).ci95)


def test_95_of_100_intervals_over_pictures_hold_the_truth():
    rng = np.random.default_rng(7)
    # Over all pictures that there could be: of each as many items as chance says, so that the mean is a ratio.
    drawn = [about_pictures(rng, 80) for _ in range(REPETITIONS)]
    truth = np.mean([np.mean(second) - np.mean(first) for first, second, _ in drawn])
    level = np.mean([np.mean(first) for first, _, _ in drawn])
    assert 0.93 <= coverage(truth, [mean_difference(*of) for of in drawn]) <= 0.97
    assert 0.93 <= coverage(level, [mean_over_items(first, of) for first, _, of in drawn]) <= 0.97
    assert coverage(level, [mean_over_items(first) for first, _, of in drawn]) < 0.9  # what pictures are there for


def test_one_picture_says_nothing_about_others():
    assert mean_over_items([0.0, 1.0], ["a", "a"]).ci95 == (0.0, 1.0)
    assert mean_difference([0.0, 1.0], [1.0, 1.0], ["a", "a"]).ci95 == (-1.0, 1.0)
    assert not Power.of([0.0, 1.0], [1.0, 1.0], ["a", "a"]).known


def test_every_item_has_a_picture():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        mean_over_items([0.5, 0.5], ["a"])


# ---------------------------------------------------------------------------------------------------------------- power


def test_what_is_detectable_is_seen_four_times_in_five():
    """Differences of normal deviation 0.4 whose true mean is just that."""
    power = Power(0.4, 100)
    rng = np.random.default_rng(8)
    second = rng.normal(power.detectable(), 0.4, (REPETITIONS, 100))
    seen = [mean_difference([0.0] * 100, row).ci95[0] > 0 for row in second.tolist()]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("difference", [0.01, 0.05, 0.2])
def test_as_few_items_as_can_be(difference):
    power = Power(0.4, 100, share=0.5)
    n = power.items_for(difference)
    assert power.detectable(n) <= difference < power.detectable(n - 1)


def test_power_by_hand():
    """(1.984217 + 0.841621) 0.5 / sqrt(100) = 0.14129 with t(99); for many items (1.959964 + 0.841621)^2 0.25 / d^2."""
    assert Power(0.5, 100).detectable() == pytest.approx(0.14129, abs=1e-5)
    assert Power(0.5, 100).items_for(0.001) == pytest.approx(2.801585**2 * 0.25 / 0.001**2, rel=1e-4)
    assert Power.of([0.0] * 4, [0.1, 0.1, 0, 0], list("aabc")).deviation == pytest.approx(0.0375 * 2)


def test_power_counts_pictures_where_items_share_them():
    """Ten items about five pictures: t(4) = 2.776445, not t(9)."""
    assert Power(0.5, 10, share=0.5).detectable() == pytest.approx(
        (2.776445 + 0.841621) * 0.5 / math.sqrt(10), abs=1e-5
    )


def test_differences_that_nobody_can_see():
    assert Power.of([0.5, 0.5], [0.5, 0.5]).items_for(0.01) is None
    assert Power(1.0, 10).items_for(1e-9) is None
    with pytest.raises(ValueError, match="difference must be positive, got 0"):
        Power(0.5, 10).items_for(0)
