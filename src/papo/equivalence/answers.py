"""What an answer is: a number or formula, a point, vector or interval, several of them, an equation, an inequality."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from papo.equivalence.numbers import TOLERANCE, Number, Value, mapped, real
from papo.equivalence.parser import Parser
from papo.equivalence.tokens import Token, Unreadable, tokenise
from papo.equivalence.units import UNITS, VARIABLES, Unit, unit

ITEMS = 30  # of one list: comparing without order takes their square
LEVELS = 4  # of brackets in brackets, the innermost items included
OPEN, CLOSE = ("(", "[", "{", r"\{", "⟦"), (")", "]", "}", r"\}", "⟧")
RELATIONS = ("=", "<", ">", "≤", "≥", "∈", "≠")
UNIT_TOKENS = 8  # of a unit at the end of a formula, as in 2 kg*m^2/s
# Ratios of segments, or of two sides: \\frac{AB}{CD}, AB/CD, \\frac{a}{c}.
SEGMENTS = re.compile(r"frac(?: [A-Z]\w*)+|frac [a-z]\w* [a-z]\w*|[A-Z]\w*(?: [A-Z]\w*)* / [A-Z]\w*(?: [A-Z]\w*)*")
FUNCTIONS = set("fghFGHPSTVW")  # whose value is asked for: f(2), P(A)


@dataclass(frozen=True)
class Scalar:
    """A number, or a formula."""

    value: Value
    letters: frozenset[str]  # its variables
    name: str | None = None  # where it is one variable and nothing else
    unit: Unit | None = None
    percent: bool = False
    cancels: bool = False  # whether a difference or a function is in it, and rounding may leave something of a 0
    decimals: int = 0  # where it is one number written with decimals
    digits: int = 0  # and how many of its digits count
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
    """x = 3, 1 < x ≤ 5: n + 1 sides around n signs."""

    sides: tuple[Answer | None, ...]  # None: it cannot be read
    labels: tuple[str, ...]  # how the sides are written
    names: tuple[bool, ...]  # whether a side only names what the others are: x, AB, \\angle ABC, f(2)
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Rounded:
    """12π ≈ 37.7: a number, and what it is about."""

    forms: tuple[Answer, Answer]


Answer = Scalar | Bracket | Many | Relation | Rounded


def read(text: str) -> Answer:
    """What an answer's text says.

    Raises:
        Unreadable: it cannot be read, or only at more length than answers have.
    """
    return read_list(tokenise(text), LEVELS)


def read_list(tokens: Sequence[Token], levels: int) -> Answer:
    """Parts between commas; p=5, q=2; p=7, q=2 are two lists of two."""
    if levels == 0:
        raise Unreadable
    groups = split(tokens, (";",))
    if len(groups) > 1:
        return Many(tuple(read_list(group, levels - 1) for group in groups))
    parts = split(tokens, (",",))
    if len(parts) == 1:
        return read_relation(tokens, levels)
    return Many(tuple(read_relation(part, levels) for part in parts))


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
    if not isinstance(stated, Scalar) or not rounds_to(stated.value[0], about):
        raise Unreadable
    return Rounded((exact, about))


def rounds_to(exact: Number, about: Scalar) -> bool:
    """Whether a number is about another one: rounded to its decimals, where that is written as a plain number.

    In degrees it may be the angle of a function's value, as a percentage a share.
    """
    x, y = real(exact), real(about.value[0])
    if x is None or y is None or about.letters:
        return False
    scales = [1.0]
    if about.unit == UNITS["°"]:
        scales.append(180 / math.pi)
    if about.percent:
        scales.append(100.0)
    slack = 0.5 * 10.0**-about.decimals if about.digits else 0.0
    return any(abs(x * scale - y) <= slack + TOLERANCE * abs(y) for scale in scales)


def read_exact(tokens: Sequence[Token], levels: int) -> Answer:
    sides = split(tokens, RELATIONS)
    if len(sides) == 1:
        return read_side(tokens, levels)
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


def names_a_side(tokens: Sequence[Token]) -> bool:
    r"""Whether tokens name a quantity and say nothing about it.

    x, x_1, AB, |AB|, [ABC], \angle ABC, \angle 1, \vec{a}, f(2), E(X), \sin A, \tan 30°, Area, (x, y), AB : CD and
    \frac{AB}{CD} do. In x^2 = 4y and x - 3y + 24 = 0 no side does: what stands on the other one is not the answer.
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
    kinds = {token.kind for token in tokens}
    if kinds == {"name"}:
        return len(tokens) == 1 or all(token.text[0].isupper() for token in tokens)
    if first.kind == "function":
        return len(tokens) > 1 and all(token.kind != "sign" or token.text in ("(", ")", "°", "^") for token in tokens)
    return first.kind == "opaque" and kinds <= {"name", "opaque", "number"}


def calls(tokens: Sequence[Token]) -> bool:
    """Whether a letter stands before a bracket as a function does: f(2), E(X), C(5, 2); x(x - 1) is a product."""
    rest = tokens[1:]
    if len(rest) < 3 or rest[0].text != "(" or closes(rest) != len(rest) - 1:
        return False
    inside = rest[1:-1]
    return tokens[0].text in FUNCTIONS or all(token.kind != "sign" or token.text == "," for token in inside)


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
        if opening == "⟦":
            return read_matrix(tokens[1:-1], levels - 1)
        if tokens[1].text == "⟦" and closes(tokens[1:-1]) == len(tokens) - 3:
            return read_matrix(tokens[2:-2], levels - 1)
        parts = split(tokens[1:-1], (",", ";"))
        if opening in ("{", r"\{") and (opening == r"\{" or len(parts) > 1):
            return Many(tuple(read_relation(part, levels - 1) for part in parts))
        if len(parts) > 1:
            return Bracket(opening, closing, tuple(read_relation(part, levels - 1) for part in parts))
    parts = split(tokens, (":",))
    if len(parts) > 1:
        return clock(parts) or ratio([scalar(part, 1) for part in parts])
    if [token.kind for token in tokens] == ["number", "sign", "number"] and tokens[1].text == "-":
        return Bracket("-", "", (scalar(tokens[:1], 1), scalar(tokens[2:], 1)))  # from 10 to 20, or a score: 3-2
    if any(token.text in ("±", "∓") for token in tokens):
        return Many((scalar(tokens, 1), scalar(tokens, -1)))
    return scalar(tokens, 1)


def read_matrix(tokens: Sequence[Token], levels: int) -> Answer:
    """Rows of cells; a single row or column is a vector, (1, 2)."""
    rows = [
        tuple(read_relation(cell, levels) for cell in split(row, ("&",))) for row in split(tokens, ("⏎",)) if len(row)
    ]
    if len(rows) == 1 or all(len(row) == 1 for row in rows):
        return Bracket("(", ")", tuple(cell for row in rows for cell in row))
    return Bracket("⟦", "⟧", tuple(Bracket("(", ")", row) for row in rows))


def clock(parts: Sequence[Sequence[Token]]) -> Bracket | None:
    """12:30 as a time of day; None where it is a ratio, which nobody leaves with a common factor."""
    texts = ["".join(token.text for token in part) for part in parts]
    if len(texts) != 2 or not all(text.isdigit() and len(text) <= 2 for text in texts) or len(texts[1]) != 2:
        return None
    hours, minutes = map(int, texts)
    reduced = math.gcd(hours, minutes) == 1 and not texts[1].startswith("0")
    if hours > 24 or minutes > 59 or reduced:
        return None
    return Bracket(":", "", tuple(scalar(part, 1) for part in parts))


def ratio(terms: Sequence[Scalar]) -> Answer:
    """a : b is a / b; a longer ratio is the point of all terms by the first."""
    letters = frozenset().union(*(term.letters for term in terms))

    def quotient(a: Scalar, b: Scalar) -> Scalar:
        return Scalar(mapped(lambda x, y: x / y, a.value, b.value), letters)

    if len(terms) == 2:
        return quotient(*terms)
    return Bracket(":", ":", tuple(quotient(term, terms[0]) for term in terms[1:]))


def scalar(tokens: Sequence[Token], sign: int, may_be_measured: bool = True) -> Scalar:
    parser = Parser(tokens, sign)
    value = parser.read()
    plain = [token.text for token in tokens if token.text not in ("+", "-", "%", "°") and token.kind != "unit"]
    number = plain[0] if len(plain) == 1 and plain[0].replace(".", "").isdigit() else ""
    return Scalar(
        value=value,
        letters=frozenset(parser.letters),
        name=tokens[0].text if len(tokens) == 1 and tokens[0].kind == "name" else None,
        unit=parser.unit,
        percent=parser.percent,
        cancels=parser.cancels,
        decimals=len(number.partition(".")[2]),
        digits=len(number.replace(".", "").lstrip("0")),
        measured=measured(tokens, sign) if may_be_measured and parser.letters else None,
    )


def measured(tokens: Sequence[Token], sign: int) -> Scalar | None:
    """20m as 20 metres: a number with letters behind it that read as variables otherwise; None where it is no such."""
    for start in range(max(1, len(tokens) - UNIT_TOKENS), len(tokens)):
        words, number = tokens[start:], tokens[:start]
        if words[0].text not in VARIABLES or any(
            token.text not in VARIABLES and token.kind not in ("sign", "number", "unit") for token in words
        ):
            continue
        # 2gh is a product, and so is sqrt(3) s^2: lengths alone are often roots.
        side_by_side = any(a.kind == b.kind == "name" for a, b in pairwise(words))
        if side_by_side or (words[0].text != "m" and any(token.text == "sqrt" for token in number)):
            continue
        found = unit("".join(token.text + " " * (token.kind in ("name", "unit")) for token in words))
        if found is not None:
            try:
                read = scalar(number, sign, may_be_measured=False)
            except Unreadable:
                continue
            return None if read.letters else replace(read, unit=found)
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
