"""Do papo.study's intervals hold what they promise? Simulated studies with a known effect, or share near 100 %.

python experiments/study_coverage/run.py
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from papo.study.crossed import crossed

EFFECT = 0.1  # of the arm, on the share of right responses
SEEDS, ITEMS = (2, 3, 4, 6, 8), (64, 512)
SD_SEEDS = (0.0, 0.02, 0.05, 0.1)  # of what a seed adds to the effect
SHAPES = {"greedy": (1, 1), "avg@8": (8, 1), "avg@8, 4 items a picture": (8, 4)}  # responses an item, items a picture
RIGHT = (0.95, 0.98, 0.99, 0.998)  # of an arm's responses, where nearly all are
# Of such: responses an item, and how alike items are, as the sum of a beta distribution's parameters; 0 = each is right
# or wrong whoever answers it.
NEAR = {"greedy": (1, 20), "greedy, the same items always": (1, 0), "avg@8": (8, 20)}

Draw = Callable[[int], tuple[float, float]]  # the interval of one simulated study of so many seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="studies behind each number")
    draws = parser.parse_args().draws
    effects = [*header("sd of seeds"), *effect_rows(draws)]
    shares = [*header("right, %"), *share_rows(draws)]
    error = 100 * math.sqrt(0.95 * 0.05 / draws)
    note = f"Share of {draws} simulated studies whose 95 % interval holds the effect, %; standard error {error:.1f}."
    near = "The same of an arm's own share, where it is near 100 %."
    table = Path(__file__).parent / "table.md"
    table.write_text("\n".join([*effects, "", note, "", *shares, "", near]) + "\n")


def header(varied: str) -> list[str]:
    names = ("responses", varied, "items", *(f"{seeds} seeds" for seeds in SEEDS))
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def effect_rows(draws: int) -> Iterator[str]:
    for (name, shape), sd, items in itertools.product(SHAPES.items(), SD_SEEDS, ITEMS):
        rng = np.random.default_rng([items, round(1000 * sd), *shape])
        responses, per_picture = shape
        pictures = np.arange(items) // per_picture

        def draw(seeds: int, rng=rng, pictures=pictures, sd=sd, responses=responses) -> tuple[float, float]:
            return crossed(study(rng, seeds, pictures, sd, responses), pictures).of_difference(1)

        yield row((name, f"{100 * sd:g}", str(items)), draws, EFFECT, draw)


def share_rows(draws: int) -> Iterator[str]:
    for (name, shape), right, items in itertools.product(NEAR.items(), RIGHT, ITEMS):
        rng = np.random.default_rng([items, round(1000 * right), *shape])

        def draw(seeds: int, rng=rng, items=items, right=right, shape=shape) -> tuple[float, float]:
            return crossed(arm(rng, seeds, items, right, *shape), np.arange(items)).of_share

        yield row((name, f"{100 * right:g}", str(items)), draws, right, draw)


def row(names: Sequence[str], draws: int, truth: float, draw: Draw) -> str:
    """How often the interval holds the truth, by the number of seeds."""
    held = [sum(low <= truth <= high for low, high in (draw(seeds) for _ in range(draws))) for seeds in SEEDS]
    line = f"| {' | '.join([*names, *(f'{100 * count / draws:.1f}' for count in held)])} |"
    print(line, flush=True)
    return line


def study(rng: np.random.Generator, seeds: int, pictures: np.ndarray, sd: float, responses: int) -> np.ndarray:
    """One arm less the baseline, [S, n]: both answer the same items, some harder and some helped more than others."""
    count = pictures.max() + 1
    chance = rng.uniform(0.35, 0.55, count)[pictures]
    helped = chance + EFFECT + rng.uniform(-0.1, 0.1, count)[pictures]
    of_seed = sd * rng.normal(size=(seeds, 1))
    baseline, arm = chance + np.zeros((seeds, 1)), np.clip(helped + of_seed, 0, 1)
    return (rng.binomial(responses, arm) - rng.binomial(responses, baseline)) / responses


def arm(
    rng: np.random.Generator, seeds: int, items: int, right: float, responses: int, concentration: float
) -> np.ndarray:
    """The shares of right responses of one arm, [S, n]."""
    if concentration:
        chance = rng.beta(concentration * right, concentration * (1 - right), items)
    else:
        chance = (rng.random(items) < right).astype(float)
    return rng.binomial(responses, chance, (seeds, items)) / responses


if __name__ == "__main__":
    main()
