"""Whether two answers are the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from papo.equivalence.answers import Answer, Bracket, Many, Relation, Scalar, read
from papo.equivalence.numbers import Value, mapped, same
from papo.equivalence.prepare import plain
from papo.equivalence.tokens import Unreadable

LONGEST = 10_000  # characters of an answer that is looked into at all
ROUNDED = 6  # decimals from which on a number may be another one, rounded: 0.333333 is 1/3, 0.33 is not
FUNCTION = re.compile(r"y|[fgh](\([a-z]\))?")
MIRRORED = {"<": ">", "≤": "≥", ">": "<", "≥": "≤"}
INFINITY, MINUS_INFINITY = read(r"\infty"), read(r"-\infty")


def equivalent(gold: str, answer: str) -> bool:
    r"""Whether `answer` says what `gold` says.

    Written the same, but for what `prepare.plain` drops; or, where both can be read, mathematically the same (see
    `same_answer`); or, where one cannot, the same but for capital letters.

    >>> equivalent(r"\frac{1}{2}", "0.5"), equivalent("x = 3", "3"), equivalent("(1, 2)", "(2, 1)")
    (True, True, False)
    """
    if len(answer) > LONGEST:
        return gold == answer
    if plain(gold) == plain(answer):
        return True
    try:
        return same_answer(read(gold), read(answer))
    except Unreadable:
        return plain(gold).casefold() == plain(answer).casefold()


def same_answer(a: Answer, b: Answer) -> bool:
    """Two numbers or formulas by value; brackets by kind and item by item; lists and sets in any order.

    An equation stands for its right side where the other is none. A list needs no brackets to be a point.
    """
    if isinstance(a, Relation) or isinstance(b, Relation):
        return same_relation(a, b)
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        return same_scalar(a, b)
    if isinstance(a, Bracket) and isinstance(b, Bracket):
        return (a.opening, a.closing) == (b.opening, b.closing) and in_order(a.items, b.items)
    if isinstance(a, Many) and isinstance(b, Many):
        return any_order(a.items, b.items)
    if isinstance(a, Many) and isinstance(b, Bracket):
        a, b = b, a
    if isinstance(a, Bracket) and isinstance(b, Many):
        return (a.opening, a.closing) == ("(", ")") and in_order(a.items, b.items)
    several, one = (a, b) if isinstance(a, Many) else (b, a)
    return isinstance(several, Many) and any_order(several.items, [one])


def in_order(a: Sequence[Answer], b: Sequence[Answer]) -> bool:
    return len(a) == len(b) and all(same_answer(x, y) for x, y in zip(a, b, strict=True))


def any_order(a: Sequence[Answer], b: Sequence[Answer]) -> bool:
    """Whether each has its own partner in the other."""
    if len(a) != len(b):
        return False
    left = list(b)
    for item in a:
        partner = next((i for i, other in enumerate(left) if same_answer(item, other)), None)
        if partner is None:
            return False
        del left[partner]
    return True


def same_scalar(a: Scalar, b: Scalar) -> bool:
    """By value. Units of one dimension are converted, of two make a difference; one alone is dropped.

    20 % is 20 and 0.2: data sets ask for either.
    """
    left, right = a.value, b.value
    if a.unit is not None and b.unit is not None:
        if a.unit[0] != b.unit[0]:
            return False
        left, right = scaled(left, a.unit[1]), scaled(right, b.unit[1])
    if same_value(left, right, a, b):
        return True
    if a.percent != b.percent:
        percent = Fraction(1, 100)
        left, right = (scaled(left, percent), right) if a.percent else (left, scaled(right, percent))
        return same_value(left, right, a, b)
    # 20m beside 20: the letter is a metre. Beside another formula it is a variable.
    if a.measured is not None and not b.letters:
        return same_scalar(a.measured, b)
    return b.measured is not None and not a.letters and same_scalar(a, b.measured)


def same_value(left: Value, right: Value, a: Scalar, b: Scalar) -> bool:
    if same(left, right, 2 if a.letters | b.letters else 1):
        return True
    decimals = [scalar.decimals for scalar in (a, b) if scalar.decimals >= ROUNDED]
    if not decimals or a.letters or b.letters or left[0] is None or right[0] is None:
        return False
    return abs(float(left[0]) - float(right[0])) <= 0.5 * 10.0 ** -min(decimals)


def scaled(value: Value, factor: Fraction) -> Value:
    return mapped(lambda x: x * factor, value)


def same_relation(a: Answer, b: Answer) -> bool:
    if not (isinstance(a, Relation) and isinstance(b, Relation)):
        relation, other = (a, b) if isinstance(a, Relation) else (b, a)
        meant = said(relation) or interval(relation)
        return meant is not None and same_answer(meant, other)
    if set(a.signs) | set(b.signs) <= {"="}:
        return same_equation(a, b)
    for x, y in ((a, b), (a, mirrored(b))):
        if x.signs == y.signs and None not in (*x.sides, *y.sides) and in_order(x.sides, y.sides):
            return True
    return False


def said(relation: Relation) -> Answer | None:
    """What x = 3, 3 = x and x ∈ {3} say about x; None for an inequality."""
    if set(relation.signs) - {"=", "∈"}:
        return None
    first, last = relation.sides[0], relation.sides[-1]
    turned = isinstance(last, Scalar) and last.name is not None and not (isinstance(first, Scalar) and first.name)
    return first if turned and first is not None else last


def same_equation(a: Relation, b: Relation) -> bool:
    """The same label says the same; or both are met by the same points, as 2x = 6 and x = 3; or one function twice."""
    values = said(a), said(b)
    if None not in values and same_answer(*values):
        labels = a.labels[0], b.labels[0]
        if labels[0] == labels[1] or all(FUNCTION.fullmatch(label) for label in labels):
            return True
    differences = [difference(relation) for relation in (a, b)]
    return None not in differences and proportional(*differences)


def difference(equation: Relation) -> Value | None:
    """Left minus right."""
    if len(equation.sides) != 2 or not all(isinstance(side, Scalar) for side in equation.sides):
        return None
    left, right = equation.sides
    return mapped(lambda x, y: x - y, left.value, right.value)


def proportional(a: Value, b: Value) -> bool:
    """Whether a = c b at all points, with one c; and both are defined, b is not 0 and a no constant."""
    ratios = mapped(lambda x, y: x / y, a, b)
    first = ratios[0]
    # Equal ratios of constants mean nothing: 1 = 2 is not 3 = 5.
    return first is not None and len(set(a)) > 1 and same(ratios, (first,) * len(ratios), len(ratios))


def mirrored(relation: Relation) -> Relation:
    """Read from right to left."""
    signs = tuple(MIRRORED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(relation.sides[::-1], relation.labels[::-1], signs)


def interval(inequality: Relation) -> Bracket | None:
    """What x > 3 or 1 < x ≤ 5 says about x: the interval (3, ∞) or (1, 5]."""
    for relation in (inequality, mirrored(inequality)):
        names = [isinstance(side, Scalar) and side.name is not None for side in relation.sides]
        if set(relation.signs) <= {"<", "≤"} and names in ([True, False], [False, True], [False, True, False]):
            where = names.index(True)
            low, opening, high, closing = MINUS_INFINITY, "(", INFINITY, ")"
            if where > 0:
                low, opening = relation.sides[where - 1], "(" if relation.signs[where - 1] == "<" else "["
            if where < len(names) - 1:
                high, closing = relation.sides[where + 1], ")" if relation.signs[where] == "<" else "]"
            return None if low is None or high is None else Bracket(opening, closing, (low, high))
    return None
