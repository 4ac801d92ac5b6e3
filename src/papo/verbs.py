"""papo VERB ...: what train.py, evaluate.py and the modules that can be run do, from any folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig

from papo import cli
from papo.arguments import nearest
from papo.overrides import CONF
from papo.sweep import going_on, quoted

USAGE = """papo VERB ...

{verbs}

Settings are given as key=value; papo train --help has all of them. Files of your own are found in the folder that this
is called in: Python's by their names, YAML's with --config-dir FOLDER."""


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def train(cfg: DictConfig) -> float | None:
    from papo import train  # after Hydra has read the command line, which is quick

    return cli.guarded(going_on(train))(cfg)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="evaluate")
def evaluate(cfg: DictConfig) -> None:
    from papo import evaluate  # as above

    cli.guarded(evaluate)(cfg)


def train_verb(arguments: Sequence[str]) -> None:
    """one training run, or a sweep of them: papo train experiment=papo_qwen seed=1"""
    cli.run(train)


def evaluate_verb(arguments: Sequence[str]) -> None:
    """measures models: papo evaluate model.path=RUN 'compare=[lab_qwen]'"""
    cli.run(evaluate)


def study_verb(arguments: Sequence[str]) -> None:
    """compares many runs, with intervals: papo study run FOLDER, papo study FOLDER --baseline ARM --out OUT"""
    from papo.study.__main__ import main

    cli.exit_with(main, arguments)


def inspect_verb(arguments: Sequence[str]) -> None:
    """what a run would read, without a model: papo inspect data=folder data.train.path=FILE"""
    from papo.inspect import main

    cli.exit_with(main, arguments)


def list_verb(arguments: Sequence[str]) -> None:
    """what there is to choose from: papo list, papo list experiments data"""
    from papo.listing import main

    cli.exit_with(main, arguments)


def export_verb(arguments: Sequence[str]) -> None:
    """a model of a run that was cut off: papo export RUN, papo export RUN/checkpoints/best.ckpt overwrite=true"""
    if not arguments or ("=" in arguments[0] and not os.path.exists(arguments[0])):
        cli.fail(cli.MISTAKE, "papo export needs the folder of a run, or a checkpoint in it: papo export RUN")
    sys.argv[1:] = [f"export={quoted(arguments[0])}", *arguments[1:]]
    cli.run(train)


def help_verb(arguments: Sequence[str]) -> None:
    print(USAGE.format(verbs="\n".join(f"    {name:<10}{verb.__doc__}" for name, verb in VERBS.items())))


VERBS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train_verb,
    "evaluate": evaluate_verb,
    "study": study_verb,
    "inspect": inspect_verb,
    "list": list_verb,
    "export": export_verb,
}


def main() -> None:
    """The console script."""
    sys.path.append(os.getcwd())  # as python -m has it, but last: nothing that lies there takes another one's place
    command, verb, *arguments = [*sys.argv, "--help"][: max(2, len(sys.argv))]
    if verb in ("-h", "--help", "help"):
        cli.exit_with(help_verb, arguments)
    if verb not in VERBS:
        cli.fail(cli.MISTAKE, f"papo {verb} is no verb{nearest(verb, VERBS)}")
    sys.argv = [f"{command} {verb}", *arguments]
    VERBS[verb](arguments)
