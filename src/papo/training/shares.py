"""Which prompts each update of a step is on."""

from __future__ import annotations

from itertools import pairwise

from papo import ranks
from papo.types import Rollouts


def shares(rollouts: Rollouts | None, updates: int) -> list[Rollouts | None]:
    """This rank's part of each update: the prompts of all ranks that teach something, in the order of one process, are
    divided evenly among at most `updates`. None where it has no part; nothing where no prompt teaches anything.

    Args:
        rollouts: of this rank; None where it has none.
    """
    learning = [] if rollouts is None else rollouts.learning()
    places = {n: n if rollouts.places is None else rollouts.places[n] for n in learning}
    order = sorted(ranks.collected([*places.values()]))
    found = []
    for piece in split_evenly(len(order), updates):
        own = [n for n, place in places.items() if order[piece.start] <= place <= order[piece.stop - 1]]
        found.append(rollouts.select(own) if own else None)
    return found


def split_evenly(n: int, parts: int) -> list[range]:
    """range(n) in at most `parts` contiguous pieces whose sizes differ by at most one.

    >>> split_evenly(5, 3), split_evenly(1, 3), split_evenly(0, 3)
    ([range(0, 1), range(1, 3), range(3, 5)], [range(0, 1)], [])
    """
    parts = min(parts, n)
    return [range(low, high) for low, high in pairwise(n * i // parts for i in range(parts + 1))] if parts else []
