"""What a run showed, by metric: a value for each held-out item, or one for the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from papo.study.runs import Rows, Run, course, graded_in_all

# Measured before training too: what training changed is a metric of its own.
GAINS = ("accuracy", "greedy")
GAIN = "_gain"  # what the names of those end with

PER_RUN = ("seconds_per_step", "peak_memory_gib")


def item_metrics(run: Run) -> dict[str, Rows]:
    """The metrics that have a value per item, at the end of the run.

    Those of held-out items have the name of their measure; of questions that the words give away, guessable for the
    accuracy and guessable_NAME for others. NAME_gain is what training changed.
    """
    found = {}
    for (of_set, measure), rows in run.last.items():
        found[metric_name(of_set, measure)] = rows
    for measure in GAINS:
        before = run.rows.get(("held_out", measure), {}).get(0)
        after = found.get(measure)
        if before is not None and after is not None:
            before, after = graded_in_all([before, after])
            found[f"{measure}{GAIN}"] = Rows(after.items, after.values - before.values)
    return found


def metric_name(of_set: str, measure: str) -> str:
    if of_set == "held_out":
        return measure
    return of_set if measure == "accuracy" else f"{of_set}_{measure}"


def run_metrics(run: Run, reach: Sequence[float] = ()) -> dict[str, float | None]:
    """The metrics that have one value per run; None where a run has none.

    Args:
        reach: accuracies, each of which adds steps_to_... and seconds_to_...: the first step at which held-out accuracy
            was there, between two validations on the line that joins them.
    """
    found = {name: run.metrics.get(name) for name in PER_RUN}
    for target in reach:
        steps, pace = first_reaching(run, target), run.metrics.get("seconds_per_step")
        found[f"steps_to_{target:g}"] = steps
        found[f"seconds_to_{target:g}"] = None if steps is None or pace is None else steps * pace
    return found


def first_reaching(run: Run, target: float) -> float | None:
    """The step at which held-out accuracy reached the target; None = never, or it was not measured."""
    measured = ((step, rows.values) for step, rows in course(run, "accuracy").items())
    curve = [(step, float(np.nanmean(values))) for step, values in measured if not np.isnan(values).all()]
    if not curve:
        return None
    (step, value), *later = curve
    if value >= target:
        return float(step)
    for following, reached in later:
        if reached >= target:
            return step + (following - step) * (target - value) / (reached - value)
        step, value = following, reached
    return None
