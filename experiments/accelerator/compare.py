"""What runs of the main job in other precisions, or on other devices, did, and how many responses they share.

    python experiments/accelerator/compare.py REFERENCE RUN [RUN ...]

Each is a run directory. A response is the same where the reference's in that step and place has the same text.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from statistics import fmean


def responses(run: Path) -> dict[int, list[str]]:
    """Texts of every step."""
    with (run / "rollouts.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {step: [row["response"] for row in of_step] for step, of_step in groupby(rows, lambda row: row["step"])}


def greedy(run: Path) -> dict[int, float]:
    """Percent right by step, on the items that were graded at every step."""
    with (run / "held_out.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    of_step: dict[int, dict[str, float]] = {}
    for row in rows:
        if (row["set"], row["measure"]) == ("held_out", "greedy") and row["value"] is not None:
            of_step.setdefault(row["step"], {})[row["item"]] = row["value"]
    everywhere = set.intersection(*map(set, of_step.values()))
    return {step: 100 * fmean(values[item] for item in everywhere) for step, values in of_step.items()}


def line(run: Path, reference: dict[int, list[str]]) -> str:
    metrics = json.loads((run / "metrics.json").read_text())
    ours = responses(run)
    same = [
        mine == theirs
        for step in ours.keys() & reference.keys()
        for mine, theirs in zip(ours[step], reference[step], strict=False)
    ]
    course = ", ".join(f"{value:.0f} ({step})" for step, value in greedy(run).items())
    return (
        f"| {run.name} | {max(ours)} | {sum(same)} of {len(same)} | {course} | {metrics['seconds_per_step']:.2f} "
        f"| {metrics['peak_memory_gib']:.2f} |"
    )


def main() -> None:
    first, *others = map(Path, sys.argv[1:])
    reference = responses(first)
    print("| run | steps | as in the first | greedy, % (step) | s a step | peak GiB |\n|---|---|---|---|---|---|")
    for run in (first, *others):
        print(line(run, reference), flush=True)


if __name__ == "__main__":
    main()
