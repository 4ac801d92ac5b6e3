"""Objects from configuration; what a constructor refuses is named by its place there."""

from __future__ import annotations

import contextlib
import pkgutil
import re
from collections.abc import Collection, Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import Container, DictConfig, OmegaConf

from papo.arguments import check_arguments
from papo.errors import ConfigError, SettingError

REFERENCE = re.compile(r"\$\{(\w[\w.]*)\}")  # ${key}, nothing around it
OWN_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_")  # Hydra's, beside the arguments


def built(cfg: DictConfig, **kwargs: Any) -> Any:
    """hydra.utils.instantiate, but what cannot work is a ConfigError that names the override to fix.

    Raises:
        ConfigError: an argument is unknown, missing or of another type, or a constructor refused it.
    """
    check(cfg, given=kwargs)
    try:
        # A copy without references: Hydra would resolve those of the whole configuration in place.
        return instantiate(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True)), **kwargs)
    except InstantiationException as error:
        cause, (_, found, inside) = error.__cause__, str(error).rpartition("\nfull_key: ")  # which Hydra puts last
        key = joined(cfg._get_full_key(None), inside if found else "")
        if isinstance(cause, SettingError | ConfigError):
            with settings_of(cfg, key):
                raise cause from error
        if isinstance(cause, ValueError | TypeError):
            raise ConfigError(": ".join(filter(None, [place(cfg, key), str(cause)]))) from error
        raise


def check(cfg: DictConfig, given: Collection[str] | None = None) -> None:
    """Looks through everything that `cfg` says how to build, without building it.

    Args:
        cfg: what has a _target_, or holds such.
        given: names of further arguments of its own target; None = unknown, and then nothing can be missing where a
            target lies in no other.

    Raises:
        ConfigError: an argument is unknown, missing or of another type, or a target does not exist.
    """
    for key, node, inside in targets(cfg, cfg._get_full_key(None)):
        with settings_of(cfg, key):
            try:
                target = pkgutil.resolve_name(node["_target_"])
            except Exception as error:  # whatever importing it raises
                raise SettingError("_target_", f"must be a class or function, got {node['_target_']!r}") from error
            arguments = {name: value_of(node, name) for name in node if name not in OWN_KEYS}
            unsure = not inside and given is None
            more = () if inside or given is None else given
            check_arguments(target, arguments, given=more, partial=unsure or node.get("_partial_", False))


def targets(cfg: Container, key: str, inside: bool = False) -> Iterator[tuple[str, DictConfig, bool]]:
    """Each node that has a _target_, its key, and whether it lies inside another one; references are followed."""
    is_target = OmegaConf.is_dict(cfg) and "_target_" in cfg
    if is_target:
        yield key, cfg, inside
    for name in cfg if OmegaConf.is_dict(cfg) else range(len(cfg)):
        # What belongs to no target stays unread: some values exist only within a run.
        if OmegaConf.is_missing(cfg, name) or (OmegaConf.is_interpolation(cfg, name) and not (is_target or inside)):
            continue
        if OmegaConf.is_config(cfg[name]):
            yield from targets(cfg[name], joined(key, str(name)), is_target or inside)


def value_of(node: DictConfig, name: str) -> Any:
    """The argument in plain types; an object() stands for one that will be built."""
    value = node[name]
    if not OmegaConf.is_config(value):
        return value
    return object() if "_target_" in value else OmegaConf.to_container(value, resolve=True)


@contextlib.contextmanager
def settings_of(cfg: DictConfig, key: str = "") -> Iterator[None]:
    """Inside, what refuses its arguments has them from `key` of the configuration that `cfg` belongs to.

    Raises:
        ConfigError: for a SettingError, with the place of that argument.
    """
    try:
        yield
    except SettingError as error:
        raise ConfigError(f"{place(cfg, joined(key, error.field))} {error.problem}") from error


def joined(*keys: str) -> str:
    """A key inside another."""
    return ".".join(key for key in keys if key)


def place(cfg: Container, key: str) -> str:
    """Where the value at `key` of the whole configuration is set: references to other keys, followed to their end."""
    whole = node = OmegaConf.to_container(cfg._get_root(), resolve=False)
    names, path = key.split("."), []
    while names:
        name = names.pop(0)
        path.append(name)
        node = node.get(name) if isinstance(node, dict) else None
        reference = REFERENCE.fullmatch(node) if isinstance(node, str) else None
        if reference:
            names, path, node = [*reference[1].split("."), *names], [], whole
    return ".".join(path)
