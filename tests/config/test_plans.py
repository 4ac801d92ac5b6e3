"""Every shipped experiment can be planned, without its weights and its data."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from papo.planning import planned, workload
from papo.planning.tracing import Cost, Tracer

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("[!_]*.yaml")))
def test_every_experiment_is_planned_without_weights(name, tmp_path, monkeypatch):
    """All but the run through the blocks, which others test: it takes a second for each."""
    monkeypatch.setattr(Tracer, "cost", lambda self, run, *, gradient: Cost(1 * gradient, 1, 1 * gradient))
    monkeypatch.setattr(workload, "ITEMS", 2)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = planned(compose("train", overrides=[f"experiment={name}", f"run_dir={tmp_path}"]))
    assert found["total"] > found["parts"]["parameters"] > 0
    assert [plan["strategy"] for plan in (found, *found["others"])] == ["single", "ddp", "fsdp"]
    assert (tmp_path / "plan.json").is_file()
