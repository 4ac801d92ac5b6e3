"""A policy as an ordinary model folder: of a run that ends, or of one that ended too early for it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from papo.building import built
from papo.errors import ConfigError
from papo.files import write_text
from papo.policy.loading import Loaded, save_policy
from papo.run_dir import RunDir, holds_run
from papo.settings import PLACE, moved
from papo.training.resume import usable

POLICY = "policy.model."  # before the names of its weights in a checkpoint


def save(run: RunDir, loaded: Loaded, cfg: DictConfig, state: dict[str, Any]) -> None:
    """The policy, with how it was made; where it was made does not go with it."""
    save_policy(loaded.policy, loaded.processor, run.model, state)
    recipe = OmegaConf.to_container(OmegaConf.merge(cfg, {"run_dir": "."}), resolve=True)
    recipe = {key: value for key, value in recipe.items() if key not in PLACE}
    write_text(run.model / "papo.yaml", OmegaConf.to_yaml(recipe))


def exported(cfg: DictConfig) -> dict[str, Any]:
    """Makes model/ of a run from a checkpoint that it left.

    Args:
        cfg: as composed from conf/train.yaml; `export` names the run, or one of its checkpoints.

    Raises:
        ConfigError: there is no run or no whole checkpoint, it is being written, or it has a model and `overwrite` is
            false.
    """
    asked = Path(cfg.export)
    checkpoint = asked if asked.suffix == ".ckpt" else asked / "checkpoints" / "last.ckpt"
    folder = checkpoint.parent.parent
    if not holds_run(folder):
        raise ConfigError(f"export must name a run's folder, or a checkpoint in it, got {cfg.export}")
    run = RunDir(folder)
    if run.model.exists() and not cfg.overwrite:
        raise ConfigError(f"export={cfg.export}: {run.model} is there; overwrite=true replaces it")
    with run.held():
        path = usable(str(checkpoint), key="export")
        before = OmegaConf.load(folder / "config.yaml")
        loaded: Loaded = built(before.model)
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        state = {name.removeprefix(POLICY): weights for name, weights in saved["state_dict"].items()}
        try:
            loaded.policy.model.load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"export={path} does not fit {before.model.path}, which the run began with") from error
        save(run, loaded, OmegaConf.create(moved(OmegaConf.to_container(before), before.run_dir, ".")), state)
    with contextlib.suppress(OSError):  # not empty: something was there before, and stays
        os.rmdir(cfg.run_dir)
    print(f"{run.model}: the policy after step {saved['step']}")
    return {"model": str(run.model), "step": saved["step"]}
