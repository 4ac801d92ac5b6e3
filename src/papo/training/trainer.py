"""Lightning's Trainer as a run needs it, and loggers that need a package of their own."""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from papo.arguments import Count, Must, Text, check_arguments, checked, hands_on
from papo.errors import ConfigError, SettingError
from papo.training.precision import PRECISIONS, trainer_precision

# Arguments of Lightning's Trainer that do not go with updates of our own, or that end a run before its last step and
# without a checkpoint, or measure some batches as if they were all; what they usually are, and our settings.
OURS = (
    ("gradient_clip_val", None, "algorithm.grad_clip"),
    ("accumulate_grad_batches", 1, "algorithm.micro_batch_prompts"),
    ("fast_dev_run", False, "trainer.max_steps, with the checkpoint that Lightning's way lacks,"),
    ("overfit_batches", 0.0, "data.train, with trainer.max_steps for the length,"),
    ("limit_train_batches", None, "trainer.max_steps"),
    ("max_epochs", None, "trainer.max_steps"),
    ("limit_val_batches", None, "val.items, by items and not by batches,"),
)


@hands_on(Trainer)
@checked
def make_trainer(
    *,
    max_steps: Count,
    val_every: Annotated[int, Must("be 0 (only before and after training) or positive", lambda value: value >= 0)],
    done: int,
    precision: Literal[*PRECISIONS],
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto",
    deterministic: bool = False,
    strategy: Literal["auto"] | Strategy = "auto",
    devices: Count = 1,
    num_nodes: Count = 1,
    callbacks: Sequence[Callback],
    logger: Logger,
    **settings: Any,
) -> Trainer:
    """A trainer for the steps that are left.

    Args:
        max_steps: of the whole run.
        val_every: steps between validations, counted from step 0 of the run; 0 = none in between.
        done: steps that a checkpoint has behind it.
        precision: see papo.training.precision.
        accelerator and those after it, **settings: see Lightning's Trainer.

    Raises:
        SettingError: val_every is negative, or Lightning is asked for what a step does itself.
        ValueError: Lightning refuses the settings, e.g. for a device that is not there.
    """
    for name, usual, own in OURS:
        if settings.get(name, usual) != usual:  # which Lightning would refuse after the first validation
            raise SettingError(name, f"must not be set, got {settings[name]}: here {own} says that")
    try:
        trainer = Trainer(
            max_epochs=1,  # the data is endless: a run is one epoch of the steps that are left
            limit_train_batches=max_steps - done,
            check_val_every_n_epoch=None,  # count steps instead; PolicyModule makes Lightning count from step 0
            val_check_interval=val_every or max_steps + 1,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the data deals itself out
            inference_mode=False,  # what is gathered in a validation would not do for training
            callbacks=callbacks,
            logger=logger,
            accelerator=accelerator,
            deterministic=deterministic,
            strategy=strategy,
            devices=devices,
            num_nodes=num_nodes,
            **trainer_precision(precision),
            **settings,
        )
    except MisconfigurationException as error:  # no ValueError, as which settings are refused everywhere else
        raise ValueError(str(error)) from error
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and none of the user's own
        trainer.strategy.checkpoint_io = MappedCheckpoints()
    return trainer


class MappedCheckpoints(TorchCheckpointIO):
    """Checkpoints that are read from their file where they are needed, not loaded whole in each process: of 8 billion
    parameters with what AdamW remembers of them eight processes would take 800 GB of a machine's memory."""

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        return torch.load(path, map_location=map_location, weights_only=weights_only, mmap=True)


def is_logger(target: str) -> bool:
    try:
        return issubclass(pkgutil.resolve_name(target), Logger)
    except (ValueError, ImportError, AttributeError, TypeError):
        return False


@checked
def optional_logger(
    *,
    needs: Text,
    target: Annotated[str, Must("be the class of a logger", is_logger)],
    **settings: Any,
) -> Logger:
    """A logger whose package is an extra of this one.

    Args:
        needs: the package, and the name of the extra.
        target: the logger's class.

    Raises:
        ConfigError: the package is not installed.
    """
    if importlib.util.find_spec(needs) is None:
        raise ConfigError(f"logger={needs} needs a package that is not installed: pip install 'papo[{needs}]'")
    return pkgutil.resolve_name(target)(**settings)


def check_logger(cfg: Mapping[str, Any]) -> None:
    """Raises SettingError where a logger whose class is an argument of `optional_logger` cannot have its settings."""
    if cfg["_target_"] == f"{__name__}.{optional_logger.__name__}":
        own = ("_target_", "needs", "target")
        check_arguments(pkgutil.resolve_name(cfg["target"]), {key: cfg[key] for key in cfg if key not in own})


class NoLogger(Logger):
    """What ranks log to that write nothing."""

    name = version = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass
