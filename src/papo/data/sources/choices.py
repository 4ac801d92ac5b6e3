"""The options of a row: where they stand, and which of them the answer names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from string import ascii_uppercase
from typing import Any

from papo.data.sources.columns import Row, texts, written
from papo.data.sources.raw_items import parse_literal
from papo.rewards.extraction import unwrapped
from papo.rewards.grading.options import by_letter, leading_letter, option

LETTER = re.compile(r"^\(?([A-J])[).]*$")
LETTER_OF_OPTION = r"(?<![A-Za-z]){}[).:]"
# What a letter in parentheses is no option behind: P(A), f'(A), x_i(A), sin(A).
FUNCTIONS = (r"^[A-Za-z]", r"[^A-Za-z][A-Za-z_]", "[A-Za-z]'", *("sin", "cos", "tan", "cot", "log", "ln", "Pr", "det"))
MARK = "".join(rf"(?<!{name}\()" for name in FUNCTIONS) + LETTER_OF_OPTION
# Where a choice ends in a letter or digit: 1 is not 10, nor 1.5.
WORDS_END = r"(?:(?<![A-Za-z0-9])|(?![A-Za-z0-9]|[.,][0-9]))"
LABELLED = re.compile(r"\(?([A-Z])[).:]\s*(.*\S)\s*", re.DOTALL)


def choices_of(row: Row, columns: bool) -> tuple[str, ...]:
    """The options: of a list, of {A: ..., B: ...}, of either as text, or of columns A, B, ...; without a letter in
    front of each. None where they are any other text."""
    value = row.get("choices")
    if value is None and isinstance(row.get("options"), str | list | Mapping):
        value = row["options"]
    value = listed(value) if isinstance(value, str) else value
    if value is None and columns:
        value = {letter: row.get(letter) for letter in ascii_uppercase}
    if isinstance(value, Mapping):
        named = {str(name).strip("() .").upper(): each for name, each in value.items() if written(each, name)}
        if sorted(named) != [*ascii_uppercase[: len(named)]]:
            raise ValueError(f"choices are named {', '.join(sorted(named))!r:.60}, not A, B, C and so on")
        value = [named[letter] for letter in sorted(named)]
    choices = texts({"choices": value}, "choices")
    labelled = [LABELLED.fullmatch(choice) for choice in choices]
    if all(labelled) and [match[1] for match in labelled] == [*ascii_uppercase[: len(choices)]]:
        return tuple(match[2] for match in labelled)
    return choices


def listed(written: str) -> Any:
    """The options that a text lists as JSON or Python does, as tables of cells keep a list; None where it does not."""
    written = written.strip()
    if not written.startswith(("[", "{")):
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(written)
    try:
        found = parse_literal(written)
    except ValueError:
        return None  # "[A] red [B] blue"
    if isinstance(found, list | tuple) and len(found) == 1:
        raise ValueError(f"options {written!r:.60} is a list of one option (numpy writes lists without commas)")
    return list(found) if isinstance(found, tuple) else found


def told(row: Row) -> str:
    """The options where they are a text that is no list."""
    texts = (row.get(column) for column in ("choices", "options"))
    return next((each.strip() for each in texts if isinstance(each, str) and listed(each) is None), "")


def with_options(question: str, options: str, answer: str) -> str:
    """The question with a text of its options, where it does not have as many.

    Raises:
        ValueError: it would be asked without options, and the right one is known by its letter alone.
    """
    if not options or options in question or len(marks(question)) >= max(2, len(marks(options))):
        return question
    if len(marks(options)) > 1:
        return f"{question}\n{options}"
    if LETTER.match(unwrapped(answer)):
        raise ValueError(f"answer {answer!r:.40} is a letter, and neither the question nor {options!r:.60} has letters")
    return question


def marks(text: str) -> str:
    """The letters that options stand behind, as far as they go on from A: P(A) and sin(B) are none.

    >>> [marks(text) for text in ("Is P(A) = P(B)?", "f'(A) = f'(B)", "Which? (A) red (B) blue", "A. red")]
    ['', '', 'AB', 'A']
    """
    return "".join(takewhile(lambda letter: re.search(MARK.format(letter), text), ascii_uppercase))


def letter_of(answer: str, options: str) -> str:
    """The letter in front of the right answer in a text of options: whoever is asked so may say it. "" where the text
    has a letter twice, or the answer is the text of no option or of two, or a letter itself.

    >>> letter_of("blue", "(A) red (B) blue"), letter_of("green", "(A) red (B) blue"), letter_of("B", "(A) x (B) y")
    ('B', '', '')
    """
    found = [list(re.finditer(MARK.format(letter), options)) for letter in marks(options)]
    begins = [each.start() for each, *_ in found]
    if len(found) < 2 or any(len(each) > 1 for each in found) or LETTER.match(unwrapped(answer)):
        return ""
    texts = [options[mark.end() : end] for (mark,), end in zip(found, [*begins[1:], len(options)], strict=True)]
    texts = [unwrapped(each.strip().rstrip(" \t\n,;|(")).casefold() for each in texts]
    plain = unwrapped(answer).casefold()
    return ascii_uppercase[texts.index(plain)] if texts.count(plain) == 1 else ""


def lists(question: str, choices: tuple[str, ...]) -> bool:
    """Whether the question has the options already."""
    options = zip(ascii_uppercase, choices, strict=False)
    return all(
        re.search(LETTER_OF_OPTION.format(letter) + rf"\s*{re.escape(choice)}" + WORDS_END, question)
        for letter, choice in options
    )


def chosen(answer: str, choices: tuple[str, ...], by_definition: bool = False) -> str:
    """The right option's text or letter, where the answer names one in any way; otherwise the answer.

    Args:
        by_definition: whether a letter is never an option's text: see `by_letter`.

    Raises:
        ValueError: a number that is an index if indices begin at 1, which other rows would not show.
    """
    plain = unwrapped(answer)
    if by_definition:
        named = by_letter(plain, choices)
        return by_letter(chosen(answer if named == plain else named, choices), choices)
    texts_alone = [unwrapped(choice) for choice in choices[: len(ascii_uppercase)]]
    if option(answer, choices):
        return answer
    if plain in texts_alone:
        return ascii_uppercase[texts_alone.index(plain)]
    if re.fullmatch("[0-9]{1,2}", plain):
        if int(plain) == len(choices):
            raise ValueError(f"answer {plain} for {plain} choices: an index begins at 0; write letters instead")
        return ascii_uppercase[int(plain)] if int(plain) < len(choices) else answer
    return option(plain, choices) or leading_letter(plain, choices) or answer
