"""A mean over seeds and items at once, and what either contributes to its uncertainty.

Every seed answers the same items, so both are sources of variation that more of the other does not remove. An effect
of seed s on the items i of picture c is taken apart as

    d[s, i] = mean + seed[s] + picture[c] + rest[s, c],

whose mean squares over seeds and over pictures estimate the variance of the mean without bias:

    V = V_seeds + V_pictures,  V_seeds = MS_seeds / (S C),  V_pictures = (MS_pictures - MS_rest) / (S C), at least 0.

V_seeds holds what the rest adds; it is known from S - 1 degrees of freedom only, V_pictures from as good as all that
are ever needed. The interval is mean +- sqrt(m V) with a multiplier between those of its two parts,

    m = t(C - 1)^2 + (t(S - 1)^2 - t(C - 1)^2) x^1.75,  x = V_seeds / V,

exact where either is alone. In between two seeds' intervals cover 93.4 to 97.0 % and three seeds' 94.5 to 96.0; weights
x (Cochran) would cover up to 98.7 %, degrees of freedom by Satterthwaite down to 87.2 (experiments/study_coverage). Two
and three seeds give honest but wide intervals where seeds differ: t(1) is 12.7, t(2) is 4.3.

Near the ends of what a share can be, few items or none differ, and V says little. `of_share` and `of_difference` leave
the doubt there that papo.statistics leaves of so many pictures, whatever the number of seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from papo.statistics import ROUNDING, agreeing, t95, wilson

POWER = 1.75  # of the seeds' share of the variance, in the multiplier


@dataclass(frozen=True)
class Crossed:
    """A mean, how far it can be trusted, and the variances behind it.

    Args:
        mean: over seeds and items.
        half: of the 95 % interval's length where nothing bounds what is measured; NaN where there is one value only.
        varied: whether V is above 0. Where it is 0 though the rest is not, as where two seeds have as many right
            answers to other items, `half` is of the rest alone: V_pictures = MS_rest / (S C).
        seeds, pictures: how many.
        var_seed, var_picture, var_rest: of seed, picture and rest, at least 0; 0 too where there is one of them.
    """

    mean: float
    half: float
    varied: bool
    seeds: int
    pictures: int
    var_seed: float
    var_picture: float
    var_rest: float

    @property
    def unbounded(self) -> tuple[float, float] | None:
        """The interval of what may be any number; None where there is one value only."""
        return None if math.isnan(self.half) else (self.mean - self.half, self.mean + self.half)

    @property
    def of_share(self) -> tuple[float, float]:
        """The interval of a mean of shares, in [0, 1]; one picture says nothing about others.

        Where mean +- half goes beyond, or items do not vary, it is cut off, and goes as far as Wilson's at either end:
        that of as many yes-or-no answers as would spread so, p (1 - p) / V, but of no more than there are pictures.
        """
        if self.pictures == 1:
            return 0.0, 1.0
        p, low, high = self.mean, self.mean - self.half, self.mean + self.half
        if self.varied and low >= 0 and high <= 1:
            return low, high
        z2 = t95(self.pictures - 1) ** 2 / self.pictures
        if 0 < p < 1:
            z2 = max(z2, self.half**2 / (p * (1 - p)))
        return _around((max(0.0, low), min(1.0, high)), wilson(p, z2))

    def of_difference(self, bound: float) -> tuple[float, float]:
        """The interval of a mean of differences, each in [-bound, bound]; as papo.statistics.mean_difference."""
        if self.pictures == 1:
            return -bound, bound
        ends = max(-bound, self.mean - self.half), min(bound, self.mean + self.half)
        return ends if self.varied else _around(ends, agreeing(self.mean, self.pictures, bound))


def crossed(values: np.ndarray, pictures: np.ndarray) -> Crossed:
    """The mean of `values`.

    Args:
        values: [S, n], of S seeds on the same n items.
        pictures: [n], which picture an item belongs to, from 0 to C - 1 without a gap; items of one picture are taken
            for one observation as far as the interval goes, and weigh in the mean by how many they are.
    """
    S, n = values.shape
    C = int(pictures.max()) + 1
    mean = float(values.mean())
    # By picture and centred, each picture weighing as many items as it has.
    u = np.zeros((S, C))
    np.add.at(u.T, pictures, (values - mean).T * (C / n))
    of_seed, of_picture = u.mean(axis=1), u.mean(axis=0)
    rest = u - of_seed[:, None] - of_picture
    ms_seed = C * _mean_square(of_seed, S - 1)
    ms_picture = S * _mean_square(of_picture, C - 1)
    ms_rest = _mean_square(rest, (S - 1) * (C - 1))
    v_seeds, v_pictures = ms_seed / (S * C), max(0.0, ms_picture - ms_rest) / (S * C)
    varied = v_seeds + v_pictures > ROUNDING**2
    return Crossed(
        mean,
        half_length(v_seeds, v_pictures, S, C) if varied else half_length(0.0, ms_rest / (S * C), S, C),
        varied,
        S,
        C,
        var_seed=max(0.0, ms_seed - ms_rest) / C if S > 1 else 0.0,
        var_picture=v_pictures * C,
        var_rest=ms_rest,
    )


def half_length(v_seeds: float, v_pictures: float, seeds: int, pictures: int) -> float:
    """Half of the interval, from the two parts of the mean's variance; NaN where there is one value only."""
    if seeds == 1 and pictures == 1:
        return math.nan
    of_pictures = t95(pictures - 1) ** 2 if pictures > 1 else 0.0
    of_seeds = t95(seeds - 1) ** 2 if seeds > 1 else 0.0
    variance = v_seeds + v_pictures
    share = v_seeds / variance if variance > 0 else 0.0
    return math.sqrt(variance * (of_pictures + (of_seeds - of_pictures) * share**POWER))


def _around(*intervals: tuple[float, float]) -> tuple[float, float]:
    """The shortest interval that holds all of these."""
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def _mean_square(deviations: np.ndarray, freedom: int) -> float:
    return float((deviations**2).sum()) / freedom if freedom > 0 else 0.0
