"""MathVista's extraction, normalisation and score, as lupantech/MathVista computes them (evaluation/)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING

from rapidfuzz.distance import Levenshtein

from papo.equivalence import equivalent
from papo.equivalence.answers import Relation, Scalar
from papo.equivalence.compare import said
from papo.equivalence.numbers import real
from papo.equivalence.plain_units import number_and_unit
from papo.equivalence.reading import read
from papo.equivalence.tokens import Unreadable
from papo.rewards.extraction import LONGEST, last_boxed, unwrapped
from papo.rewards.grading.chartqa import to_float
from papo.rewards.grading.options import letters_named
from papo.rewards.grading.verdict import Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

LETTER = re.compile(r"\(([a-zA-Z])\)")
PHRASE = 'The answer is "'


def grade(item: Item, response: str) -> Grade:
    r"""Right if the normalised answer is, character by character, the item's.

    Deliberately not as the official code, all of it where a response has a \boxed{}, which that code never meets: the
    box is unwrapped (see `unwrapped`), a letter that begins it chooses, and what resembles no choice has no answer.

    An item with choices is multiple choice; the others go by their answer type. Unscorable is an answer that is empty,
    no number where a number is asked for, or none of the choices.
    """
    gold = item.answer
    if not gold.strip():
        return unscorable(gold, "answer")
    if item.choices and gold not in item.choices:
        return unscorable(gold, "choice of " + ", ".join(map(repr, item.choices))[:200])
    if not item.choices and item.answer_type == "choice":
        return unscorable(gold, "choice: the item lists none")
    if not item.choices and item.answer_type in ("integer", "float") and normalise(gold, item) is None:
        return unscorable(gold, item.answer_type)
    extracted = extract(response, item)
    if extracted is None:
        return unanswered('no \\boxed{}, no "The answer is" and no bare answer')
    normalised = normalise(extracted, item)
    if normalised is None:
        return unanswered(
            f"the answer is no {item.answer_type}" if extracted else "the answer is empty, or like no choice"
        )
    return judged(normalised == gold, normalised, gold)


def extract(response: str, item: Item) -> str | None:
    r"""The answer as it stands in the response; None where none is found.

    The last \boxed{}, unwrapped, goes first: our prompts ask for it, and it takes the place of the official last step,
    a language model that reads the response (see `of_box`). Without a box come the official steps: a response that is
    one of the choices, or a number where one is asked for; then what stands in `The answer is "..."`, whose full stop
    may be missing.
    """
    boxed = last_boxed(response)
    if boxed is not None:
        return of_box(boxed, item)
    if response == "" or response in item.choices:
        return response
    number = {"integer": int, "float": float}.get(item.answer_type)
    if number is not None:
        try:
            return str(number(response))
        except ValueError:
            pass
    return phrase(response)


def of_box(boxed: str, item: Item) -> str:
    """The letter of the choice that a box names, or its text; nothing where it resembles none. Of a number its digits,
    whatever unit, fraction or calculation it is written as.

    The official script takes the nearest choice of whatever text. Of what a language model has extracted that may be
    meant; a policy would be paid by chance for anything at all.
    """
    if len(boxed) > 1 and boxed in item.choices[: len(ascii_uppercase)]:  # a letter is officially that choice's
        return f"({ascii_uppercase[item.choices.index(boxed)]})"
    answer = unwrapped(boxed)
    if item.answer_type in ("integer", "float") and not item.choices:
        answer = answer.removesuffix("%").rstrip()
        return answer if to_float(answer) is not None else number(answer) or answer
    if not item.choices or answer in item.choices:
        return answer
    if len(answer) > LONGEST:
        return ""
    named = letters_named(answer, item.choices)
    if named:
        return f"({min(named)})" if len(named) == 1 else ""
    same = [choice for choice in item.choices if equivalent(choice, answer)]
    if len(same) == 1:
        return same[0]
    nearest = nearest_choice(answer, item.choices)
    return nearest if resembles(answer, nearest) else ""


def number(answer: str) -> str | None:
    r"""A number that an answer states with a unit or as a fraction: 5 cm, 300 K, \frac{1}{2}; None where it is none."""
    measured = number_and_unit(answer)
    try:
        found = read(answer) if measured is None else measured.number
    except Unreadable:
        return None
    if isinstance(found, Relation):
        found = (said(found) or ("", found))[1]
    if isinstance(found, Scalar):
        found = found.measured or found
    value = real(found.value[0]) if isinstance(found, Scalar) and not found.letters and not found.percent else None
    return None if value is None else repr(value)


def resembles(answer: str, choice: str) -> bool:
    """Whether at most a third of the choice's characters would have to be edited; of its digits none."""
    if re.findall("[0-9.]+", answer) != re.findall("[0-9.]+", choice):
        return False
    return 3 * Levenshtein.distance(answer.casefold(), choice.casefold()) <= len(choice)


def phrase(response: str) -> str | None:
    """What `The answer is "(.*)".` captures first, without its quadratic time; then the same without the full stop."""
    for closing in ('".', '"'):
        for line in response.split("\n"):
            _, found, rest = line.partition(PHRASE)
            if found and closing in rest:
                return rest[: rest.rindex(closing)]
    return None


def normalise(extracted: str, item: Item) -> str | None:
    """The answer in the form of the item's; None where it cannot have it.

    Multiple choice: "(a)" or "A" is the choice of that letter, anything else the nearest choice by edit distance, the
    first of several. Nothing at all is no answer (the official --ignore_empty_extractions; without it an empty response
    would be the shortest choice). integer: towards zero, so "3.9" is "3". float: rounded to the item's precision.
    """
    if item.choices:
        return nearest_choice(extracted.strip(), item.choices) if extracted.strip() else None
    try:
        if item.answer_type == "integer":
            return str(int(float(extracted)))
        if item.answer_type == "float":
            return str(round(float(extracted), int(item.precision)))  # stored as a float, which round() refuses
    except (ValueError, OverflowError, TypeError):  # no number; NaN or infinity; an item without precision
        return None
    return extracted


def nearest_choice(text: str, choices: Sequence[str]) -> str:
    """The choice that `text` names or resembles most."""
    letter = LETTER.search(text)
    if letter is not None:
        text = letter[1].upper()
    known = ascii_uppercase[: len(choices)]
    if len(text) == 1 and text in known:
        return choices[known.index(text)]
    return min(choices, key=lambda choice: Levenshtein.distance(text, choice))
