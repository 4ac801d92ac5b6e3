"""Every study that is defined here composes; a tiny one runs, stops, goes on and is compared."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from papo import train
from papo.building import check
from papo.errors import ConfigError
from papo.study.__main__ import main
from papo.study.composing import compose_runs
from papo.study.definition import Study, read_study
from papo.study.running import plan
from papo.study.worker import outcome

ROOT = Path(__file__).parents[2]
STUDIES = sorted(file.parent for file in ROOT.glob("experiments/*/study.yaml"))


def test_there_are_studies():
    assert STUDIES


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_every_run_of_a_study_composes_and_can_be_built(folder, tmp_path):
    study = read_study(folder)
    # Levels change a value and nothing that could be missing: one of each arm is enough.
    of_arm = {run.arm: run for run in reversed(study.runs())}
    configs = compose_runs(list(of_arm.values()), tmp_path)
    for run in of_arm.values():
        cfg = configs[run.folder]
        check(cfg)
        assert (cfg.name, cfg.seed, cfg.run_dir) == (run.arm, run.seed, str(tmp_path / run.folder))


@pytest.mark.parametrize("folder", STUDIES, ids=lambda folder: folder.name)
def test_every_study_runs_cut_down(folder, tiny, tmp_path, monkeypatch):
    """study=quick, with a smaller model still, and without the seconds that a process of its own takes to start."""

    def in_here(configs, jobs, threads):
        return ((cfg, outcome(train, cfg)) for cfg in configs)

    monkeypatch.setattr("papo.study.running.train_all", in_here)
    further = [setting for setting in tiny if setting.startswith(("model.", "rollout.", "trainer.accelerator"))]
    assert main(["run", str(folder), "study=quick", *further, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    study = read_study(folder, "quick")
    assert {cell["arm"] for cell in found["cells"].values()} == set(study.arms)
    assert len(found["comparisons"]) == len(found["cells"]) - len(found["cells"]) // len(study.arms)
    assert (tmp_path / "out" / "study.csv").read_text().count(",greedy,") == len(study.runs())


TINY = """\
question: Does it run?
base: {base}
arms:
  grpo: [perception_coef=0]
  papo: [perception_coef=0.02]
  broken: [group_size=1]
baseline: grpo
grid: {{mask_ratio: [0.5]}}
seeds: [0, 1]
"""


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    folder.mkdir()
    base = [*tiny, "trainer.max_steps=1", "val.every=0", "val.training_items=0"]
    (folder / "study.yaml").write_text(TINY.format(base=json.dumps(base)))
    return folder


@pytest.fixture(scope="module")
def finished(study):
    """The folder of its results, after a run with an arm that cannot work."""
    out = study.parent / "out"
    half = out / "runs" / "papo_mask_ratio=0.5_seed=1"
    half.mkdir(parents=True)
    (half / "left.txt").touch()
    assert main(["run", str(study), "--out", str(out)]) == 1
    return out


def test_a_run_that_fails_ends_no_other(finished):
    done = {file.parent.name for file in finished.glob("runs/*/metrics.json")}
    assert done == {f"{arm}_mask_ratio=0.5_seed={seed}" for arm in ("grpo", "papo") for seed in (0, 1)}
    log = finished / "runs" / "broken_mask_ratio=0.5_seed=0" / "log.txt"
    assert "group_size must be at least 2" in log.read_text()


def test_what_is_done_is_compared_and_the_rest_is_named(finished):
    found = json.loads((finished / "study.json").read_text())
    assert found["comparisons"]["papo mask_ratio=0.5"]["accuracy"]["seeds"] == 2
    assert found["question"] == "Does it run?"
    assert "- broken has 0 of 2 runs finished" in (finished / "study.md").read_text().splitlines()
    assert "broken has 0 of 2 runs finished" in (finished / "study.html").read_text()


def test_a_runs_log_is_its_own(finished):
    folder = finished / "runs" / "papo_mask_ratio=0.5_seed=0"
    assert str(folder) in (folder / "log.txt").read_text().splitlines()  # its summary names it


def test_what_a_half_run_left_is_gone(finished):
    assert not (finished / "runs" / "papo_mask_ratio=0.5_seed=1" / "left.txt").exists()


def test_finished_runs_are_not_run_again(study, finished):
    work = plan(read_study(study), finished)
    assert [run.arm for run in work.missing] == ["broken", "broken"]
    assert work.seconds(work.missing[0]) > 0


def test_a_finished_run_with_other_settings_is_neither_mistaken_nor_lost(study, finished):
    changed = read_study(study, further=["optimizer.lr=0.5"])
    with pytest.raises(ConfigError, match=r"lr: 0\.001 then, 0\.5 now\); --changed keep"):
        plan(changed, finished)
    assert len(plan(changed, finished, "keep").missing) == 2
    assert len(plan(changed, finished, "rerun").missing) == 6


def test_a_run_is_what_train_py_makes_of_the_same_overrides(study, finished, train):
    told = yaml.safe_load((study / "study.yaml").read_text())["base"]
    alone = train(*told, "perception_coef=0.02", "mask_ratio=0.5", "name=papo", "seed=1")
    ours = finished / "runs" / "papo_mask_ratio=0.5_seed=1"
    configs = [(path / "config.yaml").read_text().replace(str(path), "") for path in (alone.path, ours)]
    assert configs[0] == configs[1]


def test_dry_lists_the_runs_and_runs_none(study, finished, capsys):
    assert main(["run", str(study), "--out", str(finished), "--dry"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].split()[0] == "done"
    assert lines[0].endswith("grpo_mask_ratio=0.5_seed=0")
    assert lines[-1].startswith("4 done, 2 to run, about ")


def test_a_factor_that_is_a_group_is_refused_before_any_run_starts(tiny):
    study = Study("?", tiny, {"a": []}, "a", [0], grid={"experiment": ["grpo_qwen"]})
    with pytest.raises(ConfigError, match=r"grid\.experiment is no plain setting"):
        compose_runs(study.runs(), Path("nowhere"))


def test_without_a_run_of_the_baseline_there_is_nothing_to_compare_with(study, finished, tmp_path, capsys):
    """As where a study is run in parts, the arm first."""
    done = "papo_mask_ratio=0.5_seed=0"
    shutil.copytree(finished / "runs" / done, tmp_path / "runs" / done)
    only = ["--only", "arm=papo", "--only", "seed=0"]
    assert main(["run", str(study), "--out", str(tmp_path), *only]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 done, 0 to run")
    assert "nothing to compare with yet: no run of grpo, the baseline, is finished" in out


def test_a_run_that_cannot_be_composed_is_named_before_any_starts(study, tmp_path):
    with pytest.raises(ConfigError, match=r"grpo_mask_ratio=0\.5_seed=0: .*optimzer"):
        main(["run", str(study), "optimzer.lr=1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
