"""Configurations as the command line composes them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

CONF = Path(__file__).parents[2] / "conf"


@cache
def composed_once(*overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[*overrides, "run_dir=."])


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    return lambda *overrides: composed_once(*overrides).copy()
