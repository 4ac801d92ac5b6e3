"""Lightning's Trainer as a run needs it, and loggers that need a package of their own."""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from papo.errors import ConfigError, SettingError
from papo.training.precision import trainer_precision


def make_trainer(
    *,
    max_steps: int,
    val_every: int,
    done: int,
    precision: str,
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
        **settings: see Lightning's Trainer.

    Raises:
        SettingError: val_every is negative.
        ValueError: Lightning refuses the settings, e.g. for a device that is not there.
    """
    if val_every < 0:
        raise SettingError("val_every", f"must be 0 (only before and after training) or positive, got {val_every}")
    try:
        return Trainer(
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
            **trainer_precision(precision),
            **settings,
        )
    except MisconfigurationException as error:  # no ValueError, as which settings are refused everywhere else
        raise ValueError(str(error)) from error


def optional_logger(*, needs: str, target: str, **settings: Any) -> Logger:
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


class NoLogger(Logger):
    """What ranks log to that write nothing."""

    name = version = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass
