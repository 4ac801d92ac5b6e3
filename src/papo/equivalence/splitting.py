"""Tokens between signs and brackets."""

from __future__ import annotations

from collections.abc import Sequence

from papo.equivalence.tokens import Token, Unreadable

ITEMS = 30  # of one list: comparing without order takes their square
OPEN, CLOSE = ("(", "[", "{", r"\{", "⟦"), (")", "]", "}", r"\}", "⟧")


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
