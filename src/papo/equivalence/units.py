"""Units: dropped where one answer has none, compared where both have one of a kind that is known."""

from __future__ import annotations

import re
from fractions import Fraction

Unit = tuple[str, Fraction]  # what it measures, in multiples of that dimension's first unit

_NAMES = {
    "length": [
        ("m meter meters metre metres", "1"),
        ("mm millimeter millimeters millimetre millimetres", "1/1000"),
        ("cm centimeter centimeters centimetre centimetres", "1/100"),
        ("dm decimeter decimeters", "1/10"),
        ("km kilometer kilometers kilometre kilometres", "1000"),
        ("in inch inches", "254/10000"),
        ("ft foot feet", "3048/10000"),
        ("yd yard yards", "9144/10000"),
        ("mi mile miles", "1609344/1000"),
    ],
    "mass": [("kg kilogram kilograms", "1"), ("g gram grams", "1/1000"), ("mg milligram milligrams", "1/1000000")],
    "time": [
        ("s sec second seconds", "1"),
        ("min minute minutes", "60"),
        ("h hr hour hours", "3600"),
        ("day days", "86400"),
    ],
    "volume": [("L l liter liters litre litres", "1"), ("mL ml milliliter milliliters", "1/1000")],
    "angle": [("° degree degrees deg", "1")],
}
UNITS: dict[str, Unit] = {
    name: (dimension, Fraction(scale))
    for dimension, units in _NAMES.items()
    for names, scale in units
    for name in names.split()
}
# Words that change the number that they follow.
FACTORS = {"dozen", "hundred", "thousand", "million", "billion", "trillion", "not", "if", "percent", "pi", "times"}
POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
WORDS = re.compile(r"[A-Za-z°]+")


def unit(words: str, exponent: int) -> Unit | None:
    """The unit that some words name, raised to `exponent`; None where it is none of the known ones.

    >>> unit("square cm", 1)
    ('length^2', Fraction(1, 10000))
    """
    names = WORDS.findall(words)
    if len(names) == 2 and names[0].lower() in POWERS:
        exponent, names = POWERS[names[0].lower()], names[1:]
    if len(names) != 1:
        return None
    found = UNITS.get(names[0]) or UNITS.get(names[0].lower())
    return found and (found[0] if exponent == 1 else f"{found[0]}^{exponent}", found[1] ** exponent)
