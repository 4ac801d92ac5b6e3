"""Do papo.study's intervals hold what they promise? Simulated studies with a known effect.

python experiments/study_coverage/run.py
"""

import argparse
import itertools
import math
from pathlib import Path

import numpy as np

from papo.study.crossed import crossed

EFFECT = 0.1  # of the arm, on the share of right responses
SEEDS, ITEMS = (2, 3, 4, 6, 8), (64, 512)
SD_SEEDS = (0.0, 0.02, 0.05, 0.1)  # of what a seed adds to the effect
SHAPES = {"greedy": (1, 1), "avg@8": (8, 1), "avg@8, 4 items a picture": (8, 4)}  # responses an item, items a picture
HEADER = "| responses | sd of seeds | items | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="studies behind each number")
    draws = parser.parse_args().draws
    lines = [HEADER, "|---" * (3 + len(SEEDS)) + "|"]
    for (name, shape), sd, items in itertools.product(SHAPES.items(), SD_SEEDS, ITEMS):
        rng = np.random.default_rng([items, round(1000 * sd), *shape])
        held = [coverage(rng, draws, seeds, items, sd, *shape) for seeds in SEEDS]
        lines.append(
            f"| {name} | {100 * sd:g} | {items} | " + " | ".join(f"{100 * share:.1f}" for share in held) + " |"
        )
        print(lines[-1], flush=True)
    error = 100 * math.sqrt(0.95 * 0.05 / draws)
    note = f"Share of {draws} simulated studies whose 95 % interval holds the effect, %; standard error {error:.1f}."
    table = Path(__file__).parent / "table.md"
    table.write_text("\n".join([*lines, "", note]) + "\n")


def coverage(
    rng: np.random.Generator, draws: int, seeds: int, items: int, sd: float, responses: int, per_picture: int
) -> float:
    """The share of studies whose interval holds the effect."""
    pictures = np.arange(items) // per_picture
    held = 0
    for _ in range(draws):
        found = crossed(study(rng, seeds, pictures, sd, responses), pictures)
        held += abs(found.mean - EFFECT) <= found.half
    return held / draws


def study(rng: np.random.Generator, seeds: int, pictures: np.ndarray, sd: float, responses: int) -> np.ndarray:
    """One arm less the baseline, [S, n]: both answer the same items, some harder and some helped more than others."""
    count = pictures.max() + 1
    chance = rng.uniform(0.35, 0.55, count)[pictures]
    helped = chance + EFFECT + rng.uniform(-0.1, 0.1, count)[pictures]
    of_seed = sd * rng.normal(size=(seeds, 1))
    baseline, arm = chance + np.zeros((seeds, 1)), np.clip(helped + of_seed, 0, 1)
    return (rng.binomial(responses, arm) - rng.binomial(responses, baseline)) / responses


if __name__ == "__main__":
    main()
