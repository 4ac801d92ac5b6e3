"""Words that are compared as words: what stands behind a number, and what is no formula."""

from __future__ import annotations

import re

from papo.equivalence.prepare import prepared

SHORT = 3  # letters of a name that may be another one in capitals: MeV and meV
# 5 square units are 5 of whatever is asked for.
GENERIC = re.compile(r"(?:(?:square|sq\.?|cubic|cu\.?)\s+)?units?(?![a-z])(?:\s*\^?\{?[23]\}?)?")
NAME = re.compile(r"[^\W\d_]+|\d+")
AND, OR = (re.compile(f"(?<![A-Za-z]){word}(?![A-Za-z])") for word in ("and", "or"))
SEGMENT = re.compile("[A-Z]{2}")
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


def same_words(a: str, b: str) -> bool:
    """Whether two lists of words are the same, in their order, or in any where both are joined by "and".

    >>> [same_words("red and blue", text) for text in ("blue and red", "red, blue", "blue, red", "red or blue")]
    [True, True, False, False]
    """
    if (OR.search(a) is None) != (OR.search(b) is None):
        return False
    items = [["".join(item.split()) for item in prepared(text).split(",")] for text in (a, b)]
    if AND.search(a) and AND.search(b):
        items = [sorted(words, key=str.casefold) for words in items]
    return len(items[0]) == len(items[1]) and all(map(same_letters, *items))


def same_letters(a: str, b: str) -> bool:
    """But for capitals: CO is no Co, though NO is No."""
    if ELEMENT.fullmatch(a) and ELEMENT.fullmatch(b) and a.casefold() != "no":
        return a == b
    return a.casefold() == b.casefold()


def segments(text: str) -> frozenset[str]:
    r"""The segments of a formula of nothing else, where it is of several: of \frac{AB}{CA} AB and AC, no product."""
    words = {"".join(sorted(word)) if SEGMENT.fullmatch(word) else "" for word in LETTERS.findall(text)}
    return frozenset(words) if len(words) > 1 and "" not in words else frozenset()
