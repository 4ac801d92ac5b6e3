"""Checkpoints are checked before anything is written: that they fit, and that the run which goes on is the same."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from papo.errors import ConfigError
from papo.training.base import PolicyModule

# What may differ in a run that goes on: how far, what it leaves behind, and where.
FREE = ("name", "ckpt_path", "overwrite", "run_dir", "resume", "hydra", "logger", "callbacks", "report")
FREE += ("trainer.max_steps", "trainer.checkpoint_every", "trainer.images_every", "val.every")
NAMED = 4  # of the settings that differ


def check_same(cfg: DictConfig) -> None:
    """Whether a run goes on with the settings that it began with.

    Args:
        cfg: of the run that is to go on; `ckpt_path` lies in the folder that it left, `resume.allow` names settings
            that may differ, by their key or the beginning of it.

    Raises:
        ConfigError: others differ.
    """
    record = Path(cfg.ckpt_path).parent.parent / "config.yaml"
    if not record.is_file():  # a checkpoint that was moved: nothing is known of its run
        return
    before = yaml.load(record.read_text(encoding="utf-8"), yaml.CSafeLoader)
    allowed = (*FREE, *cfg.resume.allow)
    differing = [
        f"{key}={now} (was {then})"
        for key, now, then in differences(cfg, before)
        if not any(f"{key}.".startswith(f"{name}.") for name in allowed)
    ]
    if differing:
        more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        keys = ",".join(text.partition("=")[0] for text in differing[:NAMED])
        raise ConfigError(
            f"ckpt_path={cfg.ckpt_path} is of a run with other settings: {', '.join(differing[:NAMED])}{more}; set "
            f"them as they were, or mean it with 'resume.allow=[{keys}]'"
        )


def differences(cfg: DictConfig, before: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each setting of its own, no reference to another one, whose value is not what it was: key, now, then."""
    resolved = OmegaConf.to_container(cfg, resolve=True)
    for keys, written in own_settings(OmegaConf.to_container(cfg, resolve=False)):
        if isinstance(written, str) and "${" in written:
            continue
        now, then = (value_at(of, keys) for of in (resolved, before))
        if now != then:
            yield ".".join(keys), now, then


def own_settings(node: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from own_settings(child, (*keys, str(name)))
    else:
        yield keys, node


def value_at(node: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def steps_behind(path: str, module: PolicyModule) -> int:
    """The steps that the checkpoint at `path` has behind it, if `module` can continue from it.

    Raises:
        ConfigError: no such file, no checkpoint of this package, one of another model, or nothing left to do.
    """
    if not Path(path).is_file():
        raise ConfigError(f"ckpt_path={path} does not exist; a run keeps its own at <run>/checkpoints/last.ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        saved = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        step: int = checkpoint["step"]
    except (RuntimeError, pickle.UnpicklingError, KeyError, EOFError, OSError) as error:
        raise ConfigError(f"ckpt_path={path} is no checkpoint of this package") from error
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if saved != expected:
        differing = sorted(name for name in saved.keys() | expected.keys() if saved.get(name) != expected.get(name))
        name = differing[0]
        raise ConfigError(
            f"ckpt_path={path} does not fit model.path: {len(differing)} tensors differ, e.g. {name} is "
            f"{describe(saved.get(name))} in the checkpoint and {describe(expected.get(name))} in the model"
        )
    if step >= module.total_steps:
        raise ConfigError(f"ckpt_path={path} has {step} steps behind it; continue with trainer.max_steps above {step}")
    return step


def describe(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))
