"""Units in plain text whose names read as variables otherwise: 300 K, 2.4 GHz, 1.6 \\times 10^{-19} C."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from papo.equivalence.answers import Scalar
from papo.equivalence.numbers import real
from papo.equivalence.prepare import prepared
from papo.equivalence.reading import read
from papo.equivalence.tokens import GREEK, Unreadable
from papo.equivalence.units import DOUBTFUL, LETTERS, PREFIXED, UNITS, VARIABLES

# Without a scale here: with a unit of another name they are not compared.
OTHERS = {
    "F", "H", "eV", "keV", "MeV", "GeV", "Wh", "kWh", "atm", "bar", "mbar", "psi", "cal", "kcal", "gal", "cc", "ha",
    "GB", "MB", "kB", "dB", "rpm",
}  # fmt: skip
# The other names are read as units wherever they stand behind a number, some of the letters beside a number alone.
NAMES = OTHERS | (LETTERS - VARIABLES) | (PREFIXED.keys() - UNITS.keys())
WRITTEN = re.compile(
    r"([-+]?[0-9]++(?:,[0-9]++)*+(?:\.[0-9]++)?+"
    r"(?: ?\\times ?10 ?\^ ?(?:[0-9]|\{ ?-?[0-9]{1,3} ?\}))?+)( ?)([A-Za-zΩμ]{1,4})"
)
KELVINS = 100  # from here on: room is at 293, water boils at 373, while a coefficient seldom has three digits


class Measured(NamedTuple):
    number: Scalar  # with its unit, where that is known
    sure: bool  # whether the letters are hardly variables: of a gold, 5 T may as well be five times T


def number_and_unit(text: str) -> Measured | None:
    """A number, a space and the name of a unit, and nothing else; None where it is no such. 3mg needs no space.

    >>> [number_and_unit(text).sure for text in ("300 K", "3 atm", "5 T", "2 kT", "3mg")]
    [True, True, False, False, False]
    >>> [number_and_unit(text) for text in ("3 x", "5T", "2 K + 1", "K")]
    [None, None, None, None]
    """
    found = WRITTEN.fullmatch(prepared(text))
    if found is None or found[3] not in (NAMES if found[2] else DOUBTFUL):
        return None
    try:
        number = read(found[1])
    except Unreadable:
        return None
    if not isinstance(number, Scalar):  # 1,22 is a list
        return None
    name, value = found[3], real(number.value[0])
    kelvins = name == "K" and value is not None and abs(value) >= KELVINS
    return Measured(
        replace(number, unit=UNITS.get(name) or PREFIXED.get(name)), kelvins or (len(name) > 2 and name not in GREEK)
    )
