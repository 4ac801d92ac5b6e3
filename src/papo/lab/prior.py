"""Values that can be guessed from the words of the question."""

from __future__ import annotations

import random


def draw_value(rng: random.Random, number: int, low: int, high: int, strength: float) -> int:
    """An integer in [low, high], with probability `strength` near the favourite of what the text names.

        favourite = low + (4 * number + 2) mod (high - low + 1), moved by -1, 0 or +1 and clipped to the range

    `number` stands for the named thing: the position of a colour in COLOURS, of a group of shapes in counting.GROUPS.
    Otherwise, and always at strength 0, the value is even over the range. 4 has no factor in common with the
    ranges in use (5, 7 and 9 values), so that different names have different favourites.

    Why: real vision-language models lean on language. They have seen that bananas are yellow, and answer so
    before they look. A lab model that was supervised on skewed values has the same habit (red bars tend to be 3),
    and the reinforcement stage, on even values, shows whether the objective makes it look.
    """
    if rng.random() < strength:
        favourite = low + (4 * number + 2) % (high - low + 1)
        return min(high, max(low, favourite + rng.randrange(-1, 2)))
    return rng.randrange(low, high + 1)
