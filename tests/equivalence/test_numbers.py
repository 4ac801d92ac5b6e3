"""Bounded arithmetic by hand."""

import math
from fractions import Fraction
from itertools import combinations, permutations
from string import ascii_letters, ascii_lowercase

import pytest

from papo.equivalence.numbers import (
    BITS,
    FIRST,
    FURTHER,
    NEAR_ZERO,
    POINTS,
    RANGES,
    bounded,
    close,
    constant,
    exact_root,
    factor,
    mapped,
    power,
    same,
    variable,
)
from papo.equivalence.tokens import GREEK

F = Fraction


@pytest.mark.parametrize(
    ("base", "exponent", "result"),
    [
        (F(2), F(10), F(1024)),
        (F(2, 3), F(-2), F(9, 4)),
        (F(0), F(0), F(1)),
        (F(0), F(5), F(0)),
        (F(0), F(10**100), F(0)),
        (F(1), F(10**100), F(1)),
        (F(-1), F(10**100), F(1)),
        (F(-1), F(10**100 + 1), F(-1)),
        (F(4), F(1, 2), F(2)),
        (F(4, 9), F(3, 2), F(8, 27)),
        (F(8), F(1, 3), F(2)),
        (F(-8), F(1, 3), F(-2)),
        (F(-8), F(2, 3), F(4)),
        (F(2), F(1, 2), math.sqrt(2)),
        (F(-2), F(1, 3), -(2 ** (1 / 3))),
        (F(-2), F(2, 3), 2 ** (2 / 3)),
        (F(3, 2), F(1500), 1.5**1500),  # too long to stay exact
        (2.0, F(3), 8.0),
        (-2.0, F(3), -8.0),
        (F(2), 0.5, math.sqrt(2)),
        (F(2), -1.0, 0.5),
    ],
)
def test_power(base, exponent, result):
    found = power(base, exponent)
    assert type(found) is type(result)
    assert found == pytest.approx(result, rel=1e-14)


@pytest.mark.parametrize(
    ("base", "exponent"),
    [
        (F(-4), F(1, 2)),
        (F(-2), 0.5),
        (F(0), F(-1)),
        (F(0), -0.5),
        (F(9), F(9**9)),
        (F(10), F(400)),
        (F(9) ** 100, F(9) ** 100),
    ],
)
def test_what_has_no_value_is_undefined(base, exponent):
    assert mapped(power, constant(base), constant(exponent)) == (None,) * POINTS


@pytest.mark.parametrize(
    ("base", "degree", "root"),
    [
        (F(27, 8), 3, F(3, 2)),
        (F(-27), 3, F(-3)),
        (F(-4), 2, None),
        (F(2), 2, None),
        (F(10**40), 2, F(10**20)),
        (F(0), 2, F(0)),
        (4.0, 2, None),
        (F(1), BITS + 1, None),
        (F(1), BITS, F(1)),
    ],
)
def test_exact_root(base, degree, root):
    assert exact_root(base, degree) == root


def test_fractions_stay_exact_while_they_are_short():
    assert bounded(F(2**BITS - 1)) == F(2**BITS - 1)
    assert bounded(F(2**BITS)) is None  # no integer that has a float is ever rounded
    assert bounded(F(10**150 + 1, 10**350)) == float(F(10**150 + 1, 10**350))
    assert isinstance(bounded(F(10**150 + 1, 10**350)), float)
    assert bounded(math.inf) is None
    assert bounded(math.nan) is None
    assert bounded(None) is None


def test_undefined_stays_undefined():
    a = (F(1), None, F(0), F(2))
    assert mapped(lambda x: 1 / x, a) == (F(1), None, None, F(1, 2))
    assert mapped(lambda x, y: x + y, a, a) == (F(2), None, F(0), F(4))
    assert mapped(math.exp, (F(1000), F(0))) == (None, 1.0)
    assert mapped(math.log, (F(-1), F(1))) == (None, 0.0)


def test_equality():
    assert close(F(1, 3), F(1, 3), 1.0)
    assert not close(F(10**30), F(10**30 + 1), 1.0)
    assert close(1 / 3, F(1, 3), 0.0)
    assert close(1.0, 1.0 + 5e-10, 0.0)
    assert not close(1.0, 1.0 + 5e-9, 0.0)
    assert close(0.0, 5e-13, NEAR_ZERO)
    assert not close(0.0, 5e-12, NEAR_ZERO)
    assert not close(0.0, 5e-300, 0.0)
    assert not close(F(2**BITS - 1), 1e308, 0.0)  # beyond the floats


def sides(left, right):
    length = next((len(values) for values in (left, right) if isinstance(values, tuple)), 1)
    return tuple(values if isinstance(values, tuple) else (F(values),) * length for values in (left, right))


X, Y = variable("x"), variable("y")
HUGE = mapped(lambda x: x * 10.0**30, X)
NOISE = mapped(lambda x: math.sin(x) ** 2 + math.cos(x) ** 2, X)


def test_the_factor_between_two_relations():
    double = mapped(lambda x: 2 * x, X)
    assert factor(sides(X, 3), sides(double, 6)) == F(1, 2)
    assert factor(sides(3, X), sides(double, 6)) == F(-1, 2)
    assert factor(sides(X, 3), sides(X, 4)) is None
    assert factor(sides(X, Y), sides(Y, X)) == -1
    for a, b in combinations(map(variable, ascii_lowercase), 2):  # some have a value in common
        assert factor(sides(a, b), sides(b, a)) == -1
    assert factor(sides(HUGE, mapped(lambda x: 3 * 10.0**30, X)), sides(X, 3)) == pytest.approx(1e30)


def test_nothing_is_a_multiple_of_an_identity_or_a_contradiction():
    for left, right in ((X, X), (NOISE, 1), (1, 2), (mapped(lambda x: x + 1, X), X), (NOISE, 2)):
        for other in (sides(X, 3), sides(HUGE, Y), sides(1, 3)):
            assert factor(sides(left, right), other) is None
            assert factor(other, sides(left, right)) is None
    assert factor(sides(HUGE, Y), sides(Y, 3)) is None  # ratios as small as 1e-30 are not the same


def test_values_agree_where_both_are_defined_and_nowhere_else():
    assert same((F(1), F(2)), (F(1), 2.0), 2)
    assert not same((F(1), F(2)), (F(1), F(3)), 1)
    assert same((F(1), None), (F(1), None), 1)
    assert not same((F(1), None), (F(1), None), 2)
    assert not same((F(1), None), (F(1), F(1)), 1)
    assert not same((None, None), (None, None), 1)
    assert same((0.0,), (1e-13,), 1)
    assert not same((0.0,), (1e-13,), 1, near_zero=0.0)


def test_variables_are_tried_at_points_of_their_own():
    assert variable("x") == variable("x")
    assert variable("x") != variable("y")
    assert len(variable("x")) == POINTS == len(constant(1.0))
    for name in ascii_lowercase:
        values = variable(name)
        assert all(value.denominator == 97 for value in values)  # no integer
        for value, (sign, low, high) in zip(values[:FIRST], RANGES, strict=True):
            assert low <= sign * value * 97 < high
        left = list(FURTHER)
        for value in values[FIRST:]:
            left.remove(next(of for of in left if of[1] <= of[0] * value * 97 < of[2]))
    assert variable.cache_info().maxsize < 10_000


def test_signs_and_sizes_of_two_variables_differ():
    names = {*ascii_letters, *GREEK}
    assert len({tuple(value > 0 for value in variable(name)[FIRST:]) for name in names}) == len(names)
    for a, b in permutations(map(variable, ascii_letters), 2):
        assert sum(x > y for x, y in zip(a, b, strict=True)) >= 2
    for a, b, c in permutations(map(variable, ascii_lowercase), 3):
        assert sum(y * y >= 4 * x * z for x, y, z in zip(a, b, c, strict=True)) >= 2


def test_at_the_further_points_only_what_is_exact_counts_unless_the_first_are_undefined():
    first = (F(1),) * FIRST
    assert same((*first, F(2), None), (*first, F(2), F(5)), 2)
    assert not same((*first, F(2)), (*first, F(3)), 2)
    assert same((*first, 2.0), (*first, 3.0), 2)
    assert same((*first, F(2)), (*first, 3.0), 2)
    nothing = (None,) * FIRST
    assert same((*nothing, 2.0, 3.0), (*nothing, 2.0, F(3)), 2)
    assert not same((*nothing, 2.0, 3.0), (*nothing, 2.0, 4.0), 2)
    assert not same((*nothing, 2.0, 3.0), (*nothing, 2.0, None), 1)
    assert not same((*nothing, 2.0), (*nothing, 2.0), 2)
    assert factor(sides((*X[:FIRST], F(7)), 3), sides((*X[:FIRST], F(8)), 3)) is None
    assert factor(sides((*X[:FIRST], 7.0), 3), sides((*X[:FIRST], 8.0), 3)) == 1


def test_what_is_the_same_at_all_points_is_computed_once():
    calls = []
    assert mapped(lambda x, y: calls.append(1) or x + y, constant(F(1)), constant(F(2))) == constant(F(3))
    assert len(calls) == 1
    mapped(lambda x, y: calls.append(1) or x + y, constant(F(1)), X)
    assert len(calls) == 1 + POINTS
