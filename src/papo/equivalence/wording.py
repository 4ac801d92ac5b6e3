"""Words that are compared as words: what stands behind a number, and what is no formula."""

from __future__ import annotations

import re

from papo.equivalence.prepare import prepared

# Words behind a number that turn it round, each side of a pair with what means the same.
OPPOSITES = (
    ("increase increased increases rise gain profit growth", "decrease decreased decreases fall drop loss reduction"),
    ("north", "south", "east", "west"),
    ("up uphill upwards", "down downhill"),
    ("left", "right"),
    ("clockwise cw", "counterclockwise anticlockwise ccw"),
    ("into in inside", "out outside"),
    ("above", "below under beneath"),
    ("before earlier early ago", "after later late"),
    ("am", "pm"),
    ("bc bce", "ad ce"),
    ("ahead forward forwards", "behind back"),
    ("toward towards", "away"),
    ("attractive attraction", "repulsive repulsion"),
    ("hotter warmer", "colder cooler"),
    ("taller longer", "shorter"),
    ("older", "younger"),
    ("faster fast", "slower slow"),
    ("higher", "lower"),
    ("heavier", "lighter"),
    ("wider", "narrower"),
)
POLES = {
    word: (of, pole) for of, pair in enumerate(OPPOSITES) for pole, words in enumerate(pair) for word in words.split()
}
NAME = re.compile(r"[^\W\d_]+")
JOINED = str.maketrans("", "", ".-")  # a.m., counter-clockwise
WARD = re.compile("wards?\\Z")
AND, OR = (re.compile(f"(?<![A-Za-z]){word}(?![A-Za-z])") for word in ("and", "or"))
SEGMENT = re.compile("[A-Z]{2}")
LETTERS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]+")
# Whose symbols are other formulas in capitals. NO and No are as often words, as are IN and In.
ELEMENTS = {"bi", "cn", "co", "cs", "cu", "hf", "nb", "ni", "np", "os", "pb", "po", "pu", "sc", "si", "sn", "yb"}


def opposed(a: str, b: str) -> bool:
    """Whether two numbers are turned round by the words behind them: 20 % increase, 20 % decrease.

    What names both sides of a pair is neither. All other words make no difference: the number is what was asked for.

    >>> opposed("m north", "m south"), opposed("increase/decrease", "increase"), opposed("boys", "girls")
    (True, True, False)
    """
    x, y = poles(a), poles(b)
    return any(x[of] != y[of] for of in x.keys() & y.keys())


def poles(words: str) -> dict[int, list[int]]:
    """Which sides of which pairs are named, in their order: north of east is not east of north."""
    found: dict[int, list[int]] = {}
    for name in NAME.findall(words.translate(JOINED).casefold()):
        of, pole = POLES.get(name) or POLES.get(WARD.sub("", name)) or (None, 0)
        if of is not None and pole not in found.setdefault(of, []):
            found[of].append(pole)
    return found


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
    """But for capitals: CO is no Co, nor Aa AA."""
    folded = a.casefold()
    if folded != b.casefold() or a == b or len(a) != 2:
        return folded == b.casefold()
    return folded[0] != folded[1] and not (folded in ELEMENTS and a[0].isupper() and b[0].isupper())


def segments(text: str) -> frozenset[str]:
    r"""The segments of a formula of nothing else, where it is of several: of \frac{AB}{CA} AB and AC, no product."""
    words = {"".join(sorted(word)) if SEGMENT.fullmatch(word) else "" for word in LETTERS.findall(text)}
    return frozenset(words) if len(words) > 1 and "" not in words else frozenset()
