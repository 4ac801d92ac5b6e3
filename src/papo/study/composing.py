"""Configurations of runs outside of a Hydra job, as train.py composes them inside one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from papo.errors import ConfigError
from papo.overrides import CONF, check_experiment, refusal
from papo.settings import settings
from papo.study.definition import Planned


def compose_runs(runs: Sequence[Planned], folder: Path) -> dict[str, DictConfig]:
    """The configuration of each run, by its folder's name in `folder`.

    Raises:
        ConfigError: overrides of a run that Hydra refuses, with the run's name, or a factor that is no plain setting.
    """
    known: dict[tuple[str, ...], DictConfig] = {}  # without the seed, on which no other choice depends
    configs = {}
    with hydra():
        for run in runs:
            if run.overrides not in known:
                known[run.overrides] = composed(run)
            cfg = configs[run.folder] = copy.deepcopy(known[run.overrides])
            cfg.seed, cfg.run_dir = run.seed, str(folder / run.folder)
    return configs


@contextlib.contextmanager
def hydra() -> Iterator[None]:
    """Inside, conf/ is what is composed from; behind it no command is what it was not before."""
    GlobalHydra.instance().clear()
    command = HydraConfig.instance()
    before = command.cfg
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        command.cfg = before


def composed(run: Planned) -> DictConfig:
    """As train.py would compose it, but for seed and run_dir; raises as `compose_runs`."""
    try:
        # run_dir is a reference to the running job, of which there is none.
        cfg = compose("train", [*run.overrides, "run_dir=."], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        check_experiment(cfg)
        known = settings(OmegaConf.to_container(cfg, resolve=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{run.folder}: {refusal(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{run.folder}: {error}") from error
    for key in run.levels:
        if key not in known:
            raise ConfigError(f"grid.{key} is no plain setting; what changes several of them is an arm")
    return cfg
