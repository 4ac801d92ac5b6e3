"""What an answer is: a number or formula, a point or interval, several of them, an equation, an inequality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from papo.equivalence.numbers import Value, mapped
from papo.equivalence.parser import Parser
from papo.equivalence.tokens import Token, Unreadable, tokenise
from papo.equivalence.units import Unit, unit

ITEMS = 30  # of one list: comparing without order takes their square
LEVELS = 4  # of brackets in brackets, the innermost items included
OPEN, CLOSE = ("(", "[", "{", r"\{"), (")", "]", "}", r"\}")
RELATIONS = ("=", "<", ">", "≤", "≥", "∈")
UNIT_LETTERS = ("m/s", "m", "s", "g", "h", "L", "N")  # that are as often variables


@dataclass(frozen=True)
class Scalar:
    """A number, or a formula."""

    value: Value
    letters: frozenset[str]  # its variables
    name: str | None = None  # where it is one variable and nothing else
    unit: Unit | None = None
    percent: bool = False
    decimals: int = 0  # where it is one number written with decimals
    measured: Scalar | None = None  # where its last letter may be a unit: the number without it


@dataclass(frozen=True)
class Bracket:
    """A point, a vector or an interval: what is in order between brackets."""

    opening: str
    closing: str
    items: tuple[Answer, ...]


@dataclass(frozen=True)
class Many:
    """Several answers in any order: a list, a set, a union, both signs of ±."""

    items: tuple[Answer, ...]


@dataclass(frozen=True)
class Relation:
    """x = 3, 1 < x ≤ 5: n + 1 sides around n signs. A side that cannot be read is a label: \\angle ABC = 60°."""

    sides: tuple[Answer | None, ...]
    labels: tuple[str, ...]  # how the sides are written
    signs: tuple[str, ...]


Answer = Scalar | Bracket | Many | Relation


def read(text: str) -> Answer:
    """What an answer's text says.

    Raises:
        Unreadable: it cannot be read, or only at more length than answers have.
    """
    return read_list(tokenise(text), LEVELS)


def read_list(tokens: Sequence[Token], levels: int) -> Answer:
    parts = split(tokens, (",", ";"))
    if len(parts) == 1:
        return read_relation(tokens, levels)
    return Many(tuple(read_relation(part, levels) for part in parts))


def read_relation(tokens: Sequence[Token], levels: int) -> Answer:
    sides = split(tokens, RELATIONS)
    if len(sides) == 1:
        return read_side(tokens, levels)
    signs, position = [], -1
    for side in sides[:-1]:
        position += len(side) + 1
        signs.append(tokens[position].text)
    labels = tuple("".join(token.text for token in side) for side in sides)
    if not all(labels):
        raise Unreadable
    return Relation(tuple(attempt(side, levels) for side in sides), labels, tuple(signs))


def attempt(tokens: Sequence[Token], levels: int) -> Answer | None:
    try:
        return read_side(tokens, levels)
    except Unreadable:
        return None


def read_side(tokens: Sequence[Token], levels: int) -> Answer:
    if levels == 0 or not tokens:
        raise Unreadable
    if tokens[0].text in OPEN and closes(tokens) == len(tokens) - 1:
        opening, closing = tokens[0].text, tokens[-1].text
        parts = split(tokens[1:-1], (",", ";"))
        if opening in ("{", r"\{") and (opening == r"\{" or len(parts) > 1):
            return Many(tuple(read_relation(part, levels - 1) for part in parts))
        if len(parts) > 1:
            return Bracket(opening, closing, tuple(read_relation(part, levels - 1) for part in parts))
    parts = split(tokens, (":",))
    if len(parts) > 1:
        return ratio([scalar(part, 1) for part in parts])
    if any(token.text in ("±", "∓") for token in tokens):
        return Many((scalar(tokens, 1), scalar(tokens, -1)))
    return scalar(tokens, 1)


def ratio(terms: Sequence[Scalar]) -> Answer:
    """a : b is a / b; a longer ratio is the point of all terms by the first."""
    letters = frozenset().union(*(term.letters for term in terms))

    def quotient(a: Scalar, b: Scalar) -> Scalar:
        return Scalar(mapped(lambda x, y: x / y, a.value, b.value), letters)

    if len(terms) == 2:
        return quotient(*terms)
    return Bracket(":", ":", tuple(quotient(term, terms[0]) for term in terms[1:]))


def scalar(tokens: Sequence[Token], sign: int) -> Scalar:
    parser = Parser(tokens, sign)
    value = parser.read()
    plain = [token.text for token in tokens if token.text not in ("+", "-", "%", "°") and token.kind != "unit"]
    return Scalar(
        value=value,
        letters=frozenset(parser.letters),
        name=tokens[0].text if len(tokens) == 1 and tokens[0].kind == "name" else None,
        unit=parser.unit,
        percent=parser.percent,
        decimals=len(plain[0].partition(".")[2]) if len(plain) == 1 and plain[0].replace(".", "").isdigit() else 0,
        measured=measured(tokens, sign),
    )


def measured(tokens: Sequence[Token], sign: int) -> Scalar | None:
    """20m as 20 metres: a number and a letter behind it, which read as a variable otherwise."""
    for letters in UNIT_LETTERS:
        number, last = tokens[: -len(letters)], tokens[-len(letters) :]
        if number and "".join(token.text for token in last) == letters:
            try:
                read = scalar(number, sign)
            except Unreadable:
                return None
            return None if read.letters else replace(read, unit=unit(letters, 1))
    return None


def split(tokens: Sequence[Token], signs: tuple[str, ...]) -> list[Sequence[Token]]:
    """The parts between signs that stand in no bracket.

    Raises:
        Unreadable: more parts than a list may have.
    """
    parts: list[Sequence[Token]] = []
    start = depth = 0
    for position, token in enumerate(tokens):
        depth += (token.text in OPEN) - (token.text in CLOSE)
        if depth == 0 and token.kind == "sign" and token.text in signs:
            parts.append(tokens[start:position])
            start = position + 1
    if len(parts) >= ITEMS:
        raise Unreadable
    return [*parts, tokens[start:]]


def closes(tokens: Sequence[Token]) -> int | None:
    """Where the bracket that the tokens begin with is closed, by whatever bracket: (1, 2] is an interval."""
    depth = 0
    for position, token in enumerate(tokens):
        depth += (token.text in OPEN) - (token.text in CLOSE)
        if depth == 0:
            return position
    return None
