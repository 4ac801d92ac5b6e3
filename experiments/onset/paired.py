"""Policies with as many steps with the term, some of which guessed before: python experiments/onset/paired.py RUNS

Greedy accuracy and answers that name what the words suggest, late start less early one, paired by seed and item.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from papo.study.crossed import crossed

# (late arm, its step, early arm, its step): as many steps with the term.
PAIRS = (("from_step_10", 30, "from_the_start", 20), ("from_step_20", 30, "from_the_start", 10))
PAIRS += (("from_step_10", 20, "from_the_start", 10),)


def measured(folder: Path, step: int, measure: str) -> dict[str, tuple[float, str]]:
    """(value, picture) of each held-out item."""
    rows = map(json.loads, (folder / "held_out.jsonl").open())
    return {
        row["item"]: (row["value"], row["picture"])
        for row in rows
        if (row["set"], row["step"], row["measure"]) == ("held_out", step, measure)
    }


def main(runs: Path) -> None:
    print("| late start | early start | steps with the term | greedy, late less early | names favourites |")
    print("|---|---|---|---|---|")
    for late, late_step, early, early_step in PAIRS:
        cells = []
        for measure in ("greedy", "guessed"):
            rows, pictures = [], None
            for folder in sorted(runs.glob(f"{late}_seed=*")):
                of_late = measured(folder, late_step, measure)
                of_early = measured(folder.with_name(folder.name.replace(late, early)), early_step, measure)
                rows.append([of_late[item][0] - of_early[item][0] for item in of_late])
                pictures = np.unique([picture for _, picture in of_late.values()], return_inverse=True)[1]
            found = crossed(np.array(rows), pictures)
            low, high = found.of_difference(1)
            cells.append(f"{100 * found.mean:+.1f} [{100 * low:.1f}, {100 * high:.1f}]")
        print(f"| `{late}`, step {late_step} | `{early}`, step {early_step} | {early_step} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
