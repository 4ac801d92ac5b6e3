"""From tokens to a number or formula, with its unit and how it is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from papo.equivalence.answers import Scalar
from papo.equivalence.numbers import TOLERANCE, real
from papo.equivalence.parser import Parser
from papo.equivalence.tokens import Token, Unreadable
from papo.equivalence.units import COEFFICIENT, DOUBTFUL, OF_FORMULAS, PRODUCTS, UNITS, VARIABLES, unit

UNIT_TOKENS = 8  # of a unit at the end of a formula, as in 2 kg*m^2/s


def scalar(tokens: Sequence[Token], sign: int) -> Scalar:
    """A number or formula; where the letters of its unit may be variables, it has both readings.

    Raises:
        Unreadable: it is neither.
    """
    loose = next((position for position, token in enumerate(tokens) if may_be_variables(token)), None)
    if loose is None:
        return computed(tokens, sign)
    counted, letters = attempt(tokens, sign), apart(tokens)
    product = None if letters is None else attempt(letters, sign, may_be_measured=False)
    if product is None and counted is None:
        raise Unreadable
    if product is None:
        return counted
    if counted is None or is_product(tokens, loose, counted):
        return product
    if tokens[loose].text in DOUBTFUL and counted.measured is None and not is_measured(tokens, loose, counted):
        return replace(product, measured=replace(counted, sure=False))
    return replace(counted, product=product)


def apart(tokens: Sequence[Token]) -> list[Token] | None:
    """With single letters in place of the units that may be variables; None where another unit shows that they are
    none, as in km per hour, or one in whole is divided by, as in m/mm."""
    found: list[Token] = []
    for token in tokens:
        if token.kind != "unit":
            found.append(token)
        elif not may_be_variables(token) or (len(token.text) > 1 and found and found[-1].text == "/"):
            return None
        else:
            found += [Token("name", letter) for letter in token.text]
    return found


def may_be_variables(unit: Token) -> bool:
    return unit.letters and (unit.text in PRODUCTS or (len(unit.text) == 1 and unit.text != "Ω"))


def attempt(tokens: Sequence[Token], sign: int, may_be_measured: bool = True) -> Scalar | None:
    try:
        return computed(tokens, sign, may_be_measured)
    except Unreadable:
        return None


def is_product(tokens: Sequence[Token], loose: int, counted: Scalar) -> bool:
    """Whether the letters are surely variables, as in mV^2 / 2, of which no voltage is squared, and in T - 2mg."""
    unit, behind = tokens[loose], [token.text for token in tokens[loose + 1 : loose + 4]]
    squared = behind[:1] == ["^"] and "-" not in behind and tokens[loose - 1].text not in ("/", "*")
    if squared and UNITS[unit.text].measures != UNITS["m"].measures:
        return True
    return bool(counted.letters) and counted.measured is None and (unit.text in DOUBTFUL or not unit.spaced)


def is_measured(tokens: Sequence[Token], loose: int, counted: Scalar) -> bool:
    """Whether letters that are often variables are a unit: 25 mg and 250ml, but neither 3mg nor 2π hr."""
    before = tokens[:loose]
    if any(token.kind == "name" for token in before):
        return False
    if tokens[loose].text in OF_FORMULAS and any(token.text in ("frac", "sqrt", "/") for token in before):
        return False
    value = real(counted.value[0])
    return tokens[loose].spaced or (value is not None and abs(value) >= COEFFICIENT)


def computed(tokens: Sequence[Token], sign: int, may_be_measured: bool = True) -> Scalar:
    parser = Parser(tokens, sign)
    value = parser.read()
    plain = [token.text for token in tokens if token.text not in ("+", "-", "%", "°") and token.kind != "unit"]
    number = plain[0] if len(plain) == 1 and plain[0].replace(".", "").isdigit() else ""
    return Scalar(
        value=value,
        letters=frozenset(parser.letters),
        name=tokens[0].text if len(tokens) == 1 and tokens[0].kind == "name" else None,
        unit=parser.unit,
        words=parser.words,
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
        # 2gh is a product, 2 m s^-1 none; sqrt(3) s^2 is a formula: lengths alone are often roots.
        product = any(a.kind == b.kind == "name" for a, b in pairwise(words)) and all(of.text != "-" for of in words)
        if product or (words[0].text != "m" and any(token.text == "sqrt" for token in number)):
            continue
        found = unit("".join(token.text + " " * (token.kind in ("name", "unit")) for token in words))
        if found is not None:
            try:
                read = computed(number, sign, may_be_measured=False)
            except Unreadable:
                continue
            return None if read.letters else replace(read, unit=found)
    return None


def rounds_to(exact: Scalar, about: Scalar) -> bool:
    """Whether a number is about another one: rounded to its decimals, where that is written as a plain number.

    In degrees it may be the angle of a function's value, as a percentage it is a share.
    """
    x, y = real(exact.value[0]), real(about.value[0])
    if x is None or y is None or about.letters:
        return False
    scales = [100.0 if about.percent and not exact.percent else 1.0]
    if about.unit == UNITS["°"]:
        scales.append(180 / math.pi)
    slack = 0.5 * 10.0**-about.decimals if about.digits else 0.0
    return any(abs(x * scale - y) <= slack + TOLERANCE * abs(y) for scale in scales)
