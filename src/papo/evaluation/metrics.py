"""What k sampled answers to one item say: the chance that one of m is right, and whether the most frequent one is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def pass_at(m: int, right: int, k: int) -> float:
    """Probability that at least one of m responses is right, without bias from k >= m samples of which `right` are.

    1 - C(k - right, m) / C(k, m) (arXiv 2107.03374, Eq. 1).

    >>> [round(pass_at(m, right=1, k=4), 2) for m in (1, 2, 4)]
    [0.25, 0.5, 1.0]
    """
    assert 1 <= m <= k, f"pass@{m} needs at least {m} samples, got {k}"
    return 1 - math.comb(k - right, m) / math.comb(k, m)


def majority(answers: Sequence[str | None], right: Sequence[bool]) -> float:
    """maj@k: whether the answer that most of an item's k responses gave is right.

    Answers are compared as they were read out, without regard to case and surrounding space; a response without one
    does not vote. Among equally frequent answers one would be drawn, so the result is the share of them that is right.

    >>> majority(["4", "4", "5", None], [True, True, False, False])
    1.0
    """
    votes: Counter[str] = Counter()
    correct: dict[str, bool] = {}
    for answer, is_right in zip(answers, right, strict=True):
        if answer is not None:
            vote = answer.strip().casefold()
            votes[vote] += 1
            correct[vote] = correct.get(vote, False) or is_right
    if not votes:
        return 0.0
    most = max(votes.values())
    leaders = [vote for vote, count in votes.items() if count == most]
    return sum(correct[vote] for vote in leaders) / len(leaders)
