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
INDEXED = re.compile(r"([A-Za-z]+)(?:_([^_:/,()]+))?")
ROOTS = "xzt"  # as solutions are numbered; m_1 and m_2 are two masses, y_1 and y_2 two functions
SHOWS_NOT = re.compile(r"\\[A-Za-z]+|[{}\s]")  # S_{\text{shaded}}
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


def stem(label: str) -> str:
    """Of a numbered solution, x_1, the unknown; all of any other label."""
    name, index = indexed(label)
    return name if name in ROOTS and index.isdigit() else label


def same_name(a: str, b: str) -> bool:
    """x_1 = 3 is one of the x that x = 3 or x = 4 names, in whatever order they are numbered; v_A is not v_B.

    An index may be left out: S = 7 where S_shaded = 7 is asked for.
    """
    (name, index), (other, its_index) = indexed(stem(a)), indexed(stem(b))
    return name == other and (index == its_index or not index or not its_index)


def indexed(label: str) -> tuple[str, str]:
    """A label's name and index; of one that is no single name all of it, and none."""
    found = INDEXED.fullmatch(SHOWS_NOT.sub("", label))
    return (found[1], found[2] or "") if found is not None else (label, "")


def is_point(several: Many) -> bool:
    """Whether a list may be a point's coordinates: 3, 4 and x = 3, y = 4, but not x = 3, x = 4."""
    return several.joined in (",", ";") and (
        assigns(several) or not any(isinstance(item, Relation) for item in several.items)
    )


def assigns(several: Many) -> bool:
    """Whether each has a name of its own: x = 3, y = 4. x_1 = 3, x_2 = 4 are two values of x, in any order."""
    stems = [stem(item.labels[0]) for item in several.items if isinstance(item, Relation) and item.names[0]]
    return len(stems) == len(several.items) == len(set(stems))


def calls(tokens: Sequence[Token]) -> bool:
    """Whether a letter stands before a bracket as a function does: f(2), E(X), C(5, 2); x(x - 1) is a product."""
    rest = tokens[1:]
    if len(rest) < 3 or rest[0].text != "(" or closes(rest) != len(rest) - 1:
        return False
    inside = rest[1:-1]
    return tokens[0].text in FUNCTIONS or all(token.kind != "sign" or token.text == "," for token in inside)
