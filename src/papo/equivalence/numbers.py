"""Arithmetic on values that cannot grow: exact fractions while they are short, floats beyond, None where undefined.

A value is a tuple of samples, one for each of POINTS assignments of the variables. An expression without variables has
the same number at each. The points are rational, so that polynomials are compared exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

# Of a numerator or denominator; what is longer goes on as a float. An integer that is longer has no float, so that two
# which differ by one never become the same.
BITS = 1100
TOLERANCE = 1e-9  # relative, between two floats: far above rounding errors, far below what an answer tells apart
NEAR_ZERO = 1e-12  # what may be left of a difference that is 0

# Where a variable is tried: in the domain of arcsin, of a logarithm, of the root of x - 4; and below zero. Sign, and
# between which numerators over 97, so that no point is an integer.
RANGES = ((1, 20, 60), (1, 60, 96), (1, 100, 190), (1, 500, 580), (1, 590, 670), (-1, 30, 96), (-1, 200, 280))
# At those all variables are alike, and small: |xy| is xy there, |x - 8| is 8 - x, the root of b^2 - 4ac undefined.
# Through these ranges each variable goes in an order of its own.
FURTHER = (
    (1, 5, 96), (1, 100, 190), (1, 200, 385), (1, 390, 580), (1, 2500, 9000), (1, 2500, 9000),
    (-1, 5, 96), (-1, 100, 385), (-1, 390, 670), (-1, 2500, 9000), (-1, 2500, 9000),
)  # fmt: skip
# With it no two letters have the same signs at all of these, and the root of any b^2 - 4ac is defined at two points.
SEED = 998
FIRST = len(RANGES)
POINTS = FIRST + len(FURTHER)

Number = Fraction | float | None
Value = tuple[Number, ...]


def constant(number: Fraction | float) -> Value:
    return (bounded(number),) * POINTS


@lru_cache(1000)  # a policy may invent names without end
def variable(name: str) -> Value:
    """A variable at each point, other points for each name."""
    generator = random.Random(f"{SEED}{name}".encode("utf-8", "surrogatepass"))
    first, further = ([drawn(generator, *of) for of in ranges] for ranges in (RANGES, FURTHER))
    return (*first, *generator.sample(further, len(further)))


def drawn(generator: random.Random, sign: int, low: int, high: int) -> Fraction:
    numerator = generator.randrange(low, high)
    return Fraction(sign * (numerator + (numerator % 97 == 0)), 97)


def bounded(number: Fraction | float | None) -> Number:
    """`number` in the form that it goes on in."""
    if isinstance(number, Fraction):
        if max(number.numerator.bit_length(), number.denominator.bit_length()) <= BITS:
            return number
        number = real(number) or None  # a fraction that is smaller than every float is not 0
    return number if number is not None and math.isfinite(number) else None


def real(number: Number) -> float | None:
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None


def mapped(function: Callable[..., Number], *values: Value) -> Value:
    """`function` at each point; undefined where an argument is, or where it overflows or has no real value."""

    def at(*samples: Number) -> Number:
        if any(sample is None for sample in samples):
            return None
        try:
            return bounded(function(*samples))
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    if all(sample is value[0] for value in values for sample in value):  # a number, the same at all points
        return (at(*(value[0] for value in values)),) * len(values[0])
    return tuple(at(*samples) for samples in zip(*values, strict=True))


def power(base: Fraction | float, exponent: Fraction | float) -> Number:
    """base ** exponent over the reals; the odd root of a negative number is negative."""
    if isinstance(exponent, float):
        return _real_power(base, exponent)
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) if isinstance(base, Fraction) else 0
        if isinstance(base, Fraction) and (base.numerator in (-1, 0, 1) and base.denominator == 1):
            return base ** (exponent.numerator if base == 0 else exponent.numerator % 2)
        if isinstance(base, Fraction) and bits * abs(exponent.numerator) <= 2 * BITS:
            return base**exponent.numerator
        return _real_power(base, exponent)
    root = exact_root(base, exponent.denominator)
    if root is not None:
        return power(root, Fraction(exponent.numerator))
    if base < 0 and exponent.denominator % 2 == 1:
        return (-1) ** (exponent.numerator % 2) * _real_power(-base, exponent)
    return _real_power(base, exponent)


def _real_power(base: Fraction | float, exponent: Fraction | float) -> float | None:
    if base < 0 and exponent % 1 != 0:
        return None
    return math.pow(float(base), float(exponent))


def exact_root(base: Fraction | float, degree: int) -> Fraction | None:
    """The root of a fraction where it is one itself."""
    if not isinstance(base, Fraction) or degree > BITS or (base < 0 and degree % 2 == 0):
        return None
    parts = []
    for part in (abs(base.numerator), base.denominator):
        if degree != 2 and part.bit_length() >= 1024:  # no float
            return None
        root = math.isqrt(part) if degree == 2 else round(math.pow(part, 1 / degree))
        if root.bit_length() * degree > 2 * BITS or root**degree != part:
            return None
        parts.append(root)
    return (1 if base >= 0 else -1) * Fraction(*parts)


def close(a: Fraction | float, b: Fraction | float, near_zero: float) -> bool:
    """Equal: exactly between fractions, up to rounding otherwise."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    x, y = real(a), real(b)
    return x is not None and y is not None and math.isclose(x, y, rel_tol=TOLERANCE, abs_tol=near_zero)


def same(a: Value, b: Value, needed: int, near_zero: float = NEAR_ZERO) -> bool:
    """Whether two values agree at the first points, at least `needed` of which are defined.

    At the further ones only what is exact counts: roots are often simplified as if all letters were positive, and
    floats lose digits where numbers are large. All of them count where too few of the first are defined.

    Args:
        near_zero: the difference up to which two floats are the same whatever their size; 0 where a tiny number must
            not be taken for what rounding left of 0.
    """
    if any(x != y for x, y in exact_further(a, b)):
        return False
    for points in (FIRST, POINTS):
        pairs = list(zip(a[:points], b[:points], strict=True))
        if any((x is None) != (y is None) for x, y in pairs):
            return False
        defined = [(x, y) for x, y in pairs if x is not None]
        if not all(close(x, y, near_zero) for x, y in defined):
            return False
        if len(defined) >= needed:
            return True
    return False


def exact_further(a: Value, b: Value) -> list[tuple[Fraction, Fraction]]:
    """The pairs of two exact numbers at the further points."""
    pairs = zip(a[FIRST:], b[FIRST:], strict=True)
    return [(x, y) for x, y in pairs if isinstance(x, Fraction) and isinstance(y, Fraction)]


def factor(a: tuple[Value, Value], b: tuple[Value, Value]) -> Number:
    """What left minus right of one relation is of the other's, where it is the same at all points; else None.

    Neither difference may be the same number everywhere: 1 = 2 is not 3 = 5, and any equation is 0 times an identity.
    """
    differences = [mapped(lambda left, right: left - right, *sides) for sides in (a, b)]
    if any(None in values[:FIRST] or constant_at_all(values[:FIRST]) for values in differences):
        return None
    # Where both are met, as x = y and 2x = 2y where the two have the same value, there is no ratio.
    unmet = [(x, y) for x, y in list(zip(*differences, strict=True))[:FIRST] if x or y]
    ratios = mapped(lambda x, y: x / y, *zip(*unmet, strict=True))
    if not constant_at_all(ratios):
        return None
    if isinstance(ratios[0], Fraction) and any(x != ratios[0] * y for x, y in exact_further(*differences)):
        return None
    return ratios[0]


def constant_at_all(values: Value) -> bool:
    first = values[0]
    return first is not None and all(value is not None and close(first, value, 0.0) for value in values)
