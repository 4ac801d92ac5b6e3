"""python -m papo.study run experiments/guess_or_look study=quick"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from papo import cli
from papo.errors import ConfigError
from papo.study.definition import read_study

RUN = """Runs what a study lacks and compares what it has.

    python -m papo.study run experiments/NAME [study=quick] [key=value ...] [--jobs 2] [--out DIR]
"""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or 1 where a run failed."""
    if arguments[:1] == ["run"]:
        return run(run_options().parse_args(arguments[1:]))
    raise ConfigError("not yet")


def run_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("papo.study run", description=RUN, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds study.yaml")
    parser.add_argument("overrides", nargs="*", help="study=quick, and further settings of all runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at one time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each run (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="where runs and results go (default: outputs/studies/NAME)")
    parser.add_argument("--dry", action="store_true", help="list the runs instead")
    parser.add_argument(
        "--changed",
        choices=("refuse", "keep", "rerun"),
        default="refuse",
        help="what becomes of finished runs whose settings are no longer those of the study",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    from papo.study.running import listing, plan, run_missing

    chosen = [text.removeprefix("study=") for text in options.overrides if text.startswith("study=")]
    variant = chosen[-1] if chosen else None
    further = [text for text in options.overrides if not text.startswith("study=")]
    study = read_study(options.folder, variant, further)
    name = options.folder.resolve().name + (f"_{variant}" if variant else "")
    out = options.out or Path("outputs/studies") / name
    work = plan(study, out, options.changed)
    if options.dry:
        print(listing(work, options.jobs))
        return 0
    print(f"{len(work.done)} done, {work.left(options.jobs)}", flush=True)
    failures = run_missing(work, options.jobs, options.threads)
    for failed, why in failures.items():
        print(f"failed: {failed}: {why}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except ConfigError as error:
        cli.fail(cli.MISTAKE, error)
    sys.exit(status)
