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
    suggested = statements(item.guess.rationale)
    if not suggested:
        return (last_boxed(response) or "").casefold() == item.guess.answer.casefold()
    thoughts = THOUGHT.findall(response)
    stated = statements(thoughts[-1]) if thoughts else {}
    return {name: sum(values) for name, values in stated.items()} == {
        name: sum(values) for name, values in suggested.items()
    }
