"""Which kinds of picture an objective looks at: python experiments/guess_or_look/kinds.py RUNS     writes kinds.md here

RUNS holds what runs.tar.xz has: a folder for each run, ARM_guessable_share=SHARE_seed=SEED. Greedy accuracy and answers
that name the favourites after the last step, at share 1, by kind of picture; intervals, and differences from GRPO, are
over seeds and pictures as papo.study has them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from papo.lab import LabDataset
from papo.study.crossed import crossed

HERE = Path(__file__).parent
ARMS = (
    *("grpo", "dapo", "papo_released", "papo_paper", "weighed", "seed_recipe"),
    *("constant", "masked", "swap", "blind_guess", "shuffled", "counterfactual"),
)
MEASURES = ("greedy", "guessed")
SHARE, ITEMS = "1.0", 256  # of the study: what is held out


def kind(tags: dict[str, str]) -> str:
    task = tags["task"]
    if task.startswith(("bar_", "line_")):
        return "bars and lines"
    return (
        "pies"
        if task.startswith("pie_")
        else "angles"
        if task == "angle"
        else tags["family"].replace("geometry", "lengths")
    )


def of_run(file: Path, step: int | None) -> dict[str, dict[str, float]]:
    """What was measured of each item after a step, by measure; None = after the last one."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows = [row for row in rows if row["set"] == "held_out" and row["measure"] in MEASURES]
    step = max(row["step"] for row in rows) if step is None else step
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["step"] == step:
            found[row["measure"]][row["item"]] = row["value"]
    return found


def shown(values: np.ndarray, *, difference: bool = False) -> str:
    """In %, of [seeds, items]; all items are about pictures of their own."""
    effect = crossed(values, np.arange(values.shape[1]))
    low, high = effect.of_difference(1) if difference else effect.of_share
    return f"{100 * effect.mean:{'+' if difference else ''}.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    data = LabDataset(split="val", size=ITEMS)
    kinds = {item.id: kind(item.tags) for item in (data[i] for i in range(ITEMS))}
    runs = {
        arm: [
            of_run(file, None)
            for file in sorted(Path(sys.argv[1]).glob(f"{arm}_guessable_share={SHARE}_seed=*/held_out.jsonl"))
        ]
        for arm in ARMS
    }
    base = of_run(next(Path(sys.argv[1]).glob(f"grpo_guessable_share={SHARE}_seed=0/held_out.jsonl")), 0)
    lines = [
        "| kind | items | base | arm | seeds | greedy | less GRPO | names favourites |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ("bars and lines", "lengths", "pies", "counting", "angles"):
        for arm, found in runs.items():
            table = {}
            for measure in MEASURES:
                items = [item for item in kinds if kinds[item] == name and item in found[0][measure]]
                table[measure] = items, np.array([[run[measure][item] for item in items] for run in found])
            items, greedy = table["greedy"]
            grpo = np.array([[run["greedy"][item] for item in items] for run in runs["grpo"]])
            less = "" if arm == "grpo" else shown(greedy - grpo, difference=True)
            before = 100 * np.mean([base["greedy"][item] for item in items])
            cells = (
                name,
                len(items),
                f"{before:.1f}",
                f"`{arm}`",
                len(found),
                shown(greedy),
                less,
                shown(table["guessed"][1]),
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    (HERE / "kinds.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
