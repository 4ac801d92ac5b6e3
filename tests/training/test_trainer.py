"""Lightning's Trainer as a run needs it, and loggers that need a package of their own."""

import re

import pytest
import torch
from lightning import Callback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from papo.errors import ConfigError, SettingError
from papo.training.strategies import ShardedWeights, SummedGradients
from papo.training.trainer import MappedCheckpoints, make_trainer, optional_logger


def trainer_of(tmp_path, **settings):
    defaults = {"max_steps": 7, "val_every": 2, "done": 3, "callbacks": [Callback()], "logger": CSVLogger(tmp_path)}
    defaults |= {"precision": "32-true"}
    return make_trainer(**defaults | {"accelerator": "cpu"} | settings)


def test_a_trainer_for_the_steps_that_are_left(tmp_path):
    callback, logger = Callback(), CSVLogger(tmp_path)
    trainer = trainer_of(tmp_path, callbacks=[callback], logger=logger)
    assert (trainer.limit_train_batches, trainer.val_check_interval) == (4, 2)
    assert callback in trainer.callbacks
    assert trainer.logger is logger


@pytest.mark.parametrize("strategy", ["auto", SummedGradients(), ShardedWeights("32-true")])
def test_no_process_loads_a_checkpoint_whole(tmp_path, strategy):
    assert isinstance(trainer_of(tmp_path, strategy=strategy).strategy.checkpoint_io, MappedCheckpoints)
    kind = type("Own", (TorchCheckpointIO,), {})
    assert isinstance(trainer_of(tmp_path, plugins=kind()).strategy.checkpoint_io, kind)  # of the user's


def test_no_validation_in_between(tmp_path):
    """Lightning has no word for never: later than the last step, counted from step 0."""
    assert trainer_of(tmp_path, val_every=0).val_check_interval == 8
    with pytest.raises(SettingError, match=r"^val_every must be 0 .*got -1"):
        trainer_of(tmp_path, val_every=-1)


@pytest.mark.parametrize(
    ("setting", "own"),
    [
        ({"gradient_clip_val": 1.0}, "algorithm.grad_clip"),
        ({"fast_dev_run": 2}, "trainer.max_steps"),
        ({"overfit_batches": 2}, "data.train"),
        ({"limit_val_batches": 0}, "val.items"),
        ({"limit_val_batches": 1}, "val.items"),
        ({"limit_train_batches": 1}, "trainer.max_steps"),
        ({"max_epochs": 2}, "trainer.max_steps"),
    ],
)
def test_what_a_run_says_otherwise_is_not_said_to_lightning(tmp_path, setting, own):
    """It would cut runs short without a checkpoint, and measure a part of the items as if it were all."""
    ((name, value),) = setting.items()
    with pytest.raises(SettingError, match=rf"^{name} must not be set, got {value}: .*{re.escape(own)}"):
        trainer_of(tmp_path, **setting)


def test_a_device_that_is_not_there_is_a_setting_that_cannot_work(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="gpu"):
        trainer_of(tmp_path, accelerator="gpu")


def test_a_logger_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^logger=wandb needs .* pip install 'papo\[wandb\]'$"):
        optional_logger(needs="wandb", target="lightning.pytorch.loggers.WandbLogger")


def test_a_logger_whose_package_is_there(tmp_path):
    logger = optional_logger(needs="csv", target="lightning.pytorch.loggers.CSVLogger", save_dir=tmp_path, name="a")
    assert (type(logger), logger.name) == (CSVLogger, "a")
