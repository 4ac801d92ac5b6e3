"""Where an inequality says that a variable lies."""

from __future__ import annotations

import re
from dataclasses import replace

from papo.equivalence.answers import Answer, Bracket, Many, Relation, Scalar
from papo.equivalence.numbers import mapped, real
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
    return found[1], Many((below, where), "or")


def narrowed(answer: Answer) -> Answer:
    """x > 1 and x < 3, perhaps with a comma, as 1 < x < 3; all else as it is, such as what no x meets."""
    if not (isinstance(answer, Many) and len(answer.items) == 2 and answer.joined in (",", "and")):
        return answer
    meant = [interval(item) if isinstance(item, Relation) else None for item in answer.items]
    if None in meant or meant[0][0] != meant[1][0] or not all(isinstance(where, Bracket) for _, where in meant):
        return answer
    (label, above), (_, below) = sorted(meant, key=lambda of: of[1].items[0] is MINUS_INFINITY)
    low, high = above.items[0], below.items[1]
    if above.items[1] is not INFINITY or below.items[0] is not MINUS_INFINITY or not less(low, high):
        return answer
    signs = ("<" if above.opening == "(" else "≤", "<" if below.closing == ")" else "≤")
    return Relation((low, read(label), high), ("", label, ""), (False, True, False), signs)


def less(a: Answer, b: Answer) -> bool:
    """Whether a number is less than another one; of formulas it is not known."""
    numbers = [real(end.value[0]) for end in (a, b) if isinstance(end, Scalar) and not end.letters]
    return len(numbers) == 2 and None not in numbers and numbers[0] < numbers[1]
