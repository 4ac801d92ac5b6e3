"""Mathematical answers: Geometry3K, ViRL39K, MMK12, CLEVR-count, MathVerse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from papo.equivalence import equivalent
from papo.rewards.extraction import DEGREES, last_boxed, unwrapped
from papo.rewards.grading.logicvista import option_letters
from papo.rewards.grading.options import is_letter, letters_named, option
from papo.rewards.grading.verdict import NO_BOX, Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item


# Options, of which all are to be named, or a segment, which is named so too; CBDA is an order.
SEVERAL = re.compile("A?B?C?D?E?F?G?H?I?J?")


def grade(item: Item, response: str) -> Grade:
    r"""Right if the last \boxed{} is mathematically equivalent to the item's answer or to one of its labels.

    An answer that is one capital letter, or one of the item's choices, is graded as a choice: by its letter, or by
    something equivalent to the option's text and to no other's; letters go first where it is (A). Several letters in
    their order are options that all have to be named. The box counts as it stands or unwrapped. An item's answer may
    itself come in a \boxed{}.
    """
    golds = [unboxed(gold) for gold in (item.answer, *item.labels) if unboxed(gold)]
    if not golds:
        return unscorable(item.answer, "answer")
    answer = last_boxed(response)
    if answer is None:
        return unanswered(NO_BOX)
    # But for degrees, which are a unit here.
    in_degrees = DEGREES.search(answer.rstrip(" .$")) is not None
    readings = {answer} if in_degrees else {answer, unwrapped(answer)}
    right = any(matches(reading, gold, item) for reading in readings for gold in golds)
    return judged(right, answer, golds[0])


def unboxed(gold: str) -> str:
    boxed = last_boxed(gold)
    return gold.strip() if boxed is None else boxed


def matches(answer: str, gold: str, item: Item) -> bool:
    letter = option(gold, item.choices) if item.choices or re.fullmatch("[A-Z]", gold) else None
    if letter is None and len(gold) > 1 and SEVERAL.fullmatch(gold) and option_letters(answer):
        return option_letters(answer) == set(gold)
    if letter is None:
        return equivalent(gold, answer)
    chosen = option(answer, item.choices, letter_first=is_letter(gold, item.choices))
    named = {chosen} if chosen is not None else letters_named(answer, item.choices)
    if named:
        return named == {letter}
    same = [choice for choice in item.choices if equivalent(choice, answer)]
    return len(same) == 1 and option(same[0], item.choices) == letter
