"""Whether two answers are the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from papo.equivalence.answers import Answer, Bracket, Many, Relation, Rounded, Scalar
from papo.equivalence.intervals import MIRRORED, interval, mirrored, narrowed
from papo.equivalence.naming import assigns, is_point, labels, same_name
from papo.equivalence.numbers import NEAR_ZERO, Number, Value, factor, mapped, real, same
from papo.equivalence.plain_units import Measured, number_and_unit
from papo.equivalence.prepare import plain, prepared
from papo.equivalence.reading import read
from papo.equivalence.tokens import CHARACTERS, Unreadable, only_words
from papo.equivalence.wording import opposed, same_letters, same_words, segments

LONGEST = 10_000  # characters of an answer that is looked into at all
REMEMBERED = 200  # characters of a text that is kept for long
ROUNDED = 6  # decimals from which on a number may be another one, rounded: 0.333333 is 1/3, 0.33 is not
COUNTING = 4  # digits that it needs beside: 0.000000 is not every small number
# A comma where others write a point. Three digits behind it are thousands, unless nothing but a 0 is before it.
DECIMAL_COMMA = re.compile(r"[-+]?(?:0,[0-9]++|[0-9]++,(?![0-9]{3}\Z)[0-9]++)")
FUNCTION = re.compile(r"y|[fgh](\([a-z]\))?")
WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]")  # no command: 5 apples, but not 5\pi
# What is multiplied in any order; only under a sum: an angle A_1 B_1 C_1 has its corner in the middle.
FACTOR = re.compile(r"[A-Za-z]_(?:[A-Za-z0-9]|\{[^{}]{1,20}\})")
INDEXED = re.compile(rf"(?:{FACTOR.pattern}){{2,9}}")


def equivalent(gold: str, answer: str) -> bool:
    r"""Whether `answer` says what `gold` says.

    Written the same, but for what `prepare.plain` drops; or, where both can be read, mathematically the same (see
    `same_answer`); or, where one cannot, the same but for capital letters.

    >>> equivalent(r"\frac{1}{2}", "0.5"), equivalent("x = 3", "3"), equivalent("(1, 2)", "(2, 1)")
    (True, True, False)
    """
    if gold == answer or len(answer) > LONGEST:
        return gold == answer
    a, b = seen(gold), seen(answer)
    if a.plain == b.plain:
        return True
    if a.words and b.words:
        return same_words(gold, answer)
    if a.answer is None or b.answer is None:
        return same_letters(a.plain, b.plain)
    if a.segments and b.segments and a.segments != b.segments:
        return False
    if same_answer(a.answer, b.answer) or (", " not in answer and same_with_comma(a, b)):
        return True
    return same_with_unit(b.measured, a, gold) or (
        a.measured is not None and a.measured.sure and same_with_unit(a.measured, b, answer)
    )


class Seen(NamedTuple):
    plain: str
    answer: Answer | None  # None: it cannot be read
    words: bool = False  # whether it is words alone: two of those are compared letter by letter
    segments: frozenset[str] = frozenset()  # where it is a formula of several and nothing else
    measured: Measured | None = None  # where it is a number with a unit in plain text, as 300 K


def looked_into(text: str) -> Seen:
    written = plain(text)
    if "\\sum" in written or "\\prod" in written:
        written = INDEXED.sub(lambda found: "".join(sorted(FACTOR.findall(found[0]))), written)
    if len(text) > CHARACTERS:
        return Seen(written, None)
    form = prepared(text)
    try:
        return Seen(written, read(text), only_words(form), segments(form), number_and_unit(text))
    except Unreadable:
        return Seen(written, None, only_words(form))


remembered = lru_cache(4096)(looked_into)
latest = lru_cache(2)(looked_into)  # of long texts, which may be large, only the last: one and what it is compared with


def seen(text: str) -> Seen:
    """A gold is compared with every response of its group, and their answers are often the same; a long answer meets
    every choice and label of its item."""
    return remembered(text) if len(text) <= REMEMBERED else latest(text)


def same_with_comma(gold: Seen, answer: Seen) -> bool:
    """Whether 1,22, which is a list, is the 1.22 that is asked for. A gold with a comma stays a list."""
    if not (isinstance(gold.answer, Scalar) and gold.answer.decimals and DECIMAL_COMMA.fullmatch(answer.plain)):
        return False
    decimal = seen(answer.plain.replace(",", ".")).answer  # None: it has too many digits
    return decimal is not None and same_answer(gold.answer, decimal)


def same_with_unit(measured: Measured | None, other: Seen, text: str) -> bool:
    """Whether 300 K is what the other says, in this text: a number without a unit, or with one that can be compared."""
    said = other.answer
    if measured is None or not isinstance(said, Scalar) or said.letters or said.percent:
        return False
    if text.count("$") % 2:  # $5, no formula between two of them
        return False
    comparable = measured.number.unit is not None if said.unit is not None else not WORD.search(other.plain)
    return comparable and same_scalar(measured.number, said)


def same_answer(a: Answer, b: Answer) -> bool:
    """Two numbers or formulas by value; brackets by kind and item by item; lists and sets in any order.

    An equation that names a quantity stands for its value where the other is none. A list needs no brackets to be a
    point; a set, both signs of ± and several values of one name are none.
    """
    a, b = narrowed(a), narrowed(b)
    if isinstance(a, Rounded) or isinstance(b, Rounded):
        return any(same_answer(x, y) for x in forms(a) for y in forms(b))
    if isinstance(a, Relation) or isinstance(b, Relation):
        return same_relation(a, b)
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        return not opposed(a.words, b.words) and same_scalar(a, b)
    if isinstance(a, Bracket) and isinstance(b, Bracket):
        return (a.opening, a.closing) == (b.opening, b.closing) and in_order(a.items, b.items)
    if isinstance(a, Many) and isinstance(b, Many):
        if {a.joined, b.joined} in ({"and", "or"}, {"and", ";"}):
            return False
        same_order = in_order if assigns(a) != assigns(b) else any_order
        return same_order(a.items, b.items)
    if isinstance(a, Many) and isinstance(b, Bracket):
        a, b = b, a
    if isinstance(a, Bracket) and isinstance(b, Many) and is_point(b):
        return (a.opening, a.closing) == ("(", ")") and in_order(a.items, b.items)
    several, one = (a, b) if isinstance(a, Many) else (b, a)
    # 3/4 or 0.75 says one thing twice.
    return isinstance(several, Many) and all(same_answer(item, one) for item in several.items)


def forms(answer: Answer) -> tuple[Answer, ...]:
    return answer.forms if isinstance(answer, Rounded) else (answer,)


def in_order(a: Sequence[Answer], b: Sequence[Answer]) -> bool:
    return len(a) == len(b) and all(same_answer(x, y) for x, y in zip(a, b, strict=True))


def any_order(a: Sequence[Answer], b: Sequence[Answer]) -> bool:
    """Whether each has its own partner in the other; what `b` says again it has said."""
    b = distinct(b) if len(b) > len(a) else b
    if len(a) != len(b):
        return False
    left = list(b)
    for item in a:
        partner = next((i for i, other in enumerate(left) if same_answer(item, other)), None)
        if partner is None:
            return False
        del left[partner]
    return True


def distinct(items: Sequence[Answer]) -> list[Answer]:
    found: list[Answer] = []
    for item in items:
        if not any(same_answer(item, other) for other in found):
            found.append(item)
    return found


def same_scalar(a: Scalar, b: Scalar) -> bool:
    """By value, in some reading of both."""
    if same_measure(a, b):
        return True
    # 20m beside 20: the letter is a metre. Beside another formula it is a variable.
    for one, other in ((a, b), (b, a)):
        if one.measured is not None and not other.letters:
            return (one.measured.sure or other.unit is not None) and same_measure(one.measured, other)
    if a.measured is not None and b.measured is not None and same_measure(a.measured, b.measured):
        return True
    if a.product and b.product and a.unit and b.unit:  # 8 mg, 8 gm: two units
        return False
    # \frac12 kg and \frac{kg}{2}: a product, where both may be one.
    left, right = a.product or a, b.product or b
    return bool((a.product or b.product) and left.letters and right.letters) and same_measure(left, right)


def same_measure(a: Scalar, b: Scalar) -> bool:
    """By value. Units of one dimension are converted, of two make a difference; one alone, or an unknown one, is
    dropped.

    20 % is 20 and 0.2: data sets ask for either.
    """
    scales = (Fraction(1), Fraction(1))
    if a.unit is not None and b.unit is not None:
        if a.unit.measures != b.unit.measures:
            return False
        scales = (a.unit.scale, b.unit.scale)
    if same_value(a, b, scales):
        return True
    if a.percent == b.percent:
        return False
    share = (Fraction(1, 100), Fraction(1)) if a.percent else (Fraction(1), Fraction(1, 100))
    return same_value(a, b, (scales[0] * share[0], scales[1] * share[1]))


def same_value(a: Scalar, b: Scalar, scales: tuple[Fraction, Fraction]) -> bool:
    """Whether two values are the same once each is multiplied by its scale."""
    left, right = (scaled(side.value, scale) for side, scale in zip((a, b), scales, strict=True))
    # What rounding may have left is taken for 0, not for a tiny number that the other side states.
    near_zero = (a.cancels and (b.cancels or not any(right))) or (b.cancels and not any(left))
    if same(left, right, 2 if a.letters | b.letters else 1, NEAR_ZERO if near_zero else 0.0):
        return True
    if a.letters or b.letters:
        return False
    return any(rounded(left[0], right[0], side, scale) for side, scale in zip((a, b), scales, strict=True))


def rounded(left: Number, right: Number, scalar: Scalar, scale: Fraction) -> bool:
    """Whether one number is another one to as many decimals as it is written with: in its own unit, which has this
    scale."""
    x, y = real(left), real(right)
    if scalar.decimals < ROUNDED or scalar.digits < COUNTING or x is None or y is None:
        return False
    return abs(x - y) <= Fraction(1, 2 * 10**scalar.decimals) * scale  # exact: a scale may be beyond the floats


def scaled(value: Value, factor: Fraction) -> Value:
    return value if factor == 1 else mapped(lambda x: x * factor, value)


def same_relation(a: Answer, b: Answer) -> bool:
    if not (isinstance(a, Relation) and isinstance(b, Relation)):
        relation, other = (a, b) if isinstance(a, Relation) else (b, a)
        stated = said(relation)
        meant = stated or interval(relation)
        within = stated is None or "∈" in relation.signs
        if meant is None or (within and isinstance(other, Many) and not isinstance(meant[1], Many)):
            return False  # 0 < x < 1 is no 0, 1
        if isinstance(other, Many) and isinstance(meant[1], Bracket) and meant[0] == f"({','.join(labels(other))})":
            return in_order(meant[1].items, other.items)  # (x_1, x_2) = (1, 3), and x_1 = 1, x_2 = 3
        return same_answer(meant[1], other)
    if set(a.signs) | set(b.signs) <= {"="}:
        return same_equation(a, b)
    for x, y in ((a, b), (a, mirrored(b))):
        if x.signs == y.signs and None not in (*x.sides, *y.sides) and in_order(x.sides, y.sides):
            return True
    meant = [said(relation) or interval(relation) for relation in (a, b)]
    if None not in meant and meant[0][0] == meant[1][0] and same_answer(meant[0][1], meant[1][1]):
        return True
    return same_half(a, b)


def said(relation: Relation) -> tuple[str, Answer] | None:
    """What x = 3, 3 = x and x ∈ {3} say: of what, and its value. None for an inequality, or where no side names it."""
    if set(relation.signs) - {"=", "∈"}:
        return None
    first, last = (0, -1) if relation.names[0] else (-1, 0)
    if relation.names[first]:
        value = relation.sides[last]
        return None if value is None else (relation.labels[first], value)
    numbers = [side for side in relation.sides if isinstance(side, Scalar) and not side.letters]
    # A calculation, 2 + 3 = 5, says its result, if it is one.
    if len(numbers) == len(relation.sides) and all(same_scalar(numbers[0], number) for number in numbers[1:]):
        return "", numbers[-1]
    return None


def same_equation(a: Relation, b: Relation) -> bool:
    """The same value of the same; or both are met by the same points, as 2x = 6 and x = 3; or one function twice."""
    values = said(a), said(b)
    if None not in values and same_answer(values[0][1], values[1][1]):
        labels = values[0][0], values[1][0]
        if same_name(*labels) or all(FUNCTION.fullmatch(label) for label in labels):
            return True
    sides = both_sides(a), both_sides(b)
    return None not in sides and factor(*sides) is not None


def same_half(a: Relation, b: Relation) -> bool:
    """-2x > -6 and x < 3: the same side of the same, its border in or out of both."""
    if not (len(a.signs) == len(b.signs) == 1 and a.signs[0] in MIRRORED and b.signs[0] in MIRRORED):
        return False
    sides = both_sides(a), both_sides(b)
    times = None if None in sides else factor(*sides)
    if times is None:
        return False
    return a.signs[0] == (b.signs[0] if times > 0 else MIRRORED[b.signs[0]])


def both_sides(relation: Relation) -> tuple[Value, Value] | None:
    """The values of an equation's sides; None where one has a unit, which they leave out."""
    if len(relation.sides) != 2 or not all(isinstance(side, Scalar) for side in relation.sides):
        return None
    left, right = relation.sides
    if left.words or right.words:
        return None
    return left.value, right.value
