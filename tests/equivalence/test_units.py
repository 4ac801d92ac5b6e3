"""Units and what they measure."""

from fractions import Fraction

import pytest

from papo.equivalence.units import UNITS, unit


@pytest.mark.parametrize(
    ("words", "exponent", "expected"),
    [
        ("cm", 1, ("length", Fraction(1, 100))),
        ("cm", 2, ("length^2", Fraction(1, 10_000))),
        ("Centimeters", 1, ("length", Fraction(1, 100))),
        ("square meters", 1, ("length^2", 1)),
        ("cubic cm", 1, ("length^3", Fraction(1, 10**6))),
        ("sq. ft", 1, ("length^2", Fraction(3048, 10_000) ** 2)),
        ("min", 1, ("time", 60)),
        ("mL", 1, ("volume", Fraction(1, 1000))),
        ("degrees", 1, ("angle", 1)),
        ("apples", 1, None),
        ("big cm", 1, None),
        ("km per hour", 1, None),
        ("", 1, None),
    ],
)
def test_unit(words, exponent, expected):
    assert unit(words, exponent) == expected


def test_scales_by_hand():
    """In metres, kilograms, seconds, litres."""
    scales = {"km": 1000, "in": 0.0254, "mi": 1609.344, "yd": 0.9144, "ft": 0.3048, "mg": 1e-6, "h": 3600, "day": 86400}
    assert {name: float(UNITS[name][1]) for name in scales} == pytest.approx(scales, rel=1e-15)
