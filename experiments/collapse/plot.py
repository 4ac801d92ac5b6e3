"""Curves of runs side by side: python experiments/collapse/plot.py OUT.png NAME=RUN_DIR ..."""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = ("course/accuracy", "perception/kl", "policy/entropy", "policy/corrupted_entropy", "collapse/score")


def main(out: str, *runs: str) -> None:
    figure, axes = plt.subplots(1, len(TAGS), figsize=(3 * len(TAGS), 2.8), layout="constrained")
    for run in runs:
        name, _, folder = run.partition("=")
        events = EventAccumulator(folder).Reload()
        for axis, tag in zip(axes, TAGS, strict=True):
            if tag in events.Tags()["scalars"]:
                points = events.Scalars(tag)
                axis.plot([point.step for point in points], [point.value for point in points], label=name)
    for axis, tag in zip(axes, TAGS, strict=True):
        axis.set_title(tag)
        axis.set_xlabel("step")
    axes[0].legend(fontsize="small")
    figure.savefig(out, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
