"""MMMU-Pro: the letter of one of up to ten options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from papo.rewards.extraction import last_boxed
from papo.rewards.grading.options import chosen, leading_letter, letters, option
from papo.rewards.grading.verdict import Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

PHRASE = "Answer:"
PUNCTUATION = ",.!?;:'"
ALONE = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])")


def grade(item: Item, response: str) -> Grade:
    r"""Right if the option in the box, else after the last "Answer:", else where the official script looks, is it.

    The official script (mmmu-pro/evaluate.py) guesses at random where it finds none; here that is no answer. It
    knows of no box either: ours is unwrapped (see `chosen`).
    """
    gold = option(item.answer.strip(), item.choices, letter_first=True)
    if gold is None:
        return unscorable(item.answer, "option")
    boxed = last_boxed(response)
    answer = None if boxed is None else chosen(boxed, item.choices)
    answer = answer or announced(response, item.choices)
    if answer is None and boxed is None:
        answer = mentioned(response, item.choices)
    if answer is None:
        return unanswered('no option in \\boxed{} or after "Answer:"')
    return judged(answer == gold, answer, gold)


def announced(response: str, choices: Sequence[str]) -> str | None:
    """The letter in the line after the last "Answer:": the one it begins with, or the only one that stands alone."""
    _, found, rest = response.rpartition(PHRASE)
    line = rest.strip().partition("\n")[0] if found else ""
    alone = set(ALONE.findall(line)).intersection(letters(choices))
    return leading_letter(line, choices) or (alone.pop() if len(alone) == 1 else None)


def mentioned(response: str, choices: Sequence[str]) -> str | None:
    """Where the official script looks next: the option that is named last, in the first of these forms that occurs.

    "(B)", "B ", "B."; in a response of more than five words the text of an option. A letter that is only part of what
    follows "Answer:", if it is the only one, goes before all.
    """
    known = letters(choices)
    _, found, rest = response.rpartition(PHRASE)
    inside = [letter for letter in known if letter in rest] if found else []
    if len(inside) == 1:
        return inside[0]
    for mark in PUNCTUATION:
        response = response.strip(mark)
    response = f" {response} "
    for form, where in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        named = [letter for letter in known if form.format(letter) in response]
        if named:
            return max(named, key=lambda letter: response.rfind(where.format(letter)))
    if len(response.split()) <= 5:
        return None
    texts = dict(zip(known, (choice.lower() for choice in choices), strict=False))
    named = [letter for letter, text in texts.items() if text in response.lower()]
    return max(named, key=lambda letter: response.lower().rfind(texts[letter]), default=None)
