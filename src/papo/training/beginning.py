"""What a run says before its first step, after what was found in its data: how much words give away, what computes it,
where it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig

from papo.policy.loading import Loaded
from papo.policy.repeating import RepeatingPolicy
from papo.training.strategies import ShardedWeights


def first_lines(cfg: DictConfig, loaded: Loaded, trainer: Trainer, train: Any) -> list[str]:
    """In order; `train` is what is trained on, screened."""
    return [
        f"words give away: {given_away(cfg, train)}",
        f"device: {device(cfg, loaded, trainer)}",
        f"folder: {cfg.run_dir}",
        *([f"tensorboard --logdir {shown_from(cfg.run_dir)}"] if isinstance(trainer.logger, TensorBoardLogger) else []),
    ]


def given_away(cfg: DictConfig, train: Any) -> str:
    """As was measured, else as the data was asked to be made; of other data only an evaluation can tell."""
    if cfg.data.get("guessability") is not None:
        return f"what {cfg.data.guessability} has measured"
    asked = cfg.data.train.get("guessable_share")
    if asked is not None:
        # A source may count them itself: of easy-VQA the words of the other questions suggest answers too.
        share = getattr(getattr(train, "source", None), "given_away", asked)
        return f"{100 * share:.3g} % of the training questions (guessable_share={asked:g})"
    return "unknown; python evaluate.py guessable=true measures how much"


def device(cfg: DictConfig, loaded: Loaded, trainer: Trainer) -> str:
    """Its name, what it computes in, and which of the faster ways it takes."""
    where = trainer.strategy.root_device
    count = f"{trainer.world_size} x " if trainer.world_size > 1 else ""
    if where.type == "cuda":
        # See can_capture: by now the weights are neither on their device nor in shares.
        whole = not isinstance(trainer.strategy, ShardedWeights) and not isinstance(loaded.policy, RepeatingPolicy)
        fast = ["steps captured as CUDA graphs"] if whole and cfg.engine.get("captured") else []
        fast.append(f"attention {loaded.policy.model.config._attn_implementation}")
        name = torch.cuda.get_device_name(where)
    else:
        fast = [f"layers {loaded.fast_layers}"]
        threads = torch.get_num_threads()
        name = f"{where.type}, {threads} thread" + "s" * (threads > 1)
    return ", ".join([count + name, cfg.trainer.precision, *fast])


def shown_from(run_dir: str) -> str:
    """The folder above, so that TensorBoard names the run, with its neighbours beside it; relative where it can be."""
    folder = Path(run_dir).absolute().parent
    return shlex.quote(str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder))
