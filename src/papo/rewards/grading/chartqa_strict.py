"""ChartQA for training: without what its official rule (`chartqa`) pays for besides the right answer.

Officially 1915 is right for 2010; and for four of ten values in charts of eight bars another bar's value is, too
(experiments/reward_hacking): a policy that is paid for either need not read. Benchmarks keep the official rule.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from papo.rewards.extraction import last_boxed, unwrapped
from papo.rewards.grading.verdict import NO_BOX, Grade, judged, unanswered, unscorable

if TYPE_CHECKING:
    from papo.types import Item

# Whole numbers below are counts, labels and years: they are read, not estimated.
EXACT = 10_000
# Of all others, relative, inclusive. Rounding to three digits takes up to half of it; where a bar has no label, two
# pixels of an axis of 400 are 1 % of a bar of half its length. Another bar of eight is then right for one value in ten.
TOLERANCE = Fraction(1, 100)
# At most 18 digits before and behind the point: an untrusted answer never becomes a huge number. ASCII only.
NUMBER = re.compile(r"([-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))\s?(%?)")


class Number(NamedTuple):
    value: Fraction
    percent: bool  # whether it is written with the sign


def grade(item: Item, response: str) -> Grade:
    r"""Right if the last \boxed{}, unwrapped, is `item.answer` or one of `item.labels`, which may be wrapped too.

    Whole numbers below EXACT are the same number, others differ by TOLERANCE at most. 20% is 20 and 0.2. What is no
    number is the same text, whatever the case.
    """
    golds = [gold for gold in (item.answer, *item.labels) if gold.strip()]
    if not golds:
        return unscorable(item.answer, "label")
    answer = last_boxed(response)
    if answer is None:
        return unanswered(NO_BOX)
    matched = [gold for gold in golds if matches(unwrapped(answer), unwrapped(gold))]
    return judged(bool(matched), answer, (matched or golds)[0])


def matches(answer: str, gold: str) -> bool:
    """
    >>> matches("1915", "2010"), matches("2010.0", "2010"), matches("57", "57%"), matches("57.8", "57.3")
    (False, True, True, True)
    """
    a, g = number(answer), number(gold)
    if a is None or g is None:
        return answer.casefold() == gold.casefold()
    if close(a.value, g.value):
        return True
    if a.percent == g.percent:
        return False
    return close(a.value / 100, g.value) if a.percent else close(a.value * 100, g.value)


def number(text: str) -> Number | None:
    """None where the text is none."""
    found = NUMBER.fullmatch(text)
    return None if found is None else Number(Fraction(found[1]), bool(found[2]))


def close(value: Fraction, gold: Fraction) -> bool:
    if gold.denominator == 1 and abs(gold) < EXACT:
        return value == gold
    return abs(value - gold) <= TOLERANCE * abs(gold)
