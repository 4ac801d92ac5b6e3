"""What Hydra and OmegaConf refuse about a command line, in one line, and what they let pass in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from papo.arguments import nearest
from papo.errors import ConfigError
from papo.settings import leaves

# In an installed copy beside the code, in a clone of the repository at its top.
INSTALLED = Path(__file__).parent / "conf"
CONF = INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[2] / "conf"


def refusal(error: Exception) -> str:
    """The key or the choice that is wrong, and the nearest one that exists."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        known = [option for option in error.options or () if is_choice(option)]
        return f"{group}={name} does not exist{nearest(name, known) if known else '; --help lists what does'}"
    key = error.__cause__ if isinstance(error, ConfigCompositionException) else None
    if isinstance(key, OmegaConfBaseException) and key.parent_node is not None:
        known = [name for name in key.parent_node if not name.startswith("_") and name != "hydra"]
        return f"{key.full_key} is unknown{nearest(str(key.key), known)}"
    first, *lines = filter(None, map(str.strip, str(error).splitlines()))
    if isinstance(error, OmegaConfBaseException):
        return f"{error.full_key}: {first}" if error.full_key else first
    return " ".join([first, *lines])


def check_choices(arguments: Sequence[str]) -> None:
    """Whether what a command line gives each group is a name; of anything else Hydra says no more than its type.

    Raises:
        ConfigError: the first that is none, such as logger=null.
    """
    for argument in arguments:
        group, set_, written = argument.lstrip("+").partition("=")
        if not set_ or not (CONF / group.partition("@")[0]).is_dir():
            continue
        try:
            (given,) = OverridesParser.create().parse_overrides([argument])
        except OverrideParseException:  # which Hydra will say itself
            continue
        if not given.is_sweep_override() and not isinstance(given.value(), str | list):
            known = [path.stem for path in sorted((CONF / group.partition("@")[0]).glob("*.yaml"))]
            raise ConfigError(f"{group}={written} does not exist{nearest(written, filter(is_choice, known))}")


def check_experiment(cfg: DictConfig) -> None:
    """Whether an experiment's file sets keys that exist; Hydra checks those of a command line alone.

    Keys inside a _target_ are its arguments, and checked where it is built. A key of the file's own is known where
    something refers to it.

    Raises:
        ConfigError: the first that nothing knows.
    """
    choices = HydraConfig.get().runtime.choices
    if choices.get("experiment") is None:
        return
    others = {group: choice for group, choice in choices.items() if choice and not group.startswith("hydra/")}
    del others["experiment"]
    choice = tuple(f"{group}={choice}" for group, choice in others.items())
    known = usual(HydraConfig.get().job.config_name, choice, places())
    keys = OmegaConf.to_container(cfg, resolve=False)
    named = set(re.findall(r"\$\{([\w.]+)", str(keys)))
    named |= {line.lstrip("+").partition("=")[0] for line in HydraConfig.get().overrides.task if line.startswith("+")}
    for key, alike in strangers(keys, known):
        if not any(f"{name}.".startswith(f"{key}.") for name in named):
            raise ConfigError(f"{key} is unknown{alike}")


@cache
def usual(config: str, choices: tuple[str, ...], places: tuple[str, ...]) -> Mapping[str, Any]:
    """What is composed without an experiment; once for the many runs of a study.

    Args:
        config: the name of the main file.
        choices: GROUP=NAME of every group.
        places: where Hydra looks for files, on which the result depends.
    """
    return OmegaConf.to_container(compose(config, list(choices)), resolve=False)


def strangers(cfg: Mapping[str, Any], known: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """The keys of `cfg` that `known` has not, outside of targets, and for each the nearest one that it has."""
    for name, value in cfg.items():
        if isinstance(value, Mapping) and "_target_" in value:
            continue
        if name not in known:
            yield place + name, nearest(name, known)
        elif isinstance(value, Mapping) and isinstance(known[name], Mapping):
            yield from strangers(value, known[name], f"{place}{name}.")


def is_choice(file: str) -> bool:
    """Whether a file of a group is to be chosen; one that others build on begins with an underscore."""
    return not file.startswith("_")


def places() -> tuple[str, ...]:
    """Where Hydra looks for files."""
    return tuple(place.path for place in GlobalHydra.instance().config_loader().get_search_path().get_path())


def groups() -> str:
    """A line for each group and what it can be, for the help page; OmegaConf asks for it whenever files are merged."""
    return groups_in(places())


def documented(config: str) -> str:
    """The settings of a main file with what is written above each, for the help page.

    Args:
        config: its name.
    """
    file = CONF / f"{config}.yaml"
    if not file.is_file():  # a main file of the user's own, which --cfg job shows
        return f"{config}.yaml"
    blocks = file.read_text(encoding="utf-8").strip().split("\n\n")
    shown = "\n\n".join(block for block in blocks if not re.search(r"(?m)^(defaults|hydra):", block))
    return shown.replace("$", "$$")  # Hydra puts what it knows in the place of $NAME


@cache
def groups_in(places: tuple[str, ...]) -> str:
    loader = GlobalHydra.instance().config_loader()
    files = {group: loader.get_group_options(group) for group in loader.list_groups("") if group != "hydra"}
    return "\n".join(f"{group}: {', '.join(filter(is_choice, names))}" for group, names in files.items())


def without_effect(cfg: DictConfig) -> list[str]:
    """What a command's choices do not do, in lines: what its experiment sets otherwise than the algorithm that is
    chosen beside it, a strategy for several processes where there is one, a share of patches that only pictures without
    another one have, and what nothing in the configuration refers to. None where it is no command.
    """
    if not (HydraConfig.initialized() and GlobalHydra.instance().is_initialized()):
        return []
    of = HydraConfig.get()
    given = [override.lstrip("+~").partition("=")[0] for override in of.overrides.task]
    here = OmegaConf.to_container(cfg, resolve=False)
    lines = []
    algorithm, experiment = (of.runtime.choices.get(group) for group in ("algorithm", "experiment"))
    file = CONF / "algorithm" / f"{algorithm}.yaml"
    if "algorithm" in given and experiment is not None and file.is_file():
        own = yaml.safe_load(file.read_text(encoding="utf-8"))
        own.pop("defaults", None)
        found, meant = dict(leaves(here)), dict(leaves(own))
        other = [key for key, value in meant.items() if key not in given and key in found and found[key] != value]
        if other:
            said = ", ".join(f"{key}={found[key]} (there {meant[key]})" for key in other)
            lines.append(
                f"experiment={experiment} sets what algorithm={algorithm} sets otherwise: {said}; KEY=VALUE of the "
                "command wins"
            )
    strategy = of.runtime.choices.get("strategy")
    if OmegaConf.select(cfg, "strategy.lightning._target_") and cfg.strategy.devices * cfg.strategy.num_nodes == 1:
        lines.append(
            f"strategy={strategy} changes nothing here: strategy.devices=1 is one process, which runs as with "
            "strategy=single"
        )
    shared_by = [key for key, value in leaves(here) if "${mask_ratio}" in str(value)]
    if "mask_ratio" in given and shared_by and all(".otherwise." in key for key in shared_by):
        view = of.runtime.choices.get("corruption")
        lines.append(
            f"mask_ratio={cfg.mask_ratio} acts only where the data has no other picture for a question, and the lab "
            f"and easy-VQA have one for each: corruption={view} shows that instead; corruption=random_patch, or one "
            "that covers or shuffles, takes the share of every picture"
        )
    idle = [
        key for key in given if key not in referred(here) and key in referred(usual(of.job.config_name, (), places()))
    ]
    return lines + [f"{key}={here.get(key)} changes nothing here: no other setting refers to it" for key in idle]


def referred(keys: Mapping[str, Any]) -> set[str]:
    """What other settings are made of, of those at the top."""
    return set(re.findall(r"\$\{(\w+)\}", str(keys)))
