"""Units and what they measure."""

from fractions import Fraction

import pytest

from papo.equivalence.units import FACTORS, LETTERS, UNITS, VARIABLES, unit

F = Fraction


@pytest.mark.parametrize(
    ("words", "measures", "scale"),
    [
        ("cm", {"length": 1}, F(1, 100)),
        ("cm^2", {"length": 2}, F(1, 10_000)),
        ("cm2", {"length": 2}, F(1, 10_000)),
        ("cm^{-2}", {"length": -2}, 10_000),
        ("Centimeters", {"length": 1}, F(1, 100)),
        ("square meters", {"length": 2}, 1),
        ("cubic cm", {"length": 3}, F(1, 10**6)),
        ("sq. ft", {"length": 2}, F(3048, 10_000) ** 2),
        ("min", {"time": 1}, 60),
        ("mL", {"length": 3}, F(1, 10**6)),
        ("degrees", {"angle": 1}, 1),
        ("m/s", {"length": 1, "time": -1}, 1),
        ("m/s^2", {"length": 1, "time": -2}, 1),
        ("m s^-2", {"length": 1, "time": -2}, 1),
        ("meters per second", {"length": 1, "time": -1}, 1),
        ("km/h", {"length": 1, "time": -1}, F(1000, 3600)),
        ("mph", {"length": 1, "time": -1}, F(1609344, 3_600_000)),
        ("kg*m/s^2", {"length": 1, "mass": 1, "time": -2}, 1),
        ("N m", {"length": 2, "mass": 1, "time": -2}, 1),
        ("m/m", {}, 1),
    ],
)
def test_unit(words, measures, scale):
    assert unit(words) == (tuple(sorted(measures.items())), scale)


@pytest.mark.parametrize("words", ["apples", "big cm", "cm apples", "", "/", "7", "cm + cm", "m " * 30])
def test_no_unit(words):
    assert unit(words) is None


def test_derived_units():
    assert unit("J") == unit("N m") == unit("kg m^2/s^2") == unit("W s")
    assert unit("V") == unit("W/A") == unit("J/C")
    assert unit("Ω") == unit("V/A")
    assert unit("L") == unit("dm^3")
    assert unit("Pa") == unit("N/m^2")
    assert unit("T") == unit("N/A/m")


def test_scales_by_hand():
    """In metres, kilograms, seconds, cubic metres."""
    scales = {"km": 1000, "in": 0.0254, "mi": 1609.344, "yd": 0.9144, "ft": 0.3048, "mg": 1e-6, "h": 3600, "day": 86400,
              "lb": 0.45359237, "L": 0.001, "kmh": 1 / 3.6, "kΩ": 1000, "nm": 1e-9, "week": 604800}  # fmt: skip
    assert {name: float(UNITS[name].scale) for name in scales} == pytest.approx(scales, rel=1e-15)


def test_letters():
    assert VARIABLES < LETTERS
    assert {"m", "s", "g", "h", "L", "N", "V", "A", "W", "J", "K", "C"} <= LETTERS
    assert not LETTERS & {"k", "i", "x", "e"}
    assert not FACTORS & UNITS.keys()
