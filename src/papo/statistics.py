"""Means over items and differences between paired items, with an interval that says how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from scipy import stats


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
    """The mean over items of a share, such as avg@k: the share of right answers among each item's k responses.

    The k responses of an item are not independent, so the interval is over items. It is Wilson's for as many
    independent yes-or-no answers as would spread like the items do, p (1 - p) / (s^2 / n): symmetric intervals are too
    short, and reach beyond 0 and 1, where p is near them. One item says nothing about others: its interval is [0, 1].

    Raises:
        ValueError: no items.
    """
    n = len(item_means)
    if n == 0:
        raise ValueError("no items to average over")
    p = math.fsum(item_means) / n
    if n == 1:
        return Estimate(p, (0.0, 1.0), n)
    variance = _variance(item_means, p) / n
    independent = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else n
    z2 = t95(n - 1) ** 2 / independent
    centre, half = (p + z2 / 2) / (1 + z2), math.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    # The ends are p itself where all items agree, but for rounding.
    return Estimate(p, (min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))), n)


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean over items of second - first, both measured on the same items: paired, so what makes an item hard for
    both does not widen the interval (mean +- t s / sqrt(n)). One item has the interval [-1, 1].

    Raises:
        ValueError: no items, or not the same number of both.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n == 0:
        raise ValueError("no items to average over")
    mean = math.fsum(differences) / n
    if n == 1:
        return Estimate(mean, (-1.0, 1.0), n)
    half = t95(n - 1) * math.sqrt(_variance(differences, mean) / n)
    return Estimate(mean, (max(-1.0, mean - half), min(1.0, mean + half)), n)


def t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t."""
    return float(stats.t.ppf(0.975, freedom))


def _variance(values: Sequence[float], mean: float) -> float:
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
