"""Values that can be guessed from the words of the question."""

from __future__ import annotations

import random
from collections.abc import Callable

# A value in [low, high] for what the text names by a number: the position of a colour in COLOURS, of a group of shapes
# in counting.GROUPS.
Draw = Callable[[int, int, int], int]  # (number, low, high)


def favourite(number: int, low: int, high: int) -> int:
    """What the words suggest: low + (4 * number + 2) mod (high - low + 1).

    4 has no factor in common with the ranges in use (5, 7 and 9 values), so as many names as a range has values have
    different favourites.

    Why: real vision-language models lean on language. They have seen that bananas are yellow, and answer so before they
    look. Here red bars are 3, and a model that was taught both habits can do either: name the favourites, or read.

    >>> [favourite(number, 1, 9) for number in range(6)]
    [3, 7, 2, 6, 1, 5]
    """
    return low + (4 * number + 2) % (high - low + 1)


def leaning(rng: random.Random, strength: float) -> Draw:
    """With probability `strength` the favourite moved by -1, 0 or +1 and clipped to the range, otherwise any value.

    What a model of few layers learns to read from: on even values alone it hardly reads after 800 steps.
    """

    def draw(number: int, low: int, high: int) -> int:
        if rng.random() < strength:
            return min(high, max(low, favourite(number, low, high) + rng.randrange(-1, 2)))
        return rng.randint(low, high)

    return draw


def evenly(rng: random.Random) -> Draw:
    """Values that no words give away."""
    return lambda number, low, high: rng.randint(low, high)
