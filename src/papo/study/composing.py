"""Configurations of runs outside of a Hydra job, as train.py composes them inside one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from papo.errors import ConfigError
from papo.overrides import check_experiment, refusal
from papo.study.definition import Planned

CONF = Path(__file__).parents[3] / "conf"


def compose_runs(runs: Sequence[Planned], folder: Path) -> dict[str, DictConfig]:
    """The configuration of each run, by its folder's name in `folder`.

    Raises:
        ConfigError: overrides of a run that Hydra refuses, with the run's name, or a factor that is no plain setting.
    """
    with hydra():
        return {run.folder: composed(run, folder / run.folder) for run in runs}


@contextlib.contextmanager
def hydra() -> Iterator[None]:
    """Inside, conf/ is what is composed from."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def composed(run: Planned, folder: Path) -> DictConfig:
    """As train.py would compose it; raises as `compose_runs`."""
    try:
        # run_dir is a reference to the running job, of which there is none.
        cfg = compose("train", [*run.overrides, f"run_dir={quoted(folder)}"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        check_experiment(cfg)
        OmegaConf.to_container(cfg, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{run.folder}: {refusal(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{run.folder}: {error}") from error
    for key in run.levels:
        if OmegaConf.is_config(OmegaConf.select(cfg, key)):
            raise ConfigError(f"grid.{key} is no plain setting; what changes several of them is an arm")
    return cfg


def quoted(path: Path) -> str:
    """For Hydra's grammar, to which much that a path may hold means something."""
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Each setting of a run's resolved configuration by its whole key, but for where the run lies.

    >>> settings({"run_dir": "a/b", "log": {"dir": "a/b/log", "every": 2}})
    {'log.dir': '/log', 'log.every': 2}
    """
    place = config["run_dir"]
    return {
        key: value.replace(place, "") if isinstance(value, str) else value
        for key, value in leaves(config)
        if key != "run_dir"
    }


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What is no mapping, or an empty one, with its whole key."""
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from leaves(child, f"{key}.{name}" if key else str(name))
    else:
        yield key, node
