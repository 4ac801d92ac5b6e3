"""What names a quantity, so that the other side of an equation is its value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from papo.equivalence.answers import Many, Relation
from papo.equivalence.functions import TRIGONOMETRIC
from papo.equivalence.splitting import closes, split
from papo.equivalence.tokens import Token

# Ratios of segments, or of two sides: \frac{AB}{CD}, AB/CD, \frac{a}{c}.
SEGMENTS = re.compile(r"frac(?: [A-Z]\w*)+|frac [a-z]\w* [a-z]\w*|[A-Z]\w*(?: [A-Z]\w*)* / [A-Z]\w*(?: [A-Z]\w*)*")
# A single name, and what tells it from others of its kind: v_A, S_ABC, x_1.
INDEXED = re.compile(r"([A-Za-z]+)(?:_([^_:/()]+))?")
ROOTS = "xzt"  # as solutions are numbered; m_1 and m_2 are two masses, y_1 and y_2 two functions
WORD = 3  # letters of an index that is one, or a figure's corners
SHOWS_NOT = re.compile(
    r"\\(?:text|math|mbox|rm|triangle|Delta|square|parallelogram)(?:rm|bf|it)?(?![A-Za-z])|[\\{}\s]"
)  # in S_{\text{a}}
OF_MATRICES = (["^", "-", "1"], ["^", "T"], ["^", "*"])
FUNCTIONS = set("fghFGHPSTVW")  # of any argument: f(x + 1), P(A and B)


def names_a_side(tokens: Sequence[Token]) -> bool:
    r"""Whether tokens name a quantity and say nothing about it.

    x, x_1, AB, |AB|, [ABC], \angle ABC, m\angle 1, \vec{a}, f(2), E(X), \sin A, \tan 30°, Area, (x, y), A^{-1}, AB : CD
    and \frac{AB}{CD} do. In \sqrt{x} = 3, x^2 = 4y and x - 3y + 24 = 0 no side does: what stands on the other one is
    not the answer.
    """
    tokens = [token for token in tokens if token.text not in ("{", "}") or token.kind != "sign"]
    if not tokens:
        return False
    parts = split(tokens, (":",))
    if len(parts) == 1 and len(tokens) > 2 and (tokens[0].text, tokens[-1].text) == ("(", ")"):
        parts = split(tokens[1:-1], (",",))
    if len(parts) > 1:
        return all(map(names_a_side, parts))
    if len(tokens) > 2 and (tokens[0].text, tokens[-1].text) in (("|", "|"), ("[", "]")):
        tokens = tokens[1:-1]
    first = tokens[0]
    if first.text == "frac" or "/" in [token.text for token in tokens]:
        return bool(SEGMENTS.fullmatch(" ".join(token.text for token in tokens)))
    if first.kind == "name" and len(first.text.partition("_")[0]) == 1 and calls(tokens):
        return True
    if first.text.isupper() and [token.text for token in tokens[1:]] in OF_MATRICES:
        return True
    kinds = {token.kind for token in tokens}
    if kinds == {"name"}:
        return len(tokens) == 1 or all(token.text[0].isupper() for token in tokens)
    if first.kind == "function":
        signs = {token.text for token in tokens if token.kind == "sign"}
        # Of a variable a root or a logarithm is asked for less often than the variable.
        asked_for = first.text in TRIGONOMETRIC or "name" not in kinds
        return len(tokens) > 1 and asked_for and signs <= {"(", ")", "°", "^"}
    return "opaque" in [token.kind for token in tokens[:2]] and kinds <= {"name", "opaque", "number"}


def same_name(a: str, b: str) -> bool:
    """x_1 = 3 is one of the x that x = 3 or x_2 = 3 names, in whatever order they are numbered; v_A is not v_B.

    An index may be left out, or shortened: S = 7 where S_shaded = 7 is asked for.
    """
    (name, index), (other, its_index) = indexed(a), indexed(b)
    if name != other:
        return False
    short, long = sorted((corners(index), corners(its_index)), key=len)
    numbered = name in ROOTS and index.isdigit() and its_index.isdigit()
    shortened = len(short) >= WORD and short.isalpha() and short.islower() and long.startswith(short)
    return numbered or shortened or short in ("", long)


def corners(index: str) -> str:
    """An index whatever its capitals, of a polygon whatever its order; none where it is in another script."""
    if len(index) >= WORD and index.isupper():
        return "".join(sorted(index))
    return index.casefold() if index.isascii() else ""


def indexed(label: str) -> tuple[str, str]:
    """A label's name and index; of one that is no single name all of it, and none."""
    found = INDEXED.fullmatch(SHOWS_NOT.sub("", label))
    return (found[1], found[2] or "") if found is not None else (label, "")


def is_point(several: Many) -> bool:
    """Whether a list may be a point's coordinates: 3, 4 and x = 3, y = 4, but not x = 3, x = 4.

    x_1 = 3, x_2 = 4 are two solutions, where a third one makes them coordinates.
    """
    if several.joined not in (",", ";"):
        return False
    names = [indexed(label) for label in labels(several)]
    if not names:
        return not any(isinstance(item, Relation) for item in several.items)
    solutions = len(names) == 2 and names[0][0] == names[1][0] in ROOTS
    return len(set(names)) == len(names) and not solutions


def assigns(several: Many) -> bool:
    """Whether each has a name of its own: x = 3, y = 4. k_1 = 3, k_2 = 4 are two values of k, in any order."""
    names = [name if index.isdigit() else (name, index) for name, index in map(indexed, labels(several))]
    return bool(names) and len(names) == len(set(names))


def labels(several: Many) -> list[str]:
    """What each is named, if each is."""
    found = [item.labels[0] for item in several.items if isinstance(item, Relation) and item.names[0]]
    return found if len(found) == len(several.items) else []


def calls(tokens: Sequence[Token]) -> bool:
    """Whether a letter stands before a bracket as a function does: f(2), E(X), C(5, 2); x(x - 1) is a product."""
    rest = tokens[1:]
    if len(rest) < 3 or rest[0].text != "(" or closes(rest) != len(rest) - 1:
        return False
    inside = rest[1:-1]
    return tokens[0].text in FUNCTIONS or all(token.kind != "sign" or token.text == "," for token in inside)
