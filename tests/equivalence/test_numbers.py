"""Bounded arithmetic by hand."""

import math
from fractions import Fraction

import pytest

from papo.equivalence.numbers import (
    BITS,
    POINTS,
    RANGES,
    bounded,
    close,
    constant,
    exact_root,
    mapped,
    power,
    same,
    variable,
)

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
        (F(2), F(1000), 2.0**1000),  # too long to stay exact
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
    assert isinstance(bounded(F(2**BITS)), float)
    assert isinstance(bounded(F(1, 2**BITS)), float)
    assert bounded(F(10**400)) is None
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
    assert close(F(1, 3), F(1, 3))
    assert not close(F(10**30), F(10**30 + 1))
    assert close(1 / 3, F(1, 3))
    assert close(1.0, 1.0 + 5e-10)
    assert not close(1.0, 1.0 + 5e-9)
    assert close(0.0, 5e-13)
    assert not close(0.0, 5e-12)


def test_values_agree_where_both_are_defined_and_nowhere_else():
    assert same((F(1), F(2)), (F(1), 2.0), 2)
    assert not same((F(1), F(2)), (F(1), F(3)), 1)
    assert same((F(1), None), (F(1), None), 1)
    assert not same((F(1), None), (F(1), None), 2)
    assert not same((F(1), None), (F(1), F(1)), 1)
    assert not same((None, None), (None, None), 1)


def test_variables_are_tried_at_points_of_their_own():
    assert variable("x") == variable("x")
    assert variable("x") != variable("y")
    assert len(variable("x")) == POINTS == len(constant(1.0))
    for name in "abcdefgh":
        for value, (sign, low, high) in zip(variable(name), RANGES, strict=True):
            assert value.denominator == 97  # no integer
            assert low <= sign * value * 97 < high
    assert variable.cache_info().maxsize < 10_000
