"""Which option of a multiple-choice question an answer names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from string import ascii_uppercase

from papo.rewards.extraction import unwrapped

# What may stand around a letter. Possessive (*+): a megabyte of it is read once.
CALLED = "(?:[Oo]ption|[Cc]hoice)s?"
BETWEEN = rf"or|and|text|(?<=\\)(?:left|right)|{CALLED}"  # letters in a list
OPENING = rf"(?:\\(?:text|math)(?:bf|rm|sf|it)?\s*+\{{|\\boxed\{{|\\left(?![a-z])|{CALLED}\s|[\s$*{{(])*+"
LEADING = re.compile(OPENING + r"([A-Za-z])(?:[\s$*}]|\\right(?![a-z]))*+(?:[).:]|\Z)")
ALONE = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
# No formula: it has digits, signs, or letters of variables.
LETTERS_ALONE = re.compile(rf"(?:[^A-Za-z0-9+=<>^]++|(?<![A-Za-z])(?:[A-Z]|{BETWEEN})(?![A-Za-z]))*+")
MARKED = re.compile(r"(?<![A-Za-z0-9])\(\s?([A-Z])\s?\)|(?<![A-Za-z0-9])([A-Z])(?:[):]|\.(?=\s*\S))")
# In lower case a letter is as often an article, a variable or a unit: see `listed_small`.
MARKED_SMALL = re.compile(r"(?<![A-Za-z0-9])\(\s?([a-z])\s?\)|(?<![A-Za-z0-9(.])([a-z])(?:\)|[.:](?=\s+\S))")
COMMAND, WORD = re.compile(r"\\[a-z]+"), re.compile(r"[0-9]+|[^\W\d_]+")
# "or c", ", (c)": a list of letters that goes on. What has other words, or no such beginning, may be an option's own
# text: "(c) both (a) and (b)", "B. (a) and (c)".
LIST = re.compile(
    r"(?:[^A-Za-z0-9+=<>^,;/&]|(?<=\\)text(?![a-z]))*+(?:[,;/&]|(?:or|and)(?![A-Za-z]))"
    rf"(?:[^A-Za-z0-9+=<>^]++|(?<![A-Za-z])(?:[A-Za-z]|{BETWEEN})(?![A-Za-z]))*+"
)
MOST = 10  # options of a question that does not list them apart
LONGEST = 10_000  # characters of an answer that is looked into


def option(answer: str, choices: Sequence[str], *, letter_first: bool = False) -> str | None:
    """The letter of the option that `answer` names, "A" for the first; None where it names none.

    An option's text names it, without regard to case; so does its letter, with or without parentheses. Text goes first:
    an option may be a letter itself. Without `choices` (the question alone lists them) any single letter will do.

    Args:
        letter_first: where the right answer is a letter by definition; then what an answer names by a letter is, too,
            but for a small one that is an option's very text, such as a variable.
    """
    letter = answer.strip("() ").upper()
    if letter_first and letter in letters(choices) and not (answer.islower() and answer in choices):
        return letter
    for form in (str, str.casefold):
        texts = [form(choice.strip()) for choice in choices[: len(ascii_uppercase)]]
        if form(answer) in texts:
            return ascii_uppercase[texts.index(form(answer))]
    return letter if letter in letters(choices) else None


def by_letter(gold: str, choices: Sequence[str]) -> str:
    """A right answer that is a letter by definition, as (A) where an option's text could be taken for a letter.

    >>> by_letter("A", ("C", "A")), by_letter("A", ("red", "blue"))
    ('(A)', 'A')
    """
    letter = option(gold, choices, letter_first=True)
    if letter is None:
        return gold
    forms = (gold, letter) if all(option(each, choices) == each for each in letters(choices)) else ()
    return next((form for form in forms if option(form, choices) == letter), f"({letter})")


def is_letter(gold: str, choices: Sequence[str]) -> bool:
    """Whether a right answer says by its form that it is a letter, (A), and no option's text."""
    return re.fullmatch(r"\([A-Z]\)", gold) is not None and gold not in choices


def plain_letter(gold: str, choices: Sequence[str]) -> str:
    """The right answer as other programs write it: B where it is (B)."""
    return gold[1] if is_letter(gold, choices) else gold


def chosen(boxed: str, choices: Sequence[str]) -> str | None:
    """The option that a box names by its letter or text, as it stands there or else unwrapped (see `unwrapped`).

    What stands around the options' texts may be left out too, unless two of them are then the same: 5 and 5 degrees.
    """
    answer, plain = unwrapped(boxed), [unwrapped(choice) for choice in choices]
    apart = len({choice.casefold() for choice in plain}) == len(plain)
    return (
        option(boxed, choices, letter_first=True)
        or leading_letter(boxed, choices)
        or (option(answer, plain, letter_first=True) if apart else None)
        or leading_letter(answer, choices)
    )


def leading_letter(answer: str, choices: Sequence[str]) -> str | None:
    r"""The letter that an answer consists of or begins with: B, (b), \text{B}, **B**, "B. 5 cm", "(B) 5 cm".

    Followed by anything but a closing parenthesis, a full stop or a colon it is no letter but a word: "A triangle".
    Followed by the letter of another option, "(A), (B)" or "(b) or (c)", it chooses none.
    """
    named = letters_named(answer, choices)
    return min(named) if len(named) == 1 else None


def letters_named(answer: str, choices: Sequence[str]) -> set[str]:
    """The letters of options that an answer begins with or lists, in upper case; several choose none of them."""
    match = LEADING.match(answer)
    known = letters(choices)
    if match is None or match[1].upper() not in known or len(answer) > LONGEST:
        return set()
    letter, rest = match[1].upper(), answer[match.end() :]
    own = words(choices[known.index(letter)]) if choices else []
    if choices and (option(rest.strip(), choices) == letter or {*words(rest)} <= {*own}):
        return {letter}  # its own text or a part of it, whatever letters are in it
    if LIST.fullmatch(rest) or LETTERS_ALONE.fullmatch(rest):
        named = ALONE.findall(rest)
    else:  # one of them is marked as an option
        named = [a or b for a, b in MARKED.findall(rest)] + listed_small(rest, choices)
    return {letter} | ({other.upper() for other in named} & set(known[:MOST]))


def listed_small(rest: str, choices: Sequence[str]) -> list[str]:
    """The marked lower-case letters that are surely options: with their own texts behind them, or the beginnings of
    those, "7 cm or (c) 9"; or marked letters alone, "(c) d)"."""
    marks = list(MARKED_SMALL.finditer(rest))
    if not words(MARKED_SMALL.sub(" ", rest)):
        return [mark[1] or mark[2] for mark in marks] if choices else []
    texts = dict(zip(ascii_uppercase.lower(), map(words, choices), strict=False))
    named = []
    for mark, after in pairwise([*marks, None]):
        letter, behind = mark[1] or mark[2], words(rest[mark.end() : after.start() if after else len(rest)])
        own = texts.get(letter, [])
        shorter = min(len(own), len(behind))
        if shorter and own[:shorter] == behind[:shorter]:
            named.append(letter)
    return named


def words(text: str) -> list[str]:
    """Words and numbers, without regard to case."""
    return WORD.findall(COMMAND.sub(" ", text.casefold()))


def letters(choices: Sequence[str]) -> tuple[str, ...]:
    """Of the options; all letters where only the question lists them."""
    return tuple(ascii_uppercase[: len(choices)] if choices else ascii_uppercase)
