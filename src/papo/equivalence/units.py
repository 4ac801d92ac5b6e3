"""Units: dropped where one answer has none, compared where both have one that is known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A product of powers of base units."""

    measures: tuple[tuple[str, int], ...]  # of length, mass, time, ...: its power, by name, none of them 0
    scale: Fraction  # in metres, kilograms, seconds, ...


# What a unit measures, in powers of the base units; names and their scale. The temperatures of two scales differ by
# more than a factor, and so they are compared with their own kind alone.
_NAMES = (
    ({"length": 1}, (
        ("m meter meters metre metres", "1"),
        ("mm millimeter millimeters millimetre millimetres", "1/1000"),
        ("cm centimeter centimeters centimetre centimetres", "1/100"),
        ("dm decimeter decimeters", "1/10"),
        ("km kilometer kilometers kilometre kilometres", "1000"),
        ("nm nanometer nanometers", "1/1000000000"),
        ("μm micrometer micrometers", "1/1000000"),
        ("in inch inches", "254/10000"),
        ("ft foot feet", "3048/10000"),
        ("yd yard yards", "9144/10000"),
        ("mi mile miles", "1609344/1000"),
    )),
    ({"mass": 1}, (
        ("kg kilogram kilograms", "1"),
        ("g gm gms gram grams", "1/1000"),
        ("mg milligram milligrams", "1/1000000"),
        ("lb lbs pound pounds", "45359237/100000000"),
        ("oz ounce ounces", "45359237/1600000000"),
        ("ton tons tonne tonnes", "1000"),
    )),
    ({"time": 1}, (
        ("s sec secs second seconds", "1"),
        ("ms millisecond milliseconds", "1/1000"),
        ("min mins minute minutes", "60"),
        ("h hr hrs hour hours", "3600"),
        ("day days", "86400"),
        ("week weeks", "604800"),
    )),
    ({"length": 3}, (
        ("L l liter liters litre litres", "1/1000"),
        ("mL ml milliliter milliliters", "1/1000000"),
        ("gallon gallons", "3785411784/1000000000000"),
    )),
    ({"length": 2}, (("acre acres", "40468564224/10000000"),)),
    ({"length": 1, "time": -1}, (("mph", "1609344/3600000"), ("kmh kph", "1000/3600"))),
    ({"mass": 1, "length": 1, "time": -2}, (("N newton newtons", "1"), ("kN", "1000"))),
    ({"mass": 1, "length": 2, "time": -2}, (("J joule joules", "1"), ("kJ kilojoule kilojoules", "1000"))),
    ({"mass": 1, "length": 2, "time": -3}, (("W watt watts", "1"), ("kW kilowatt kilowatts", "1000"))),
    ({"mass": 1, "length": -1, "time": -2}, (("Pa pascal pascals", "1"), ("kPa", "1000"))),
    ({"current": 1}, (("A amp amps ampere amperes", "1"), ("mA", "1/1000"))),
    ({"current": 1, "time": 1}, (("C coulomb coulombs", "1"),)),
    ({"mass": 1, "length": 2, "time": -3, "current": -1}, (
        ("V volt volts", "1"),
        ("kV", "1000"),
        ("mV", "1/1000"),
    )),
    ({"mass": 1, "length": 2, "time": -3, "current": -2}, (("Ω ohm ohms", "1"), ("kΩ", "1000"))),
    ({"mass": 1, "time": -2, "current": -1}, (("T tesla teslas", "1"),)),
    ({"time": -1}, (("Hz hertz", "1"), ("kHz", "1000"), ("MHz", "1000000"))),
    # Neither is a fixed number of days.
    ({"month": 1}, (("month months", "1"), ("year years yr yrs", "12"))),
    ({"money": 1}, (("dollar dollars", "1"), ("cent cents", "1/100"))),
    ({"euro": 1}, (("euro euros", "1"),)),
    ({"yuan": 1}, (("yuan", "1"),)),
    ({"amount": 1}, (("mol mole moles", "1"),)),
    ({"angle": 1}, (("° degree degrees deg", "1"),)),
    ({"radian": 1}, (("rad radian radians", "1"),)),
    ({"kelvin": 1}, (("K kelvin kelvins", "1"),)),
    ({"celsius": 1}, (("°C celsius", "1"),)),
    ({"fahrenheit": 1}, (("°F fahrenheit", "1"),)),
)  # fmt: skip
# Where a unit is named at all: behind a number they are variables, or words.
_NAMED = (
    ({"mass": 1, "length": 2, "time": -2}, (
        ("eV electronvolt electronvolts", "1602176634/10000000000000000000000000000"),
        ("Wh", "3600"),
    )),
    ({"mass": -1, "length": -2, "time": 4, "current": 2}, (
        ("F farad farads", "1"),
        ("pF picofarad picofarads", "1/1000000000000"),
    )),
    ({"amount": 1, "length": -3}, (("M", "1000"),)),
)  # fmt: skip


def table(of: Iterable) -> dict[str, Unit]:
    return {
        name: Unit(tuple(sorted(measures.items())), Fraction(scale))
        for measures, units in of
        for names, scale in units
        for name in names.split()
    }


UNITS, NAMED = table(_NAMES), table(_NAMED)
PREFIXABLE = {"m", "g", "s", "L", "N", "J", "W", "Pa", "A", "C", "V", "Ω", "T", "Hz", "mol", "eV", "Wh", "F"}
PREFIXES = {"n": "1/1000000000", "μ": "1/1000000", "m": "1/1000", "k": "1000", "M": "1000000", "G": "1000000000"}
SPELLED = {"nano": "n", "micro": "μ", "milli": "m", "kilo": "k", "mega": "M", "giga": "G"}
# Behind a number MJ are two variables, too.
PREFIXED = NAMED | {
    prefix + name: Unit(of.measures, of.scale * Fraction(PREFIXES[SPELLED.get(prefix, prefix)]))
    for prefix in (*PREFIXES, *SPELLED)
    for name, of in (UNITS | NAMED).items()
    if (len(name) > 2 if prefix in SPELLED else name in PREFIXABLE)
}
LETTERS = {name for name in UNITS if len(name) == 1 and name.isalpha()}
# That are as often variables as units where nothing shows that they are upright.
VARIABLES = LETTERS - {"C", "K", "T", "l", "Ω"}
# Longer names whose letters may be variables too: 3mg, mV^2 / 2.
PRODUCTS = {
    "gm", "mg", "ml", "mL", "nm", "hr", "lb", "kg", "km", "cm", "dm", "mm", "ms", "mA", "mV", "Pa", "kN", "kJ", "kW",
    "kV", "kPa", "ft", "mi",
}  # fmt: skip
# And are, of a formula in mechanics or of a cylinder, as often as not; the former behind fractions and roots, too.
OF_FORMULAS = {"gm", "mg", "ml", "nm"}
DOUBTFUL = OF_FORMULAS | {"hr", "lb"}
COEFFICIENT = 20  # from here on a number is hardly the coefficient of a formula
# Words that change the number that they follow.
FACTORS = {
    "dozen", "dozens", "fifth", "fifths", "sixth", "sixths", "seventh", "sevenths", "eighth", "eighths", "ninth",
    "ninths", "hundred", "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions",
    "trillion",
    "half", "halves", "third", "thirds", "quarter", "quarters", "tenth", "tenths", "hundredth", "hundredths",
    "thousandth", "thousandths", "not", "if", "percent", "pct", "pi", "times", "squared", "cubed", "factorial", "plus",
    "minus", "over", "divided", "multiplied", "by", "to", "or", "and", "root", "power", "log", "base", "mod", "modulo",
    "negative", "factorials",
    "more", "less", "than", "between", "from", "at", "least", "most", "except", "about", "approximately",
}  # fmt: skip
POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
BEHIND = {"squared": 2, "cubed": 3}
SIZE = 40  # characters of the longest that is looked into
# A name with its power, and what it is divided by.
WORD = re.compile(r"([A-Za-z°Ωμ]+)\.?\s*(?:\^?\s*\{?\s*(-?[0-9])\s*\}?)?|(\S)")


def unit(words: str) -> Unit | None:
    """The unit that some words name; None where one of them is no known unit.

    >>> unit("square cm"), unit("m/s^2") == unit("meters per second^2")
    (Unit(measures=(('length', 2),), scale=Fraction(1, 10000)), True)
    """
    found, rest = leading(words)
    return None if rest else found


def leading(words: str) -> tuple[Unit | None, str]:
    """The unit that some words begin with, and the words from the first that is none.

    >>> leading("m/s north")[1], leading("boys"), leading("dollars per boy"), leading("miles an hour")
    ('north', (None, 'boys'), (None, 'boy'), (None, 'an hour'))
    """
    factors: list[tuple[Unit, int]] = []
    divided, power, awaited = 1, 1, False
    if len(words) > SIZE:
        return None, words
    for part in WORD.finditer(words):
        name, exponent, sign = part.groups(default="")
        if sign == "/" or name == "per":
            divided, awaited = -1, True
        elif name.lower() in POWERS:
            power = POWERS[name.lower()]
        elif name in BEHIND and factors:
            factors[-1] = (factors[-1][0], factors[-1][1] * BEHIND[name])
        elif not sign or sign not in "*·-":
            found = UNITS.get(name) or PREFIXED.get(name) or UNITS.get(name.lower())
            if found is None or (name == "in" and factors and not awaited):  # 5 cm in length
                known = factors and not awaited and name not in ("a", "an")
                return (product(factors) if known else None), words[part.start() :]
            factors.append((found, divided * power * int(exponent or 1)))
            power, awaited = 1, False
    return (product(factors) if factors else None), ""


def product(factors: Iterable[tuple[Unit, int]]) -> Unit:
    """Units raised to their powers."""
    measures: Counter[str] = Counter()
    scale = Fraction(1)
    for of, power in factors:
        for name, times in of.measures:
            measures[name] += times * power
        scale *= of.scale**power
    return Unit(tuple(sorted((name, power) for name, power in measures.items() if power)), scale)
