"""pass@m and maj@k, by hand and by counting subsets."""

import itertools
import math

import pytest

from papo.evaluation.metrics import majority, pass_at


@pytest.mark.parametrize(("right", "k"), [(0, 4), (1, 4), (3, 5), (4, 4), (2, 8)])
def test_pass_at_m_is_the_share_of_subsets_with_a_right_answer(right, k):
    answers = [True] * right + [False] * (k - right)
    for m in range(1, k + 1):
        subsets = list(itertools.combinations(answers, m))
        assert pass_at(m, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_pass_at_m_has_no_bias():
    """E[pass@m from k samples] = 1 - (1 - p)^m, its closed form."""
    p, k = 0.3, 8
    for m in (1, 2, 4, 8):
        expected = sum(math.comb(k, c) * p**c * (1 - p) ** (k - c) * pass_at(m, c, k) for c in range(k + 1))
        assert expected == pytest.approx(1 - (1 - p) ** m, abs=1e-12)


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        (["4", "4", "5"], [True, True, False], 1.0),
        (["4", "5", "5"], [True, False, False], 0.0),
        (["4", "5"], [True, False], 0.5),
        (["4", "5", "6"], [True, False, False], 1 / 3),
        (["Red", "red ", "blue", "blue", "RED"], [True, True, False, False, True], 1.0),
        ([None, None, None, "4"], [False, False, False, True], 1.0),
        ([None, None], [False, False], 0.0),
    ],
)
def test_the_majority(answers, right, expected):
    assert majority(answers, right) == pytest.approx(expected)
