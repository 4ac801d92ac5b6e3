"""Checkpoints are checked before anything is written."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from papo.errors import ConfigError
from papo.training.base import PolicyModule


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
