"""The constants and functions that an answer may name; angles in radians."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

LARGEST_FACTORIAL = 170  # beyond lies no float

CONSTANTS = {"pi": math.pi, "e": math.e}
TRIGONOMETRIC: dict[str, Callable[[float], float]] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "cot": lambda x: 1 / math.tan(x),
    "sec": lambda x: 1 / math.cos(x),
    "csc": lambda x: 1 / math.sin(x),
}
INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
OTHER: dict[str, Callable[[float], float]] = {
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctan": math.atan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "ln": math.log,
    "exp": math.exp,
}


def factorial(number: Fraction | float) -> Fraction:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= LARGEST_FACTORIAL:
        raise ValueError
    return Fraction(math.factorial(number.numerator))


def factorial_between(number: Fraction | float) -> Fraction | float:
    """n! at the points where n is tried, which are no integers: there, too, it is n times (n - 1)!."""
    return factorial(number) if number % 1 == 0 else math.gamma(number + 1)
