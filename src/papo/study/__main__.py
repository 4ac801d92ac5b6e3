"""python -m papo.study run experiments/guess_or_look study=quick"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from papo import cli
from papo.errors import ConfigError
from papo.study.definition import Study, read_study

if TYPE_CHECKING:
    from papo.study.results import Question
    from papo.study.running import Work

COMPARE = """Compares finished runs, or runs a study (papo.study run --help).

    python -m papo.study outputs/sweeps/grpo_qwen/DATE --baseline grpo_qwen --out OUT
    python -m papo.study run experiments/NAME [study=quick]
"""

RUN = """Runs what a study lacks and compares what it has.

    python -m papo.study run experiments/NAME [study=quick] [key=value ...] [--jobs 2] [--out DIR]
    python -m papo.study run experiments/NAME --only arm=grpo,masked --only seed=0,1
    python -m papo.study run experiments/NAME --code rerun     after an edit
"""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or 1 where a run failed.

    Raises:
        ConfigError: something that the user can fix.
    """
    if arguments[:1] == ["run"]:
        options = run_options().parse_args(arguments[1:])
        check_questions(options)
        return run(options)
    options = compare_options().parse_args(arguments or ["--help"])
    check_questions(options)
    return compare(options.folder, options.out, options)


def compare_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "papo.study", description=COMPARE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds run directories, at any depth")
    parser.add_argument("--baseline", required=True, help="the arm that the others are compared with")
    parser.add_argument("--out", type=Path, required=True, help="where the results go")
    parser.add_argument("--by", nargs="+", default=(), help="factors: settings within whose levels arms are compared")
    parser.add_argument("--allow", nargs="+", default=(), help="settings in which runs may differ nevertheless")
    add_questions(parser)
    return parser


def run_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "papo.study run", description=RUN, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds study.yaml")
    parser.add_argument("overrides", nargs="*", help="study=quick, and further settings of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at one time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="where runs and results go (default: outputs/studies/NAME)")
    parser.add_argument("--dry", action="store_true", help="list the runs instead")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="only runs of these arms (arm=), seeds (seed=) or levels of a factor, values with commas; can be "
        "repeated, of one key too",
    )
    parser.add_argument(
        "--changed",
        choices=("refuse", "keep", "rerun"),
        default="refuse",
        help="what becomes of finished runs whose settings are no longer those of the study; one that --only leaves "
        "out is not run again, but left out of the comparison (default: %(default)s)",
    )
    parser.add_argument(
        "--code",
        choices=("keep", "rerun"),
        default="keep",
        help="what becomes of finished runs that other code made than is here now, of this package or of a module "
        "of your own that their settings name (default: %(default)s)",
    )
    add_questions(parser)
    return parser


def add_questions(parser: argparse.ArgumentParser) -> None:
    """What can be asked of any runs."""
    parser.add_argument(
        "--reach",
        nargs="+",
        type=float,
        default=(),
        help="accuracies in [0, 1]: steps and seconds until they are there",
    )
    parser.add_argument(
        "--detect", type=float, help="percentage points of accuracy: how many seeds and items seeing them takes"
    )


def check_questions(options: argparse.Namespace) -> None:
    """Raises ConfigError where what is asked has no answer."""
    for target in options.reach:
        if not 0 <= target <= 1:
            share = f"; {target:g} % is {target / 100:g}" if 1 < target <= 100 else ""
            raise ConfigError(f"--reach takes accuracies in [0, 1], got {target:g}{share}")
    if options.detect is not None and not 0 < options.detect <= 100:
        raise ConfigError(f"--detect takes percentage points above 0 and up to 100, got {options.detect:g}")


def compare(folder: Path, out: Path, options: argparse.Namespace, question: Question | None = None) -> int:
    from papo.study.power import told
    from papo.study.results import Question, compare_runs

    question = question or Question(options.baseline, options.by, options.allow, options.reach)
    comparison = compare_runs(folder, out, question)
    print((out / "study.md").read_text())
    if options.detect is not None:
        print(told(comparison, options.detect))
    print(out)
    return 0


def run(options: argparse.Namespace) -> int:
    from papo.study.running import listing, plan, run_missing

    for name in ("jobs", "threads"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} must be at least 1, got {getattr(options, name)}")
    chosen = [text.removeprefix("study=") for text in options.overrides if text.startswith("study=")]
    variant = chosen[-1] if chosen else None
    further = [text for text in options.overrides if not text.startswith("study=")]
    study = read_study(options.folder, variant, further, asked_for(options.only))
    name = options.folder.resolve().name + (f"_{variant}" if variant else "")
    out = options.out or Path("outputs/studies") / name
    work = plan(study, out, options.changed, options.code)
    if options.dry:
        print(listing(work, options.jobs))
        return 0
    print(work.told(options.jobs), flush=True)
    failures = run_missing(work, options.jobs, options.threads)
    try:
        compare_study(study, work, out, options)
        print(work.stale(), end="\n" * bool(work.other_code))
    finally:
        sys.stdout.flush()
        for failed, why in failures.items():  # behind the tables, which are longer than a screen
            print(f"failed: {failed}: {why}", file=sys.stderr)
    return 1 if failures else 0


def compare_study(study: Study, work: Work, out: Path, options: argparse.Namespace) -> None:
    """Compares what is finished of a study, where a run of the baseline is."""
    from papo.run_dir import finished
    from papo.study.results import Question
    from papo.study.running import RUNS

    names = work.compared(study, options.changed)
    baselines = (run.folder for run in study.all_runs() if run.arm == study.baseline and names[run.folder] is None)
    if any(finished(out / RUNS / name) for name in baselines):
        question = Question(
            study.baseline,
            by=list(study.grid),
            allow=study.allow,
            reach=options.reach,
            text=study.question,
            unfinished=unfinished(study, out / RUNS),
            names=names,
            changed=work.changed if options.changed == "keep" else {},
            now=work.now,
            partial=True,
        )
        compare(out / RUNS, out, options, question)
    else:
        for name, reason in names.items():
            if reason is not None:
                print(f"{name} is left out: {reason}")
        print(f"nothing to compare with yet: no run of {study.baseline}, the baseline, is finished")


def unfinished(study: Study, runs: Path) -> list[str]:
    """The arms of which not all runs are finished, in words."""
    from papo.run_dir import finished

    asked = Counter(planned.arm for planned in study.all_runs())
    done = Counter(planned.arm for planned in study.all_runs() if finished(runs / planned.folder))
    return [f"{arm} has {done[arm]} of {asked[arm]} runs finished" for arm in asked if done[arm] < asked[arm]]


def asked_for(texts: Sequence[str]) -> dict[str, list[str]]:
    """`--only arm=a,b --only seed=0 --only arm=c` as {arm: [a, b, c], seed: [0]}."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals:
            raise ConfigError(f"--only takes arm=, seed= or a factor's name = values with commas, got {text}")
        found.setdefault(key, []).extend(values.split(","))
    return found


if __name__ == "__main__":
    cli.exit_with(main, sys.argv[1:])
