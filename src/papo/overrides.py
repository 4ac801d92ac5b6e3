"""What Hydra and OmegaConf refuse about a command line, in one line."""

from __future__ import annotations

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from papo.arguments import nearest


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


def is_choice(file: str) -> bool:
    """Whether a file of a group is to be chosen; one that others build on begins with an underscore."""
    return not file.startswith("_")


def groups() -> str:
    """A line for each group and what it can be, for the help page."""
    loader = GlobalHydra.instance().config_loader()
    files = {group: loader.get_group_options(group) for group in loader.list_groups("") if group != "hydra"}
    return "\n".join(f"{group}: {', '.join(filter(is_choice, names))}" for group, names in files.items())
