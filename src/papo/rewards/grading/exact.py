"""The repository's own rule: the boxed answer equals the item's, by type of answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from papo.rewards.extraction import last_boxed, unwrapped
from papo.rewards.grading.options import is_letter, leading_letter, option
from papo.rewards.grading.verdict import NO_BOX, Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

# At most 18 digits: an untrusted answer never becomes a huge integer. ASCII only: \d would admit other scripts.
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def grade(item: Item, response: str) -> Grade:
    r"""Grades the last \boxed{} of a response against the item's answer, and its labels, by its answer type.

    As it stands there or unwrapped (see `unwrapped`). integer: equal as integers ("07" is 7, "7.0" is wrong). text:
    equal without regard to case and surrounding space. choice: the same option, named by its text or by its letter,
    with or without the text behind it (see `option`, `leading_letter`); letters go first where the item's answer is
    (A). The item's answer may be wrapped too.

    Raises:
        ValueError: the item's answer_type is unknown.
    """
    if item.answer_type not in ("integer", "choice", "text"):
        raise ValueError(
            f"item {item.id} has answer_type {item.answer_type!r}; the rule exact knows integer, choice, text: "
            "give the source another rule, such as math"
        )
    gold = item.answer.strip()
    forms = {gold, unwrapped(gold)}
    if (
        not gold
        or (item.answer_type == "integer" and not any(map(INTEGER.fullmatch, forms)))
        or (item.answer_type == "choice" and not any(option(form, item.choices) for form in forms))
    ):
        return unscorable(gold, item.answer_type)
    answer = last_boxed(response)
    if answer is None:
        return unanswered(NO_BOX)
    right = any(is_gold(answer, of.strip(), item) for of in (gold, *item.labels) if of.strip())
    return judged(right, answer, gold)


def is_gold(answer: str, gold: str, item: Item) -> bool:
    """As they stand or unwrapped."""
    pairs = ((answer, gold), (unwrapped(answer), gold), (unwrapped(answer), unwrapped(gold)))
    return any(matches(reading, of, item) for reading, of in pairs)


def matches(answer: str, gold: str, item: Item) -> bool:
    if item.answer_type == "integer" and INTEGER.fullmatch(gold):  # a label may be a word
        numbers = [INTEGER.fullmatch(text) for text in (answer, gold)]
        return None not in numbers and int(answer) == int(gold)
    if item.answer_type == "choice":
        plain = [unwrapped(choice) for choice in item.choices]
        letter_first = is_letter(gold, item.choices)
        named = (
            option(answer, item.choices, letter_first=letter_first)
            or option(answer, plain, letter_first=letter_first)
            or leading_letter(answer, item.choices)
        )
        return named is not None and named == option(gold, item.choices)
    return answer.casefold() == gold.casefold()
