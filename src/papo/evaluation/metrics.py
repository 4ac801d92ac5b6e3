"""Accuracy of sampled answers, with an interval that says how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

# Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """mean with a 95 % interval; n independent items."""

    mean: float
    ci95: tuple[float, float]
    n: int

    def to_dict(self) -> dict:
        return asdict(self) | {"ci95": list(self.ci95)}

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.ci95[0]:.1f}, {100 * self.ci95[1]:.1f}]"


def mean_over_items(item_means: Sequence[float]) -> Estimate:
    """avg@k: the mean over items of the mean over each item's k responses, as a share.

    The k responses of an item are not independent, so the interval is over items: mean +- 1.96 s / sqrt(n), kept
    inside [0, 1] (normal approximation, for which a few dozen items suffice).

    Raises:
        ValueError: no items.
    """
    n = len(item_means)
    if n == 0:
        raise ValueError("no items to average over")
    mean = math.fsum(item_means) / n
    variance = math.fsum((x - mean) ** 2 for x in item_means) / (n - 1) if n > 1 else 0.0
    half = Z95 * math.sqrt(variance / n)
    return Estimate(mean, (max(0.0, mean - half), min(1.0, mean + half)), n)
