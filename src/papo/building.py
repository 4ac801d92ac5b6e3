"""Objects from configuration; what a constructor refuses is named by its place there."""

from __future__ import annotations

import contextlib
import functools
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import Container, DictConfig, OmegaConf

from papo.arguments import check_arguments, parameters
from papo.errors import ConfigError, SettingError

REFERENCE = re.compile(r"\$\{(\w[\w.]*)\}")  # ${key}, nothing around it
# Whose classes are left out where settings are looked at: their constructors read the data.
READING = "papo.data."


def own_keys(
    _target_: Callable[..., Any],
    _partial_: bool = False,
    _recursive_: bool = True,
    _convert_: Literal["none", "partial", "object", "all"] = "none",
) -> None:
    """Hydra's own keys, beside the arguments."""


OWN_KEYS = tuple(inspect.signature(own_keys).parameters)


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
        if isinstance(cause, SettingError | ValueError | TypeError):
            with refusing(cfg, joined(cfg._get_full_key(None), inside if found else "")):
                raise cause from error
        raise


def check(cfg: DictConfig, given: Collection[str] | None = None) -> None:
    """Looks through everything that `cfg` says how to build. Of it only what holds settings is built: our own classes
    that are not handed a policy or data, each with all that its constructor refuses.

    Args:
        cfg: what has a _target_, or holds such.
        given: names of further arguments of its own target; None = unknown, and then nothing can be missing where a
            target lies in no other.

    Raises:
        ConfigError: an argument is unknown, missing, of another type or out of range, a target does not exist, or a
            constructor refused its settings.
    """
    Look(cfg).through(cfg._get_full_key(None), given)


class Unbuilt:
    """Stands for an object that will be built."""


class Look:
    """One look through a configuration: in plain types, for OmegaConf parses a reference each time that it is read."""

    def __init__(self, cfg: DictConfig) -> None:
        self.root = cfg._get_root()
        self.whole = OmegaConf.to_container(self.root, resolve=False)
        self.made: dict[tuple[str, bool], Any] = {}  # by where it is said how, and whether all arguments are known

    def through(self, key: str, given: Collection[str] | None = None) -> None:
        """Checks every target at `key` and inside; see `check`."""
        node = self.found(key)[1] if key else self.whole
        if isinstance(node, dict) and "_target_" in node:
            self.target(key, node, given)
            return
        for name in node if isinstance(node, dict) else range(len(node)):
            # What belongs to no target stays unread: some values exist only within a run.
            if isinstance(node[name], dict | list):
                self.through(joined(key, str(name)))

    def found(self, key: str) -> tuple[str, Any]:
        """Where the value at `key` is set, and the value."""
        key, value = follow(self.whole, key)
        if isinstance(value, str) and "${" in value:  # a resolver, or a text around a reference
            value = OmegaConf.select(self.root, key)
        return key, value

    def value(self, key: str) -> Any:
        """What stands at `key`, with what is made of the targets in it."""
        key, value = self.found(key)
        if isinstance(value, list):
            return [self.value(f"{key}.{number}") for number in range(len(value))]
        if not isinstance(value, dict):
            return value
        if "_target_" in value:
            return self.target(key, value, ())
        return {name: self.value(f"{key}.{name}") for name in value}

    def target(self, key: str, node: dict[str, Any], given: Collection[str] | None) -> Any:
        """What is made of a node that has a _target_, or Unbuilt."""
        known = (key, given is None)
        if known not in self.made:
            # What has no value yet (???) is left out, as missing as what has no key.
            arguments = {name: self.value(joined(key, name)) for name, value in node.items() if value != "???"}
            with refusing(self.root, key):
                own = {name: arguments.pop(name) for name in OWN_KEYS if name in arguments}
                target, partial = target_of(own.pop("_target_")), own.get("_partial_", False)
                check_arguments(own_keys, own, partial=True)
                check_arguments(target, arguments, given=given or (), partial=given is None or partial)
                self.made[known] = made_of(target, arguments, partial)
        return self.made[known]


def made_of(target: Callable[..., Any], arguments: dict[str, Any], partial: bool) -> Any:
    """What holds settings, built; Unbuilt for all else."""
    if partial:
        return functools.partial(target, **arguments)
    needed = {name for name, parameter in parameters(target)[0].items() if parameter.needed}
    ours = inspect.isclass(target) and target.__module__.startswith("papo.")
    if not ours or target.__module__.startswith(READING) or needed - arguments.keys() or holds_unbuilt(arguments):
        return Unbuilt()
    return target(**arguments)


def holds_unbuilt(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Unbuilt) or any(map(holds_unbuilt, inside))


def target_of(name: Any) -> Callable[..., Any]:
    """Raises SettingError where there is no such class or function."""
    try:
        target = pkgutil.resolve_name(name)
    except Exception as error:  # whatever importing it raises
        raise SettingError("_target_", f"must be a class or function, got {name!r}") from error
    if not callable(target):
        raise SettingError("_target_", f"must be a class or function, got {name!r}")
    return target


@contextlib.contextmanager
def refusing(cfg: DictConfig, key: str) -> Iterator[None]:
    """Inside, what is built refuses its arguments, which it has from `key`; some say no more than why.

    Raises:
        ConfigError: for a SettingError, with the place of that argument, for another ValueError or TypeError
            with `key`.
    """
    try:
        with settings_of(cfg, key):
            yield
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(": ".join(filter(None, [place(cfg, key), str(error)]))) from error


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
    return follow(OmegaConf.to_container(cfg._get_root(), resolve=False), key)[0]


def follow(whole: dict[str, Any], key: str) -> tuple[str, Any]:
    """`place`, and the value there; None where there is nothing.

    Raises:
        ConfigError: the references have no end.
    """
    names, path, node, passed = key.split("."), [], whole, set()
    while names:
        name = names.pop(0)
        path.append(name)
        if isinstance(node, list):
            node = node[int(name)] if name.isdecimal() and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, dict) else None
        reference = REFERENCE.fullmatch(node) if isinstance(node, str) else None
        if reference:
            key = ".".join([reference[1], *names])
            if key in passed:
                raise ConfigError(f"{key} refers to itself")
            passed.add(key)
            names, path, node = key.split("."), [], whole
    return ".".join(path), node
