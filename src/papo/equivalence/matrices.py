"""Matrices: written out, and scaled, added and multiplied, as in an inverse with its factor before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial, reduce
from operator import add as plus
from operator import mul as times

from papo.equivalence.answers import Answer, Bracket, Scalar
from papo.equivalence.numbers import constant, mapped
from papo.equivalence.scalars import scalar
from papo.equivalence.splitting import closes, split
from papo.equivalence.tokens import Token, Unreadable

Rows = tuple[tuple[Answer, ...], ...]
Cell = Callable[[Sequence[Token]], Answer]
MATRICES = 10  # of one answer
PRODUCTS = 64  # of cells in one product: four rows by four columns
ONE, MINUS_ONE = (Scalar(constant(Fraction(sign)), frozenset()) for sign in (1, -1))


def matrix(tokens: Sequence[Token], cell: Cell) -> Answer | None:
    r"""A matrix, or what sums and products of some come to; None where there is none.

    A single row or column is a vector, (1, 2).

    Args:
        cell: reads one.

    Raises:
        Unreadable: sizes that do not fit or are too large, a matrix less a number, or what is no matrix among them.
    """
    if not any(token.text == "⟦" for token in tokens):
        return None
    rows = total(tokens, cell)
    if len(rows) == 1 or all(len(row) == 1 for row in rows):
        return Bracket("(", ")", tuple(item for row in rows for item in row))
    return Bracket("⟦", "⟧", tuple(Bracket("(", ")", row) for row in rows))


def total(tokens: Sequence[Token], cell: Cell) -> Rows:
    start, terms = 0, []
    for part in split(tokens, ("+", "-")):
        if part:
            terms.append(product(part, cell, MINUS_ONE if start and tokens[start - 1].text == "-" else ONE))
        elif start:  # a sign behind a sign, or at the end
            raise Unreadable
        start += len(part) + 1
    return reduce(added, terms)


def product(tokens: Sequence[Token], cell: Cell, factor: Scalar) -> Rows:
    """Of matrices, at least one, and numbers before, between and behind them."""
    found: Rows | None = None
    for part in factors(tokens):
        rows = written(part, cell)
        if rows is None:
            factor = computed(times, factor, number(part))
        else:
            found = rows if found is None else multiplied(found, rows)
    if found is None:
        raise Unreadable
    return found if factor is ONE else tuple(tuple(computed(times, factor, item) for item in row) for row in found)


def factors(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Each matrix, with the brackets that it may stand in, and what is between two of them."""
    start = position = 0
    while position < len(tokens):
        rest = tokens[position:]
        end = closes(rest)
        if end is not None and end > 0 and "⟦" in [token.text for token in rest[:2]]:
            if start < position:
                yield tokens[start:position]
            yield rest[: end + 1]
            start = position = position + end + 1
        else:
            position += 1 + (end or 0)
    if start < len(tokens):
        yield tokens[start:]


def written(tokens: Sequence[Token], cell: Cell) -> Rows | None:
    """The rows of cells of what is written as a matrix; None for all else."""
    if tokens[0].text != "⟦":
        tokens = tokens[1:-1]
        if not tokens or tokens[0].text != "⟦" or closes(tokens) != len(tokens) - 1:
            return None
    rows = tuple(tuple(map(cell, split(row, ("&",)))) for row in split(tokens[1:-1], ("⏎",)) if len(row))
    if not rows:
        raise Unreadable
    return rows


def number(tokens: Sequence[Token]) -> Scalar:
    """What a matrix is multiplied with or divided by."""
    first, last = tokens[0].text, tokens[-1].text
    if len(tokens) == 1 and first == "*":
        return ONE
    tokens = [Token("number", "1"), *tokens] if first == "/" else tokens[1:] if first == "*" else tokens
    return scalar(tokens[:-1] if last == "*" else tokens, 1)


def multiplied(a: Rows, b: Rows) -> Rows:
    if len({len(row) for row in b}) > 1 or any(len(row) != len(b) for row in a):
        raise Unreadable
    if len(a) * len(b) * len(b[0]) > PRODUCTS:
        raise Unreadable
    return tuple(tuple(dot(row, column) for column in zip(*b, strict=True)) for row in a)


def dot(row: Sequence[Answer], column: Sequence[Answer]) -> Scalar:
    return reduce(partial(computed, plus), map(partial(computed, times), row, column))


def added(a: Rows, b: Rows) -> Rows:
    if list(map(len, a)) != list(map(len, b)):
        raise Unreadable
    return tuple(tuple(map(partial(computed, plus), *rows)) for rows in zip(a, b, strict=True))


def computed(operation: Callable, a: Answer, b: Answer) -> Scalar:
    """Of two cells, or a number and a cell: one without a unit, and without what only texts have."""
    if not all(isinstance(side, Scalar) and side.unit is None and not side.percent for side in (a, b)):
        raise Unreadable
    return Scalar(mapped(operation, a.value, b.value), a.letters | b.letters, cancels=True)
