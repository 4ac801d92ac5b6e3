"""What an answer is: a number or formula, a point, vector or interval, several of them, an equation, an inequality."""

from __future__ import annotations

from dataclasses import dataclass

from papo.equivalence.numbers import Value
from papo.equivalence.units import Unit


@dataclass(frozen=True)
class Scalar:
    """A number, or a formula."""

    value: Value
    letters: frozenset[str]  # its variables
    name: str | None = None  # where it is one variable and nothing else
    unit: Unit | None = None
    words: str = ""  # what its unit is written as, known or not
    percent: bool = False
    cancels: bool = False  # whether a difference or a function is in it, and rounding may leave something of a 0
    decimals: int = 0  # where it is one number written with decimals
    digits: int = 0  # and how many of its digits count
    measured: Scalar | None = None  # where its last letters may be a unit: the number without it
    product: Scalar | None = None  # where the letters of its unit may be variables: the product
    sure: bool = True  # whether its unit is no product, so that a number without one says the same: 3 kg, not 3mg


@dataclass(frozen=True)
class Bracket:
    """What is in order: a point, a vector, an interval, a matrix's rows; a range or a score, a time, a long ratio."""

    opening: str
    closing: str
    items: tuple[Answer, ...]


@dataclass(frozen=True)
class Many:
    """Several answers in any order: a list, a set, a union, both signs of ±."""

    items: tuple[Answer, ...]
    joined: str = ","  # or ";" as a union is; "{" of a set; "±"; "and" or "or" between inequalities


@dataclass(frozen=True)
class Relation:
    """x = 3, 1 < x ≤ 5: n + 1 sides around n signs."""

    sides: tuple[Answer | None, ...]  # None: it cannot be read
    labels: tuple[str, ...]  # how the sides are written
    names: tuple[bool, ...]  # whether a side only names what the others are: x, AB, \angle ABC, f(2)
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Rounded:
    """12π ≈ 37.7: a number, and what it is about."""

    forms: tuple[Answer, Answer]


Answer = Scalar | Bracket | Many | Relation | Rounded
