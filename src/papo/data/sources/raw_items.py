"""A row in the terms that all data sets have in common, and what several of them need to get there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any

from papo.data.sources.columns import Kind, Row

NUMBERED = re.compile(r"<image ([0-9]{1,3})>")
NAMED = re.compile(r"<image ([0-9]{1,3})>|\b([Ii]mage) ([0-9]{1,3})\b")  # in words, too
# 2.5, and as Python writes what is very large or small: 1e-05, 6.02e+23. Without a sign 3e4 may be a name.
DECIMAL = r"[+-]?([0-9]*\.[0-9]+(e[+-]?[0-9]{1,3})?|[0-9]+e[+-][0-9]{1,3})"
MAX_OPTIONS_TEXT = 20_000  # characters of a list that is stored as text


@dataclass(frozen=True)
class RawItem:
    """One row in common terms; pictures still encoded. Fields as in papo.types.Item."""

    question: str
    pictures: Sequence[Any]
    answer: str
    answer_type: str
    rule: str
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    precision: int | None = None
    rationale: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    system: str = ""


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and what a row of them says."""

    read: Callable[[Row], RawItem]
    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    id: str | None = None  # the column that tells rows apart, where there is one
    group: str | None = None  # a column that data may have, whose value versions of one problem share
    may_lack_answer: bool = False  # its unanswered questions are for the grader to report as unscorable
    golds: Mapping[str, Kind] = field(default_factory=dict)  # columns of which one has to be there; the first is read
    borrowed: str | None = None  # a column whose short cell may name the row, by its id, whose cell is meant

    def needed(self, columns: Sequence[str]) -> Mapping[str, Kind]:
        """What data with these columns must have of the schema."""
        gold = [name for name in self.golds if has(columns, name)] or list(self.golds)
        return {**self.required, **{name: self.golds[name] for name in gold[:1]}}


def has(columns: Container[str], name: str) -> bool:
    """Whether a column is there, or the group that it would be a field of."""
    return name.partition(".")[0] in columns


def lettered(choices: Sequence[str]) -> str:
    """The options as lines "(A) ...".

    Raises:
        ValueError: more options than letters.
    """
    if len(choices) > len(ascii_uppercase):
        raise ValueError(f"{len(choices)} choices are more than there are letters")
    return "\n".join(f"({letter}) {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False))


def type_of_answer(answer: str, choices: Sequence[str] = ()) -> str:
    """
    >>> [type_of_answer(answer) for answer in ("-7", "2.5", "1e-05", "blue", "B")]
    ['integer', 'float', 'float', 'text', 'choice']
    """
    if choices or re.fullmatch("[A-J]", answer):
        return "choice"
    if re.fullmatch(r"[+-]?[0-9]{1,18}", answer):
        return "integer"
    return "float" if re.fullmatch(DECIMAL, answer) else "text"


def known(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that have a value."""
    return {name: value for name, value in tags.items() if value}


def parse_list(written: str) -> tuple[str, ...]:
    """The items of a list written as Python writes it.

    >>> parse_list("['3 cm', '4 cm', 5]")
    ('3 cm', '4 cm', '5')
    """
    items = parse_literal(written)
    if not isinstance(items, list | tuple) or not all(isinstance(item, str | int | float) for item in items):
        raise ValueError("options is no list of texts")
    return tuple(str(item).strip() for item in items)


def parse_literal(written: str) -> Any:
    """What is written as Python writes it. Nothing is evaluated: only literals are read."""
    if len(written) > MAX_OPTIONS_TEXT:
        raise ValueError(f"options has {len(written)} characters, more than {MAX_OPTIONS_TEXT}")
    try:
        return ast.literal_eval(written)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError("options is no list of texts") from error


def place_images(question: str, pictures: Sequence[Any | None]) -> tuple[str, list[Any]]:
    """ "<image 2>" says where picture 2 goes; here it becomes "<image>", and the pictures come in that order.

    A picture that is named again, or in words alone, is named by the place where it is shown; one that is never placed
    comes first.

    Raises:
        ValueError: the question names a picture that the row does not have.

    >>> place_images("Compare <image 2> with <image 1>. Is <image 2> larger?", ["a", "b", "c", None])
    ('<image>Compare <image> with <image>. Is image 2 larger?', ['c', 'b', 'a'])
    """
    order = shown_in(question, pictures)
    named = {*map(int, NUMBERED.findall(question))}
    unnamed = [number for number in order if number not in named]
    met = {*unnamed}

    def place(match: re.Match[str]) -> str:
        if match[1] is None or int(match[1]) in met:
            return in_words(match[0], order)
        met.add(int(match[1]))
        return "<image>"

    return "<image>" * len(unnamed) + NAMED.sub(place, question), [pictures[n - 1] for n in order]


def shown_in(question: str, pictures: Sequence[Any | None]) -> list[int]:
    """The numbers of the pictures in the order in which they are shown: those that the question does not name first."""
    named = list(dict.fromkeys(map(int, NUMBERED.findall(question))))
    for number in named:
        if not 1 <= number <= len(pictures) or pictures[number - 1] is None:
            raise ValueError(f"the question shows picture {number}, which the row does not have")
    return [n for n, picture in enumerate(pictures, 1) if picture is not None and n not in named] + named


def in_words(text: str, order: Sequence[int]) -> str:
    """With the pictures that it names in words, by the places where they are shown.

    >>> in_words("Image 2, not <image 3>", [2, 3, 1])
    'Image 1, not image 2'
    """

    def called(match: re.Match[str]) -> str:
        number = int(match[1] or match[3])
        return f"{match[2] or 'image'} {order.index(number) + 1 if number in order else number}"

    return NAMED.sub(called, text)
