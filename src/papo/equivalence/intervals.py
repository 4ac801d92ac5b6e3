"""Where an inequality says that a variable lies."""

from __future__ import annotations

import re
from dataclasses import replace

from papo.equivalence.answers import Answer, Bracket, Many, Relation, Scalar
from papo.equivalence.numbers import mapped
from papo.equivalence.reading import read

MODULUS = re.compile(r"\|([a-z])\|")
MIRRORED = {"<": ">", "≤": "≥", ">": "<", "≥": "≤"}
CLOSED = {"(": ")", ")": "(", "[": "]", "]": "["}
INFINITY, MINUS_INFINITY = read(r"\infty"), read(r"-\infty")


def mirrored(relation: Relation) -> Relation:
    """Read from right to left."""
    signs = tuple(MIRRORED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(relation.sides[::-1], relation.labels[::-1], relation.names[::-1], signs)


def interval(inequality: Relation) -> tuple[str, Answer] | None:
    """What x > 3 or 1 < x ≤ 5 says: of what, and the interval (3, ∞) or (1, 5]."""
    for relation in (inequality, mirrored(inequality)):
        names = list(relation.names)
        if set(relation.signs) <= {"<", "≤"} and names in ([True, False], [False, True], [False, True, False]):
            where = names.index(True)
            low, opening, high, closing = MINUS_INFINITY, "(", INFINITY, ")"
            if where > 0:
                low, opening = relation.sides[where - 1], "(" if relation.signs[where - 1] == "<" else "["
            if where < len(names) - 1:
                high, closing = relation.sides[where + 1], ")" if relation.signs[where] == "<" else "]"
            if low is None or high is None:
                return None
            return of_modulus(relation.labels[where], Bracket(opening, closing, (low, high)))
    return None


def of_modulus(label: str, where: Bracket) -> tuple[str, Answer]:
    """Where x lies if |x| > 1 lies in (1, ∞): in (-∞, -1) or (1, ∞); and if |x| < 3 in (-∞, 3): in (-3, 3)."""
    found = MODULUS.fullmatch(label)
    if found is None or not all(isinstance(end, Scalar) for end in where.items):
        return label, where
    low, high = where.items
    less = replace(high, value=mapped(lambda x: -x, high.value)) if high is not INFINITY else MINUS_INFINITY
    if low is MINUS_INFINITY:
        return found[1], Bracket(CLOSED[where.closing], where.closing, (less, high))
    more = replace(low, value=mapped(lambda x: -x, low.value))
    below = Bracket(CLOSED[where.closing], CLOSED[where.opening], (less, more))
    return found[1], Many((below, where))
