"""From an answer's text to what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from papo.equivalence.answers import Answer, Bracket, Many, Relation, Rounded, Scalar
from papo.equivalence.matrices import MATRICES, matrix
from papo.equivalence.naming import names_a_side
from papo.equivalence.numbers import mapped
from papo.equivalence.scalars import rounds_to, scalar
from papo.equivalence.splitting import OPEN, closes, split
from papo.equivalence.tokens import Token, Unreadable, tokenise

LEVELS = 4  # of brackets in brackets, the innermost items included
JOINING = {",and": "and", ",or": "or"}
RELATIONS = ("=", "<", ">", "≤", "≥", "∈", "≠")


def read(text: str) -> Answer:
    """What an answer's text says.

    Raises:
        Unreadable: it cannot be read, or only at more length than answers have.
    """
    tokens = tokenise(text)
    if sum(token.text == "⟦" for token in tokens) > MATRICES:
        raise Unreadable
    return read_list(tokens, LEVELS)


def read_list(tokens: Sequence[Token], levels: int) -> Answer:
    """Parts between commas; p=5, q=2; p=7, q=2 are two lists of two."""
    if levels == 0:
        raise Unreadable
    groups = split(tokens, (";",))
    if len(groups) > 1:
        return Many(tuple(read_list(group, levels - 1) for group in groups), ";")
    parts = split(tokens, (",", *JOINING))
    if len(parts) == 1:
        return read_relation(tokens, levels)
    joined = "".join(word for sign, word in JOINING.items() if any(token.text == sign for token in tokens))
    return Many(tuple(read_relation(part, levels) for part in parts), joined or ",")


def read_relation(tokens: Sequence[Token], levels: int) -> Answer:
    *before, last = split(tokens, ("≈",))
    if not before:
        return read_exact(tokens, levels)
    if len(before) > 1:
        raise Unreadable
    if names_a_side(before[0]):
        return relation([before[0], last], ("=",), levels)
    exact, about = read_exact(before[0], levels), scalar(last, 1)
    stated = exact.sides[-1] if isinstance(exact, Relation) else exact
    # What is not what it is about says two things, of which one may be right.
    if not isinstance(stated, Scalar) or not rounds_to(stated, about):
        raise Unreadable
    if stated.unit is not None and about.unit is not None and stated.unit != about.unit:
        raise Unreadable
    return Rounded((exact, about))


def read_exact(tokens: Sequence[Token], levels: int) -> Answer:
    sides = split(tokens, RELATIONS)
    if len(sides) == 1:
        return named_point(tokens, levels) or read_side(tokens, levels)
    signs, position = [], -1
    for side in sides[:-1]:
        position += len(side) + 1
        signs.append(tokens[position].text)
    return relation(sides, tuple(signs), levels)


def relation(sides: Sequence[Sequence[Token]], signs: tuple[str, ...], levels: int) -> Relation:
    labels = tuple("".join(token.text for token in side) for side in sides)
    if not all(labels):
        raise Unreadable
    names = tuple(map(names_a_side, sides))
    return Relation(tuple(attempt(side, levels) for side in sides), labels, names, signs)


def named_point(tokens: Sequence[Token], levels: int) -> Relation | None:
    """A(1, 2) as A = (1, 2)."""
    name, point = tokens[:1], tokens[1:]
    if not point or name[0].kind != "name" or not name[0].text.partition("_")[0].isupper():
        return None
    if point[0].text != "(" or closes(point) != len(point) - 1 or len(split(point[1:-1], (",",))) < 2:
        return None
    return relation((name, point), ("=",), levels)


def attempt(tokens: Sequence[Token], levels: int) -> Answer | None:
    """A side of a relation, where 8 - 3 = 5 is no range."""
    try:
        return read_side(tokens, levels, ranges=False)
    except Unreadable:
        return None


def counted(tokens: Sequence[Token]) -> bool:
    """Whether tokens are a number, perhaps with its unit."""
    units = [token.kind == "unit" or token.text in ("%", "°") for token in tokens[1:]]
    return bool(tokens) and tokens[0].kind == "number" and all(units)


def read_side(tokens: Sequence[Token], levels: int, ranges: bool = True) -> Answer:
    if levels == 0 or not tokens:
        raise Unreadable
    if tokens[0].text in OPEN and closes(tokens) == len(tokens) - 1:
        opening, closing = tokens[0].text, tokens[-1].text
        parts = split(tokens[1:-1], (",", ";"))
        if opening in ("{", r"\{") and (opening == r"\{" or len(parts) > 1):
            return Many(tuple(read_relation(part, levels - 1) for part in parts), "{")
        if len(parts) > 1:
            return Bracket(opening, closing, tuple(read_relation(part, levels - 1) for part in parts))
    found = matrix(tokens, lambda cell: read_relation(cell, levels - 1))
    if found is not None:
        return found
    parts = split(tokens, (":",))
    if len(parts) > 1:
        return clock(parts) or ratio([scalar(part, 1) for part in parts])
    parts = split(tokens, ("-",))
    if len(parts) > 1 and ranges and all(map(counted, parts)):
        return Bracket("-", "", tuple(scalar(part, 1) for part in parts))  # from 10 to 20 cm, a score, a date
    if any(token.text in ("±", "∓") for token in tokens):
        return Many((scalar(tokens, 1), scalar(tokens, -1)), "±")
    return scalar(tokens, 1)


def clock(parts: Sequence[Sequence[Token]]) -> Bracket | None:
    """12:30 as a time of day; None where it is a ratio, which nobody leaves with a common factor. 3:30 pm is a time."""
    last = parts[-1]
    half = last[1].text if len(last) == 2 and last[1].kind == "unit" and last[1].text in ("am", "pm") else ""
    parts = [*parts[:-1], last[:1]] if half else parts
    texts = ["".join(token.text for token in part) for part in parts]
    if len(texts) != 2 or not all(text.isdigit() and len(text) <= 2 for text in texts) or len(texts[1]) != 2:
        return None
    hours, minutes = map(int, texts)
    reduced = math.gcd(hours, minutes) == 1 and not texts[1].startswith("0")
    if hours > 24 or minutes > 59 or (reduced and not half):
        return None
    return Bracket(":", half, tuple(scalar(part, 1) for part in parts))


def ratio(terms: Sequence[Scalar]) -> Answer:
    """a : b is a / b; a longer ratio is the point of all terms by the first."""
    letters = frozenset().union(*(term.letters for term in terms))

    def quotient(a: Scalar, b: Scalar) -> Scalar:
        return Scalar(mapped(lambda x, y: x / y, a.value, b.value), letters)

    if len(terms) == 2:
        return quotient(*terms)
    return Bracket(":", ":", tuple(quotient(term, terms[0]) for term in terms[1:]))
