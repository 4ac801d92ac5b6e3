"""Thousands of configurations are composed of the same files: each is read once, by a C parser where there is one."""

import functools
import pickle
from pathlib import Path
from unittest.mock import patch

import omegaconf
import yaml
from hydra._internal import defaults_list
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig

CONF = Path(__file__).parents[1] / "conf"


def quicken() -> None:
    """From here on Hydra and OmegaConf find what they found before, in less than half of the time."""
    # libyaml reads as PyYAML does, and an interpolation is parsed once.
    with patch.object(yaml, "SafeLoader", yaml.CSafeLoader):
        loader = omegaconf._utils.get_yaml_loader()  # derived from what is called SafeLoader
    omegaconf._utils.get_yaml_loader = lambda: loader
    omegaconf._utils.parse = omegaconf.base.parse = functools.lru_cache(None)(omegaconf.base.parse)
    omegaconf._utils.attr = None  # no value is looked at for a class of attrs, of which there is none here
    ConfigRepository.load_config = load_config
    defaults_list._create_interpolation_map = interpolation_map
    DictConfig.__deepcopy__ = copied


load_original = ConfigRepository.load_config
map_original = defaults_list._create_interpolation_map
copy_original = DictConfig.__deepcopy__
LOADED: dict[tuple[str, ...], bytes] = {}


def load_config(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
    """Another copy of what was read, but of files that a test wrote, which it may write again."""
    source = repository._find_object_source(config_path, ObjectType.CONFIG)
    if source is None or (source.scheme() == "file" and Path(source.path) != CONF):
        return load_original(repository, config_path)
    key = (source.scheme(), source.provider, source.path, config_path)
    if key not in LOADED:
        LOADED[key] = pickle.dumps(load_original(repository, config_path))
    return pickle.loads(LOADED[key])


def interpolation_map(overrides, defaults, self_added):
    """What a default can refer to, where one does."""
    refers = any(default.is_interpolation() for default in defaults if not default.is_self())
    return map_original(overrides, defaults, self_added) if refers else None


def copied(config: DictConfig, memo: dict[int | str, object]) -> DictConfig:
    """With the same parent; but for objects, which copies share, everything in it can be pickled."""
    if "objects" in memo or config._get_flag("allow_objects"):
        memo["objects"] = True  # for its parts, which do not know their parent while they are copied
        return copy_original(config, memo)
    parent = config.__dict__["_parent"]
    config.__dict__["_parent"] = None
    try:
        copy = pickle.loads(pickle.dumps(config))
    finally:
        config.__dict__["_parent"] = parent
    copy.__dict__["_parent"] = parent
    return copy
