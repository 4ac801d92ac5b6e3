"""Searches settings of an objective by successive halving: python experiments/perception_term/search.py FAMILY OUT

The same budget for every family of settings: RUNGS says how many candidates train how long on how many seeds; the best
of a rung go on to the next one. The product's own setting is the first candidate; the other proposals are Optuna's
(TPE, told each result of the first rung). Seeds and held-out items serve no other study. What counts is greedy accuracy
on even values; a run that makes masked answers unreadable counts nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import optuna

from papo.study.composing import compose_runs
from papo.study.definition import Planned
from papo.study.worker import train_all

# Candidates, steps and seeds of each rung.
RUNGS = ((12, 24, (100,)), (4, 36, (100, 101)), (2, 36, (100, 101, 102, 103)))
QUICK = ((2, 1, (100,)), (1, 2, (100,)))

KEPT_READABLE = 0.95  # of what could be read on masked pictures before

BASE = (
    "guessable_share=1.0",
    "data.val.seed=1",
    "data.batch_size=32",
    "val.samples=2",
    "val.every=0",
    "val.training_items=0",
    "callbacks.checkpoints=null",
)
CUT_DOWN = ("data.batch_size=4", "data.val.size=16", "group_size=4")


def perception(trial: optuna.Trial) -> list[str]:
    """The perception term: estimator x gradient x cap x responses x weight x view, of the views that need no labels."""
    term = "algorithm.objective.perception"
    view = trial.suggest_categorical("view", ["random_patch", "patch_shuffle"])
    return [
        "experiment=papo_qwen",
        f"corruption={view}",
        f"mask_ratio={0.6 if view == 'random_patch' else 1.0}",
        f"perception_coef={trial.suggest_float('coef', 0.01, 1.0, log=True):.4g}",
        f"{term}.estimator={trial.suggest_categorical('estimator', ['k3', 'full'])}",
        f"{term}.corrupted_gradient={trial.suggest_categorical('corrupted_gradient', ['true', 'false'])}",
        f"{term}.cap={trial.suggest_categorical('cap', [1.0, 3.0, 10.0])}",
        f"{term}.responses={trial.suggest_categorical('responses', ['all', 'correct'])}",
    ]


def baseline(trial: optuna.Trial) -> list[str]:
    """GRPO: learning rate x clip x group size."""
    return [
        "experiment=grpo_qwen",
        f"optimizer.lr={trial.suggest_float('lr', 3e-5, 1e-3, log=True):.3g}",
        f"algorithm.objective.surrogate.clip_high={trial.suggest_categorical('clip_high', [0.2, 0.3, 1.0])}",
        f"group_size={trial.suggest_categorical('group_size', [4, 8, 16])}",
        f"kl_coef={trial.suggest_categorical('kl_coef', [0.0, 0.01, 0.05])}",
    ]


FAMILIES = {"perception": perception, "grpo": baseline}
OWN = {
    "perception": {
        "view": "patch_shuffle",
        "coef": 0.3,
        "estimator": "full",
        "corrupted_gradient": "true",
        "cap": 3.0,
        "responses": "all",
    },
    "grpo": {"lr": 2e-4, "clip_high": 0.3, "group_size": 8, "kl_coef": 0.01},
}


def scores(candidates: Sequence[tuple[int, list[str]]], steps: int, seeds: Sequence[int], out: Path, options):
    """(candidate, score, runs' figures) of each, best first; finished runs are not made again."""
    runs = {
        (number, seed): Planned(
            f"c{number:02d}_{steps}",
            {},
            seed,
            (*BASE, *settings, f"trainer.max_steps={steps}", *options.further, f"name=c{number:02d}"),
        )
        for number, settings in candidates
        for seed in seeds
    }
    configs = compose_runs(list(runs.values()), out / "runs")
    missing = [cfg for cfg in configs.values() if not (Path(cfg.run_dir) / "metrics.json").exists()]
    for cfg, failure in train_all(missing, options.jobs, threads=1):
        print(cfg.run_dir, failure or "", flush=True)
    found = []
    for number, _ in candidates:
        told = [json.loads((out / "runs" / runs[number, seed].folder / "metrics.json").read_text()) for seed in seeds]
        found.append((number, fmean(map(score, told)), told))
    return sorted(found, key=lambda of: -of[1])


def score(metrics: dict) -> float:
    """Greedy accuracy in [0, 1]; 0 where masked answers became unreadable."""
    before, after = (metrics[f"readable_masked_{when}"]["mean"] for when in ("before", "after"))
    return metrics["greedy_after"]["mean"] if after >= KEPT_READABLE * before else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("out", type=Path)
    parser.add_argument("further", nargs="*", help="overrides of all runs")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.further = [*CUT_DOWN, *options.further]
    rungs = QUICK if options.quick else RUNGS
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=6))
    study.enqueue_trial(OWN[options.family])
    (count, steps, seeds), *later = rungs
    settings, rows, ranked = {}, [], []
    for start in range(0, count, options.jobs):
        trials = [study.ask() for _ in range(min(options.jobs, count - start))]
        batch = [(trial.number, FAMILIES[options.family](trial)) for trial in trials]
        settings |= dict(batch)
        of_batch = scores(batch, steps, seeds, options.out, options)
        for number, value, told in of_batch:
            study.tell(number, value)
            rows.append((0, number, value, told))
        ranked += of_batch
    for rung, (count, steps, seeds) in enumerate(later, start=1):
        best = [number for number, *_ in sorted(ranked, key=lambda of: -of[1])[:count]]
        ranked = scores([(number, settings[number]) for number in best], steps, seeds, options.out, options)
        rows += [(rung, *of) for of in ranked]
    with (options.out / f"{options.family}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rung", "candidate", "score", "seeds", "readable_masked", "guessed", "settings"))
        for rung, number, value, told in rows:
            means = [
                round(fmean(of[name]["mean"] for of in told), 4) for name in ("readable_masked_after", "guessed_after")
            ]
            writer.writerow((rung, number, round(value, 4), len(told), *means, " ".join(settings[number])))
    print(options.out / f"{options.family}.csv", f"best: {' '.join(settings[ranked[0][0]])}")


if __name__ == "__main__":
    main()
