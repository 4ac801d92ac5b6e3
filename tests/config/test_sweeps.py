"""Other launchers and sweepers of Hydra, where they are installed: pip install 'papo[sweep]'."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("plugin", "overrides"),
    [
        ("hydra_joblib_launcher", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("hydra_submitit_launcher", ["hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=8"]),
        ("hydra_optuna_sweeper", ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize"]),
    ],
)
def test_it_is_composed_and_made(plugin, overrides):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*overrides, "experiment=papo_qwen"], return_hydra_config=True)
        cfg.hydra.mode = RunMode.MULTIRUN
        context = HydraContext(config_loader=None, callbacks=None)
        made = Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=None, config=cfg)
    launcher = made.launcher if plugin != "hydra_optuna_sweeper" else made.sweeper
    assert type(launcher).__module__.startswith((f"hydra_plugins.{plugin}", "hydra._internal"))
