"""From what a family has thought up to the text that a model reads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from papo.types import Guess

MAX_OPTIONS = 4
LETTERS = "ABCD"


@dataclass(frozen=True)
class Draft:
    """One scene and one question about it, before its format is chosen."""

    family: str
    task: str
    question: str
    answer: str
    answer_type: str  # "integer" | "text"
    rationale: str  # the perceived values in words, before anything is computed from them
    given_away: str  # the same values as a clause, for questions that need no image
    near_misses: tuple[str, ...]  # what a reader who looks at the wrong thing would answer; may hold the answer
    possible: tuple[str, ...]  # all that the task could have for an answer, the answer among it
    scene: dict[str, Any]  # JSON-able, all that is drawn
    guess: Guess  # what the words suggest
    redraw: Callable[[random.Random], dict[str, Any]]  # another scene for the same words; picklable


def give_away(draft: Draft) -> str:
    """The question behind a sentence that says what the picture shows."""
    return f"{draft.given_away[0].upper()}{draft.given_away[1:]}. {draft.question}"


def multiple_choice(rng: random.Random, draft: Draft) -> tuple[str, tuple[str, ...]]:
    """The options in words (" (A) 3 (B) 5 ...") and as a tuple, the right one among them.

    Wrong options are near misses first, then other possible answers; two to four options, all different. Where the
    right one stands is random, and none but the picture tells it from the others: near misses and fillers are drawn
    without regard to the distance from the answer.
    """
    wrong: dict[str, None] = {}  # an ordered set
    for candidates in (draft.near_misses, draft.possible):
        wrong.update(dict.fromkeys(rng.sample(candidates, len(candidates))))
    wrong.pop(draft.answer)
    options = [draft.answer, *list(wrong)[: MAX_OPTIONS - 1]]
    rng.shuffle(options)
    text = "".join(f" ({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return text, tuple(options)


def enumerate_in_words(parts: Sequence[str]) -> str:
    """
    >>> enumerate_in_words(["a", "b", "c"])
    'a, b and c'
    """
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def stated(names: Iterable[str], values: Iterable[int]) -> str:
    """The values as a rationale states them.

    >>> stated(["red", "blue"], [4, 7])
    'red = 4, blue = 7'
    """
    return ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))


def in_digits(values: Iterable[int]) -> tuple[str, ...]:
    """The values as answers are written."""
    return tuple(map(str, values))
