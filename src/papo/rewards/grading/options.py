"""Which option of a multiple-choice question an answer names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

# What may stand around a letter. Possessive (*+): a megabyte of it is read once.
OPENING = r"(?:\\(?:text|math)(?:bf|rm|sf|it)?\s*+\{|\\boxed\{|[\s$*{(])*+"
LEADING = re.compile(OPENING + r"([A-Za-z])[\s$*}]*+(?:[).:]|\Z)")


def option(answer: str, choices: Sequence[str]) -> str | None:
    """The letter of the option that `answer` names, "A" for the first; None where it names none.

    An option's text names it, without regard to case; so does its letter, with or without parentheses. Text goes first:
    an option may be a letter itself. Without `choices` (the question alone lists them) any single letter will do.
    """
    texts = [choice.strip().casefold() for choice in choices]
    if answer.casefold() in texts:
        return ascii_uppercase[texts.index(answer.casefold())]
    letter = answer.strip("() ").upper()
    return letter if letter in letters(choices) else None


def leading_letter(answer: str, choices: Sequence[str]) -> str | None:
    r"""The letter that an answer consists of or begins with: B, (b), \text{B}, **B**, "B. 5 cm", "(B) 5 cm".

    Followed by anything but a closing parenthesis, a full stop or a colon it is no letter but a word: "A triangle".
    """
    match = LEADING.match(answer)
    return match[1].upper() if match and match[1].upper() in letters(choices) else None


def letters(choices: Sequence[str]) -> tuple[str, ...]:
    """Of the options; all letters where only the question lists them."""
    return tuple(ascii_uppercase[: len(choices)] if choices else ascii_uppercase)
