"""study.csv, study.json, study.md, figure.png and study.html."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from papo.evaluation.result_tables import to_markdown
from papo.files import replacing, write_text
from papo.report import Plot, PlotRow, Report, ReportPicture, write_report
from papo.study.alike import check_alike
from papo.study.arms import cells
from papo.study.comparison import Comparison, Effect, compare
from papo.study.figure import draw
from papo.study.measures import item_metrics, run_metrics
from papo.study.runs import OTHERWISE, Run, collect
from papo.study.tables import tables
from papo.study.versions import Version, versions
from papo.study.versions import remarks as of_versions

PLOTTED = ("accuracy", "greedy", "guessed", "readable_masked")  # differences in these, where measured


@dataclass(frozen=True)
class Question:
    """What is asked of runs.

    Args:
        baseline: the arm that the others are compared with.
        by: factors; arms are compared within each of their levels.
        allow: see papo.study.alike.
        reach: accuracies, in [0, 1]; see papo.study.measures.run_metrics.
        text: the question in words.
        unfinished: arms of which runs that were asked for are not there, in words.
        names: see papo.study.runs.collect.
        partial: see papo.study.comparison.compare.
        changed: runs that are compared although they have other settings than the study; what differs, by name.
        now: of the code that is here, where runs that are missing are made by it; see papo.code.state.
    """

    baseline: str
    by: Sequence[str] = ()
    allow: Sequence[str] = ()
    reach: Sequence[float] = ()
    text: str = ""
    unfinished: Sequence[str] = ()
    names: Mapping[str, str | None] | None = None
    changed: Mapping[str, str] = field(default_factory=dict)
    now: Mapping[str, Any] | None = None
    partial: bool = False


def compare_runs(folder: Path, out: Path, question: Question) -> Comparison:
    """Compares the finished runs below `folder` and writes everything into `out`.

    Raises:
        ConfigError: there is none, they cannot be compared, or there is no baseline.
    """
    runs, left_out = collect(folder, question.names)
    found = cells(runs, question.by)
    check_alike(found, question.allow)
    comparison = compare(found, question.baseline, question.reach, partial=question.partial)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "study.csv", table_of_runs(comparison, question))
    write_text(out / "study.json", json.dumps(as_json(comparison, question, runs, left_out), indent=2) + "\n")
    write_text(out / "study.md", as_markdown(comparison, question, left_out))
    figure = draw(comparison)
    with replacing(out / "figure.png") as part:
        part.write_bytes(figure)
    write_report(page(comparison, question, runs, left_out, figure), out / "study.html")
    return comparison


def table_of_runs(comparison: Comparison, question: Question) -> str:
    """CSV: run, arm, seed, metric, value, and the level of each factor."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "arm", "seed", "metric", "value", *question.by])
    for cell in comparison.cells:
        levels = [value for _, value in cell.levels]
        for seed, run in cell.runs.items():
            means = {name: float(np.nanmean(rows.values)) for name, rows in item_metrics(run).items() if measured(rows)}
            for name, value in (means | run_metrics(run, question.reach)).items():
                table.writerow([run.name, cell.arm, seed, name, "" if value is None else f"{value:.6g}", *levels])
    return text.getvalue()


def measured(rows: Any) -> bool:
    return not np.isnan(rows.values).all()


def as_json(
    comparison: Comparison, question: Question, runs: Sequence[Run], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """What is in study.json. Means and intervals are shares in [0, 1], seconds or steps, as the metric is."""

    def plain(effects: Mapping[Any, Effect]) -> dict[Any, Any]:
        return {name: effect.to_dict() for name, effect in effects.items()}

    return {
        "question": question.text,
        "baseline": question.baseline,
        "by": list(question.by),
        "comparisons": {label: plain(effects) for label, effects in comparison.differences.items()},
        "arms": {label: plain(effects) for label, effects in comparison.arms.items()},
        "curves": {
            label: {name: plain(effects) for name, effects in of_cell.items()}
            for label, of_cell in comparison.curves.items()
        },
        "cells": {
            cell.label: {"arm": cell.arm, "levels": dict(cell.levels), "seeds": list(cell.runs)}
            for cell in comparison.cells
        },
        "missing_seeds": list(comparison.missing),
        "ungraded": list(comparison.ungraded),
        "unfinished": list(question.unfinished),
        "changed": dict(question.changed),
        "left_out": dict(left_out),
        "made_by": {version.label: list(version.runs) for version in made_by(comparison, question)},
        "made_with": made_with(runs),
        "settings": common(runs),
    }


def common(runs: Sequence[Run]) -> dict[str, Any]:
    """The settings that all runs have alike."""
    first, *others = (run.settings for run in runs)
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def made_with(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Commits and machines."""
    found = {"git_commit": set(), "platform": set(), "device": set()}
    for run in runs:
        for name, values in found.items():
            dirty = " and changes" if name == "git_commit" and run.provenance.get("git_dirty") else ""
            values.add(f"{run.provenance.get(name)}{dirty}")
    return {name: sorted(values) for name, values in found.items()}


def made_by(comparison: Comparison, question: Question) -> list[Version]:
    """The runs by the code that made them."""
    return versions({run.name: run.provenance for run in all_runs(comparison)}, question.now)


def all_runs(comparison: Comparison) -> list[Run]:
    return [run for cell in comparison.cells for run in cell.runs.values()]


def ended_early(runs: Sequence[Run]) -> Iterator[str]:
    """Runs that were stopped before the length that they were given, by on_collapse=stop for example, in words: what
    they ended with is compared with the ends of others."""
    for run in runs:
        done, asked = run.metrics["steps"], run.settings["trainer.max_steps"]
        if done < asked:
            yield f"{run.name} ended after {done} of {asked} steps"


def remarks(comparison: Comparison, question: Question, left_out: Mapping[str, str]) -> list[str]:
    """What a reader must know beside the numbers."""
    return [
        *question.unfinished,
        *comparison.missing,
        *comparison.ungraded,
        *ended_early(all_runs(comparison)),
        *(f"{name} {OTHERWISE} ({difference})" for name, difference in question.changed.items()),
        *of_versions(made_by(comparison, question), now=question.now is not None),
        *(f"{name} is left out: {reason}" for name, reason in left_out.items()),
    ]


def as_markdown(comparison: Comparison, question: Question, left_out: Mapping[str, str]) -> str:
    parts = [f"## {question.text}"] if question.text else []
    parts.append(f"Baseline: {question.baseline}.")
    parts += [f"- {remark}" for remark in remarks(comparison, question, left_out)]
    parts += map(to_markdown, tables(comparison))
    return "\n\n".join([*parts, "![The study at a glance](figure.png)"]) + "\n"


def page(
    comparison: Comparison, question: Question, runs: Sequence[Run], left_out: Mapping[str, str], figure: bytes
) -> Report:
    facts = {
        "baseline": question.baseline,
        "runs": str(len(runs)),
        "seeds": ", ".join(map(str, sorted({run.seed for run in runs}))),
        "steps": ", ".join(sorted({str(run.metrics["steps"]) for run in runs})),
        "base": ", ".join(sorted({str(run.settings.get("model.path")) for run in runs})),
        "commit": ", ".join(made_with(runs)["git_commit"]),
        "machine": ", ".join(made_with(runs)["platform"]),
    }
    notes = " ".join(f"{remark}." for remark in remarks(comparison, question, left_out))
    return Report(
        title="Study",
        subtitle=question.text,
        facts=tuple(facts.items()),
        tables=tuple(tables(comparison)),
        plots=tuple(plots(comparison)),
        pictures=(ReportPicture("Where the arms end, and how they get there", figure, notes),),
    )


def plots(comparison: Comparison) -> list[Plot]:
    """The differences from the baseline."""
    found = []
    for name in PLOTTED:
        rows = [
            PlotRow(label, name, *(100 * value for value in (effects[name].mean, *effects[name].ci95)))
            for label, effects in comparison.differences.items()
            if name in effects and effects[name].ci95 is not None
        ]
        if rows:
            found.append(Plot(f"{name}: difference from the baseline", tuple(rows), "percentage points, 95 % interval"))
    return found
