"""Words that are compared as words: what stands behind a number, and what is no formula."""

from __future__ import annotations

import re

SHORT = 3  # letters of a name that may be another one in capitals: MeV and meV
# 5 square units are 5 of whatever is asked for.
GENERIC = re.compile(r"(?:(?:square|sq\.?|cubic|cu\.?)\s+)?units?(?![a-z])(?:\s*\^?\{?[23]\}?)?")
NAME = re.compile(r"[^\W\d_]+|\d+")
SEGMENT = re.compile(r"(?<![\\A-Za-z])[A-Z]{2}(?![A-Za-z])")
LETTERS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
ELEMENT = re.compile("[A-Z][A-Za-z]")  # or a molecule: Co, CO


def other_things(a: str, b: str) -> bool:
    """Whether two numbers are of other things by the words behind them: 5 boys, 5 girls; 20 % increase, 20 % decrease.

    What one of them leaves out makes no difference: 5 m north, 5 m.

    >>> other_things("boys", "girls"), other_things("years old", "year"), other_things("MeV", "eV")
    (True, False, True)
    """
    x, y = names(a), names(b)
    shorter, longer = sorted((x, y), key=len)
    return not within(shorter, longer) and "".join(x) != "".join(y)  # kWh, kW h


def names(words: str) -> list[str]:
    found = NAME.findall(GENERIC.sub("", words.replace(".", "")))
    return [name if len(name) <= SHORT else name.casefold().removesuffix("s") for name in found]


def within(shorter: list[str], longer: list[str]) -> bool:
    """Whether the names of one come in the other, in their order."""
    rest = iter(longer)
    return all(name in rest for name in shorter)
