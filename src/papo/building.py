"""Objects from configuration, with a constructor's own words where it refuses."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from papo.errors import ConfigError, SourceError


def built(cfg: DictConfig, **kwargs: Any) -> Any:
    """hydra.utils.instantiate, but a ValueError of the constructor is a ConfigError with the constructor's message.

    Raises:
        ConfigError: the constructor refused a setting; constructors name the override, sources are told their place.
    """
    try:
        return instantiate(cfg, **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, SourceError):
            place = str(error).rpartition("\nfull_key: ")[2]  # which Hydra puts last
            raise ConfigError(f"{place}: {error.__cause__}") from error
        if isinstance(error.__cause__, ValueError):
            raise ConfigError(str(error.__cause__)) from error
        raise
