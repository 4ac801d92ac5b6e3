"""Means over items and differences between paired items, with an interval that says how far they can be trusted.

Items about one picture are not independent: where pictures are given, intervals are over those. With C pictures and
e_i = x_i - mean, the variance of the mean over n items is C / (C - 1) sum_c (sum_{i in c} e_i)^2 / n^2, with C - 1
degrees of freedom; with a picture for each item that is s^2 / n.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from scipy import stats

CHANCE = 0.8  # of an interval that excludes 0 where the difference is there
MOST_ITEMS = 2**30
# Of values that agree, some of which were float32. Shares of k answers are 1 / k apart, and their differences from
# shares of j answers 1 / (k j).
ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate:
    """mean with a 95 % interval; n items, about so many pictures where some are about one."""

    mean: float
    ci95: tuple[float, float]
    n: int
    pictures: int | None = None  # None = as many as items, or not told apart

    def to_dict(self) -> dict:
        shared = {} if self.pictures is None else {"pictures": self.pictures}
        return {"mean": self.mean, "ci95": list(self.ci95), "n": self.n, **shared}

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} [{100 * self.ci95[0]:.1f}, {100 * self.ci95[1]:.1f}]"


def mean_over_items(item_means: Sequence[float], pictures: Sequence[Hashable] | None = None) -> Estimate:
    """The mean over items of a share, such as avg@k: the share of right answers among each item's k responses.

    The k responses of an item are not independent, so the interval is over items. It is Wilson's for as many
    independent yes-or-no answers as would spread like the items do, p (1 - p) / variance: symmetric intervals are too
    short, and reach beyond 0 and 1, where p is near them. One picture says nothing about others: its interval is
    [0, 1].

    Args:
        pictures: which one each item is about; None = one each.

    Raises:
        ValueError: no items, or not a picture for each.
    """
    n = len(item_means)
    if n == 0:
        raise ValueError("no items to average over")
    p = math.fsum(item_means) / n
    variance, independent = _variance_of_mean(item_means, p, pictures)
    shared = None if independent == n else independent
    if independent == 1:
        return Estimate(p, (0.0, 1.0), n, shared)
    answers = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else independent
    return Estimate(p, wilson(p, t95(independent - 1) ** 2 / answers), n, shared)


def mean_difference(
    first: Sequence[float], second: Sequence[float], pictures: Sequence[Hashable] | None = None, bound: float = 1.0
) -> Estimate:
    """The mean over items of second - first, both measured on the same items: paired, so what makes an item hard for
    both does not widen the interval (mean +- t times the root of its variance). One picture has the interval
    [-bound, bound], beyond which none goes.

    Items that all differ alike leave the doubt that Wilson's interval leaves of a share of 0: of the items that there
    could be, up to q = t^2 / (n + t^2) may differ otherwise, by whatever the bound allows. So the mean of all lies
    between (1 - q) mean - q bound and (1 - q) mean + q bound, which at mean = bound is Wilson's own end.

    Args:
        pictures: as for `mean_over_items`.
        bound: of an item's difference, either way: 1 of two shares, 2 of two differences of shares. Where one goes
            further, it is that one, so that the interval holds the mean whatever is compared.

    Raises:
        ValueError: no items, or not the same number of both.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n == 0:
        raise ValueError("no items to average over")
    mean, bound = math.fsum(differences) / n, max(bound, *map(abs, differences))
    variance, independent = _variance_of_mean(differences, mean, pictures)
    shared = None if independent == n else independent
    if independent == 1:
        return Estimate(mean, (-bound, bound), n, shared)
    t = t95(independent - 1)
    if variance == 0:
        return Estimate(mean, agreeing(mean, independent, bound), n, shared)
    half = t * math.sqrt(variance)
    return Estimate(mean, (max(-bound, mean - half), min(bound, mean + half)), n, shared)


def wilson(p: float, z2: float) -> tuple[float, float]:
    """Wilson's interval of a share p, where z2 is the square of the quantile over the number of answers."""
    centre, half = (p + z2 / 2) / (1 + z2), math.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    # The ends are p itself where all items agree, but for rounding.
    return min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))


def agreeing(mean: float, independent: int, bound: float) -> tuple[float, float]:
    """The interval of so many differences, two or more, that agree; see `mean_difference`."""
    t = t95(independent - 1)
    q = t**2 / (independent + t**2)
    return mean - q * (bound + mean), mean + q * (bound - mean)


@dataclass(frozen=True)
class Power:
    """What a paired comparison of so many items can see.

    Args:
        deviation: of the difference, as of independent items: the root of n times the variance of the mean.
        n: items.
        share: pictures per item, in (0, 1]: degrees of freedom are counted in those.
    """

    deviation: float
    n: int
    share: float = 1.0

    @staticmethod
    def of(first: Sequence[float], second: Sequence[float], pictures: Sequence[Hashable] | None = None) -> Power:
        """From what was measured; arguments as of `mean_difference`. One picture has a deviation of NaN."""
        differences = [b - a for a, b in zip(first, second, strict=True)]
        n = len(differences)
        variance, independent = _variance_of_mean(differences, math.fsum(differences) / n, pictures)
        return Power(math.sqrt(variance * n), n, independent / n)

    @property
    def known(self) -> bool:
        """Whether items differed at all, and there are two pictures."""
        return self.deviation > 0

    def detectable(self, items: int | None = None) -> float:
        """The smallest true difference, in [0, ...], that the 95 % interval of so many items tells from 0 four times
        in five: (t(C - 1) + z(0.8)) deviation / sqrt(n). None = as many items as there were."""
        items = self.n if items is None else items
        freedom = max(1, round(items * self.share) - 1)
        return (t95(freedom) + float(stats.norm.ppf(CHANCE))) * self.deviation / math.sqrt(items)

    def items_for(self, difference: float) -> int | None:
        """The fewest items for which that is at most `difference`; None = unknown, or more than MOST_ITEMS.

        >>> Power(deviation=0.5, n=100).items_for(0.05)
        787

        Raises:
            ValueError: the difference is not positive.
        """
        if not difference > 0:
            raise ValueError(f"difference must be positive, got {difference}")
        low, high = 1, MOST_ITEMS
        if not self.known or self.detectable(high) > difference:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle) <= difference else (middle, high)
        return high


def t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t."""
    return float(stats.t.ppf(0.975, freedom))


def _variance_of_mean(values: Sequence[float], mean: float, pictures: Sequence[Hashable] | None) -> tuple[float, int]:
    """Of the mean, and over how many pictures; 0 where all agree but for rounding, NaN where there is one."""
    deviations: list[float] = [value - mean for value in values]
    if pictures is not None:
        of_pictures: dict[Hashable, list[float]] = defaultdict(list)
        for deviation, picture in zip(deviations, pictures, strict=True):
            of_pictures[picture].append(deviation)
        deviations = [math.fsum(of_one) for of_one in of_pictures.values()]
    C = len(deviations)
    if C == 1:
        return math.nan, 1
    if all(abs(deviation) < ROUNDING for deviation in deviations):
        return 0.0, C
    squares = math.fsum(deviation**2 for deviation in deviations)
    return C / (C - 1) * squares / len(values) ** 2, C
