"""LogicVista: one option letter, or several that all have to be named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from papo.rewards.extraction import last_boxed, unwrapped
from papo.rewards.grading.options import leading_letter
from papo.rewards.grading.verdict import NO_BOX, Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

LONGEST = 200  # characters that a list of letters may take
AROUND = re.compile(r"\\(?:text|math)(?:bf|rm|sf|it)?(?![a-z])|\\[,; ]|[{}()\[\]$*,;.&\s]")


def grade(item: Item, response: str) -> Grade:
    r"""Right if the last \boxed{} names exactly the item's letters, in any order: "B, D", "(D) and (B)", "BD".

    As it stands there or unwrapped (see `unwrapped`).
    """
    gold = option_letters(item.answer)
    if not gold:
        return unscorable(item.answer, "option letter")
    answer = last_boxed(response)
    if answer is None:
        return unanswered(NO_BOX)
    return judged(named(answer, item) == gold, answer, item.answer)


def named(boxed: str, item: Item) -> set[str]:
    """All letters that a box lists, or the one that it begins with."""
    for answer in (boxed, unwrapped(boxed)):
        letters = option_letters(answer) or {leading_letter(answer, item.choices)} - {None}
        if letters:
            return letters
    return set()


def option_letters(text: str) -> set[str]:
    """The letters that `text` lists; none where it holds anything else.

    >>> sorted(option_letters("(D) and b")), option_letters("B. 5 cm")
    (['B', 'D'], set())
    """
    words = [word for word in AROUND.sub(" ", text[: LONGEST + 1]).split() if word != "and"]
    listed = all(re.fullmatch("[A-Za-z]|[A-Z]+", word) for word in words)
    return set("".join(words).upper()) if listed and len(text) <= LONGEST else set()
