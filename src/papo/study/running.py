"""Runs what a study still lacks. What is there already stays: a study can be stopped and started again."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from papo import code
from papo.errors import ConfigError
from papo.run_dir import finished
from papo.settings import changed_setting
from papo.study.composing import compose_runs
from papo.study.definition import Planned, Study
from papo.study.runs import OTHERWISE
from papo.study.versions import NAMED
from papo.study.worker import LOG, train_all

RUNS = "runs"  # in the study's output folder

# What a finished run whose settings are no longer those that are asked for may be: kept as it is, or run again.
CHANGED = ("refuse", "keep", "rerun")


@dataclass(frozen=True)
class Work:
    """What a study asks for, what of it is done, and what is to be done.

    Args:
        runs: all of them, in the order in which they are run.
        configs: of each by its folder's name.
        done: the metrics.json of those that are finished, likewise.
        folder: where the folders lie.
        now: of the code that is here; see papo.code.state.
        other_code: those of `done` that other code made, which are kept.
        changed: finished runs of the study, asked for or not, that have other settings and are not run again; what
            differs, by their folders' names.
    """

    runs: Sequence[Planned]
    configs: Mapping[str, DictConfig]
    done: Mapping[str, Mapping[str, Any]]
    folder: Path
    now: Mapping[str, Any]
    other_code: Sequence[str] = ()
    changed: Mapping[str, str] = field(default_factory=dict)

    def stale(self) -> str:
        """What must be known of a comparison in which runs of other code are; "" where none are."""
        if not self.other_code:
            return ""
        more = len(self.other_code) - NAMED
        named = ", ".join(self.other_code[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return f"not of the code that is here now: {named}; these were kept as they are, --code rerun makes them anew"

    @property
    def missing(self) -> list[Planned]:
        return [run for run in self.runs if run.folder not in self.done]

    def compared(self, study: Study, changed: str) -> dict[str, str | None]:
        """The runs that a comparison may have, each with why it has not; see papo.study.runs.collect and `plan`."""
        names: dict[str, str | None] = dict.fromkeys(run.folder for run in study.all_runs())
        left_out = {} if changed == "keep" else self.changed
        return names | {name: f"{OTHERWISE} ({difference})" for name, difference in left_out.items()}

    def seconds(self, run: Planned) -> float | None:
        """About how long a run takes: the median of its arm's finished ones, else of all; None before the first."""
        of_arm = [self.done[other.folder]["seconds"] for other in self.finished() if other.arm == run.arm]
        known = of_arm or [metrics["seconds"] for metrics in self.done.values()]
        return statistics.median(known) if known else None

    def finished(self) -> list[Planned]:
        return [run for run in self.runs if run.folder in self.done]

    def told(self, jobs: int) -> str:
        """How much is done, and how much there is still to do, in words."""
        estimates = [self.seconds(run) for run in self.missing]
        other = f" ({len(self.other_code)} by other code than is here now)" if self.other_code else ""
        known = estimates and None not in estimates
        lasts = f", about {sum(estimates) / jobs / 60:.0f} min" if known else ""
        return f"{len(self.done)} done{other}, {len(estimates)} to run{lasts}"


def plan(study: Study, out: Path, changed: str = "refuse", by_other_code: str = "keep") -> Work:
    """Composes every run that is asked for and looks which of them are finished; changes nothing.

    Finished runs that are not asked for (Study.only) are looked at too: they are compared with those that are.

    Args:
        out: the study's output folder.
        changed: one of CHANGED.
        by_other_code: what becomes of finished runs that are asked for and that other code made: keep or rerun.

    Raises:
        ConfigError: a run cannot be composed, or a finished one has other settings and `changed` says refuse.
    """
    runs, folder = study.runs(), out.resolve() / RUNS
    asked = {run.folder for run in runs}
    known = [run for run in study.all_runs() if run.folder in asked or finished(folder / run.folder)]
    configs = compose_runs(known, folder)
    done, differing = {}, {}
    for run in known:
        metrics = finished(folder / run.folder)
        difference = metrics and changed_setting(folder / run.folder, configs[run.folder])
        if difference and changed == "refuse":
            anew = "runs it again" if run.folder in asked else "compares without it, for --only leaves it out"
            raise ConfigError(
                f"{folder / run.folder} {OTHERWISE} ({difference}); "
                f"--changed keep takes it as it is, --changed rerun {anew}, --out begins elsewhere"
            )
        if difference and (changed == "keep" or run.folder not in asked):
            differing[run.folder] = difference
        if metrics and run.folder in asked and (not difference or changed == "keep"):
            done[run.folder] = metrics
    now = code.state([OmegaConf.to_container(cfg, resolve=True) for cfg in configs.values()])
    other = [name for name in done if not code.same(json.loads((folder / name / "provenance.json").read_text()), now)]
    if by_other_code == "rerun":
        done = {name: metrics for name, metrics in done.items() if name not in other}
        differing = {name: difference for name, difference in differing.items() if name not in other}
        other = []
    return Work(runs, configs, done, folder, now, other, differing)


def run_missing(work: Work, jobs: int, threads: int) -> dict[str, str]:
    """Trains what is missing, with a line for each run that ends; returns those that failed, and why.

    What an unfinished run left behind is removed first.
    """
    failures: dict[str, str] = {}
    missing = {str(work.folder / run.folder): run for run in work.missing}
    for folder in missing:
        shutil.rmtree(folder, ignore_errors=True)
    started = time.perf_counter()
    configs = [work.configs[run.folder] for run in missing.values()]
    for count, (cfg, failure) in enumerate(train_all(configs, jobs, threads), start=1):
        name = missing[cfg.run_dir].folder
        seconds = time.perf_counter() - started
        left = seconds / count * (len(missing) - count) / 60
        if failure is None:
            metrics = finished(Path(cfg.run_dir))
            gain = f"{100 * metrics['accuracy_before']:.1f} -> {100 * metrics['accuracy_after']:.1f} %"
            outcome = f"{metrics['seconds']:.0f} s, accuracy {gain}"
        else:
            failures[name] = failure
            outcome = f"FAILED ({failure}); see {LOG} in its folder"
        print(f"[{count}/{len(missing)}, {left:.0f} min left] {name}: {outcome}", flush=True)
    return failures


def listing(work: Work, jobs: int) -> str:
    """Every run, whether it is done, and how long it takes or took."""
    lines = []
    width = 20 if work.other_code else 8
    for run in work.runs:
        state = "to run" if run.folder not in work.done else "done"
        state += ", by other code" if run.folder in work.other_code else ""
        seconds = work.done[run.folder]["seconds"] if run.folder in work.done else work.seconds(run)
        lines.append(f"{state:<{width}}{'' if seconds is None else f'{seconds:.0f} s':>8}  {run.folder}")
    return "\n".join([*lines, work.told(jobs)])
