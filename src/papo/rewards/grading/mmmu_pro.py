"""MMMU-Pro: the letter of one of up to ten options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from papo.rewards.extraction import last_boxed
from papo.rewards.grading.options import leading_letter, letters, option
from papo.rewards.grading.verdict import Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

PHRASE = "Answer:"
ALONE = re.compile(r"(?<![A-Za-z0-9])[A-Z](?![A-Za-z0-9])")


def grade(item: Item, response: str) -> Grade:
    r"""Right if the boxed option, or else the one after the last "Answer:", is the item's.

    The official script guesses at random where it finds neither; here such a response has no answer.
    """
    gold = option(item.answer.strip(), item.choices)
    if gold is None:
        return unscorable(item.answer, "option")
    boxed = last_boxed(response)
    answer = None if boxed is None else option(boxed, item.choices) or leading_letter(boxed, item.choices)
    answer = answer or announced(response, item.choices)
    if answer is None:
        return unanswered('no option in \\boxed{} or after "Answer:"')
    return judged(answer == gold, answer, gold)


def announced(response: str, choices: Sequence[str]) -> str | None:
    """The letter in the line after the last "Answer:": the one it begins with, or the only one that stands alone."""
    _, found, rest = response.rpartition(PHRASE)
    line = rest.strip().partition("\n")[0] if found else ""
    alone = set(ALONE.findall(line)).intersection(letters(choices))
    return leading_letter(line, choices) or (alone.pop() if len(alone) == 1 else None)
