"""What runs are compared by in a logger: their settings, with how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf
from torch.utils.tensorboard.summary import hparams

from papo.settings import PLACE


def log_hyperparameters(trainer: Trainer, cfg: DictConfig, metrics: Mapping[str, Any]) -> None:
    """What runs are compared by, with how they ended."""
    names = [key for key, value in cfg.items() if isinstance(value, str | int | float) and key not in PLACE]
    params = {name: cfg[name] for name in names}
    params |= {"lr": OmegaConf.select(cfg, "optimizer.lr"), "max_steps": cfg.trainer.max_steps} | overridden(cfg)
    before, after = metrics["accuracy_before"], metrics["accuracy_after"]
    final = {} if after is None else {"final/accuracy": after, "final/gain": after - before}
    if isinstance(trainer.logger, TensorBoardLogger):
        log_to_hparams_page(trainer.logger, params, final)
    else:
        trainer.logger.log_hyperparams(params)
        trainer.logger.log_metrics(final, step=trainer.lightning_module.step)
    trainer.logger.finalize("success")


def overridden(cfg: DictConfig) -> dict[str, Any]:
    """What the command line chose: choices of groups by their name, nested keys by their value."""
    if not HydraConfig.initialized():
        return {}
    found = {}
    for override in HydraConfig.get().overrides.task:
        key, set_, text = override.lstrip("+").partition("=")
        value = OmegaConf.select(cfg, key)
        if set_ and key not in PLACE:
            found[key] = value if isinstance(value, str | int | float) else text
    return found


def log_to_hparams_page(logger: TensorBoardLogger, params: dict[str, Any], final: dict[str, float]) -> None:
    """A row of TensorBoard's HPARAMS page."""
    _, start, end = hparams(params, final)
    writer = logger.experiment
    for name, value in final.items():
        writer.add_scalar(name, value, global_step=0)
    # Without the record of the whole experiment, which torch and Lightning write for each run as if it were the only
    # one, TensorBoard compares the runs itself and shows first what tells them apart.
    for record in (start, end):
        writer._get_file_writer().add_summary(record)
