"""What the right answers of a source are like, and whether a response could be right at all."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from string import ascii_uppercase

from papo.data.sources.own_data import FORMULA
from papo.rewards.extraction import unwrapped
from papo.rewards.grading import RULES, grade
from papo.types import Item
from papo.visible import line

KINDS = ("plain numbers", "letters", "formulas", "texts", "long texts")
NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
LONG = 60  # characters; what is longer is seldom said word for word, and is often a whole solution
LOOKED_AT = 1000  # items of a source, drawn: a share of 1 % is told from none
DRAWN = 50  # of one that draws them or only reads forwards: 0.1 s for held-out lab items, which are the slowest


@dataclass
class Audit:
    """Of the items that were looked at."""

    kinds: Counter[str] = field(default_factory=Counter)  # of right answers, by name
    rules: Counter[str] = field(default_factory=Counter)  # that grade them
    unmatched: list[Item] = field(default_factory=list)  # that no boxed answer is right for

    def add(self, item: Item) -> None:
        self.kinds[kind_of(item)] += 1
        self.rules[item.rule] += 1
        # Your own grader is not asked; and what has no answer at all a source lets in only where its data set is so.
        if item.rule in RULES and any(gold.strip() for gold in golds(item)) and not matched(item):
            self.unmatched.append(item)

    @property
    def total(self) -> int:
        return self.kinds.total()

    def shares(self) -> str:
        """
        >>> Audit(Counter({"texts": 1, "plain numbers": 3})).shares()
        'right answers plain numbers 75%, texts 25%'
        """
        return "right answers " + ", ".join(
            f"{name} {self.kinds[name] / self.total:.0%}" for name in KINDS if self.kinds[name]
        )

    def complaint(self) -> str:
        """How many cannot be matched, with the first of them; "" where all can."""
        if not self.unmatched:
            return ""
        first = self.unmatched[0]
        return (
            f"{len(self.unmatched)} of {self.total} right answers are wrong under their rule even in a box, "
            f"such as {line(first.id, 100)} by {line(first.rule, 40)}: {line(first.answer, 80)!r}"
        )


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
    """Whether a response that boxes a right answer, as it stands or unwrapped, or an option's letter, is right."""
    forms = (form for gold in golds(item) for form in (gold, unwrapped(gold)))
    letters = ascii_uppercase[: len(item.choices)]
    return any(grade(item, f"\\boxed{{{form}}}").correct for form in (*forms, *letters))


def golds(item: Item) -> tuple[str, ...]:
    return item.answer, *item.labels
