"""How many seeds and items it takes to see a difference, from the variances that a study measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy import stats

from papo.statistics import ROUNDING
from papo.study.comparison import Comparison
from papo.study.crossed import Crossed, half_length

CHANCE = 0.8  # of an interval that excludes 0 where the difference is there
MOST_SEEDS, MOST_PICTURES = 64, 2**20


def detectable(parts: Crossed, seeds: int, pictures: int) -> float:
    """The smallest difference that an interval over so many seeds and pictures excludes 0 for, four times in five."""
    v_seeds = (parts.var_seed + parts.var_rest / pictures) / seeds
    v_pictures = parts.var_picture / pictures
    error = math.sqrt(v_seeds + v_pictures)
    return half_length(v_seeds, v_pictures, seeds, pictures) + float(stats.norm.ppf(CHANCE)) * error


def seeds_needed(parts: Crossed, difference: float, pictures: int) -> int | None:
    """The fewest seeds, at least two, with so many pictures; None = more than MOST_SEEDS."""
    fit = (n for n in range(2, MOST_SEEDS + 1) if detectable(parts, n, pictures) <= difference)
    return next(fit, None)


def pictures_needed(parts: Crossed, difference: float, seeds: int) -> int | None:
    """The fewest pictures with so many seeds; None where no number is enough, because seeds differ too much."""
    low, high = 1, MOST_PICTURES
    if detectable(parts, seeds, high) > difference:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(parts, seeds, middle) <= difference else (middle, high)
    return high


def told(comparison: Comparison, points: float, metric: str = "accuracy") -> str:
    """A line for each arm: what a difference of so many percentage points from the baseline needs."""
    lines = [f"To see a difference of {points:g} points of {metric} four times in five:"]
    for label, effects in comparison.differences.items():
        if metric in effects:
            lines.append(f"  {label}: {needs(effects[metric].parts, points / 100)}")
    return "\n".join(lines)


def needs(parts: Crossed, difference: float) -> str:
    """What a difference needs, in words."""
    spread = {"seeds": parts.var_seed, "pictures": parts.var_picture, "the rest": parts.var_rest}
    if parts.seeds < 2:
        return "unknown: one seed says nothing about others"
    if not parts.half > ROUNDING:
        return "unknown: no item differed"
    seeds = seeds_needed(parts, difference, parts.pictures)
    pictures = pictures_needed(parts, difference, parts.seeds)
    return (
        f"{f'more than {MOST_SEEDS}' if seeds is None else seeds} seeds with {parts.pictures} pictures, or "
        f"{f'{pictures} pictures with' if pictures else 'no number of pictures with'} {parts.seeds} seeds "
        f"({deviations(spread)})"
    )


def deviations(spread: Mapping[str, float]) -> str:
    return "standard deviations: " + ", ".join(f"{name} {100 * math.sqrt(v):.1f}" for name, v in spread.items())
