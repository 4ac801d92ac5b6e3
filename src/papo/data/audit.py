"""What the right answers of a source are like, and whether a response could be right at all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from papo.data.sources.own_data import FORMULA
from papo.rewards.extraction import unwrapped
from papo.rewards.grading import RULES, grade
from papo.types import Item

KINDS = ("plain numbers", "letters", "formulas", "texts", "long texts")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
LONG = 60  # characters; what is longer is seldom said word for word, and is often a whole solution


@dataclass(frozen=True)
class Audit:
    """Of the items that were looked at."""

    kinds: Counter[str]  # of right answers, by name
    rules: Counter[str]  # that grade them
    unmatched: tuple[Item, ...]  # whose right answer is graded as wrong where a response boxes it


def audit(items: Iterable[Item]) -> Audit:
    kinds: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    unmatched = []
    for item in items:
        kinds[kind_of(item)] += 1
        rules[item.rule] += 1
        if item.rule in RULES and not matched(item):  # your own grader is not asked
            unmatched.append(item)
    return Audit(kinds, rules, tuple(unmatched))


def kind_of(item: Item) -> str:
    plain = unwrapped(item.answer)
    if item.answer_type == "choice":
        return "letters"
    if NUMBER.fullmatch(plain):
        return "plain numbers"
    if item.answer_type in ("float", "list") or FORMULA.search(plain):
        return "formulas"
    return "long texts" if len(plain) > LONG else "texts"


def matched(item: Item) -> bool:
    """Whether a response that boxes the right answer, as it stands or unwrapped, is right."""
    return any(grade(item, f"\\boxed{{{form}}}").correct for form in (item.answer, unwrapped(item.answer)))
