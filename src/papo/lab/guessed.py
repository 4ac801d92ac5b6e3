"""Whether an answer names what the words of its question suggest, instead of what its picture shows."""

from __future__ import annotations

from papo.lab.mistakes import THOUGHT, statements
from papo.rewards.extraction import last_boxed
from papo.types import Item


def guessed(item: Item, response: str) -> bool:
    """Of an item with a guess: whether the values stated in the last <think> are those of the guess.

    Each name by the sum of its numbers, for the words suggest how many there are and not how they lie: "rows = 1, 1, 1,
    0" and "rows = 0, 3, 0, 0" are one guess. A guess that states no values is an answer alone, and so it is compared.
    """
    suggested = sums(item.guess.rationale)
    if not suggested:
        return (last_boxed(response) or "").casefold() == item.guess.answer.casefold()
    return stated(response) == suggested


def looked(item: Item, response: str) -> bool:
    """Of an item with a guess and a rationale: whether values are stated, and none is the guess against the picture.

    Not the contrary of `guessed`: of two values one may be looked up and the other guessed, and then it is neither.
    Whether the values are right is another question.
    """
    suggested, shown, found = sums(item.guess.rationale), sums(item.rationale), stated(response)
    return bool(found) and all(
        value != suggested.get(name) or value == shown.get(name) for name, value in found.items()
    )


def stated(response: str) -> dict[str, int]:
    """The sums of the last <think>; empty where there is none."""
    thoughts = THOUGHT.findall(response)
    return sums(thoughts[-1]) if thoughts else {}


def sums(text: str) -> dict[str, int]:
    """
    >>> sums("red = 4, rows = 1, 1")
    {'red': 4, 'rows': 2}
    """
    return {name: sum(values) for name, values in statements(text).items()}
