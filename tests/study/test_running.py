"""Which finished runs a study takes for its own, with made-up measurements."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from study.fake_runs import write_run

from papo.errors import ConfigError
from papo.study.__main__ import main
from papo.study.definition import Study, read_study
from papo.study.running import plan

FAKED = """\
question: Which?
base: [experiment=papo_qwen]
arms:
  grpo: [perception_coef={baseline}]
  small: [mask_ratio=0.3]
  large: [mask_ratio=0.9]
baseline: grpo
seeds: {seeds}
"""


def finish(study: Study, out: Path, besides: str = "") -> None:
    """Makes up all of its runs but one, by the code that is here."""
    for run in (work := plan(study, out)).runs:
        if run.folder != besides:
            folder = write_run(work.folder / run.folder, run.arm, run.seed, provenance=work.now)
            (folder / "config.yaml").write_text(OmegaConf.to_yaml(work.configs[run.folder], resolve=True))


@pytest.fixture
def faked(tmp_path) -> tuple[Callable[..., Path], Callable[..., int]]:
    """Writes study.yaml, and runs it; all its runs were finished as it stood first."""

    def write(baseline: float = 0, seeds: str = "[0, 1]", without: str = "") -> Study:
        lines = FAKED.format(baseline=baseline, seeds=seeds).splitlines(keepends=True)
        (tmp_path / "study.yaml").write_text("".join(line for line in lines if not without or without not in line))
        return read_study(tmp_path)

    out = tmp_path / "out"
    finish(write(), out)

    def ran(*options: str) -> dict:
        assert main(["run", str(tmp_path), "--out", str(out), *options]) == 0
        return json.loads((out / "study.json").read_text())

    return write, ran


def failing(configs, jobs, threads):
    """In place of training."""
    return ((cfg, "OutOfMemoryError: no room") for cfg in configs)


@pytest.fixture
def two_levels(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A study whose baseline cannot be trained at one of two levels, and where it goes."""
    monkeypatch.setattr("papo.study.running.train_all", failing)
    lines = [line for line in FAKED.format(baseline=0, seeds="[0]").splitlines() if "large" not in line]
    (tmp_path / "study.yaml").write_text("\n".join([*lines, "grid: {guessable_share: [0.5, 1.0]}"]))
    study, out = read_study(tmp_path), tmp_path / "out"
    finish(study, out, besides="grpo_guessable_share=1.0_seed=0")
    return tmp_path, out


def test_a_plan_leaves_no_command_behind(faked, tmp_path, monkeypatch):
    """Of which others, in one process, would take the overrides for their own."""
    study = faked[0](seeds="[0]")
    for command in (None, OmegaConf.create({"hydra": {}})):
        monkeypatch.setattr(HydraConfig.instance(), "cfg", command)
        plan(study, tmp_path)
        assert HydraConfig.instance().cfg is command


def test_a_baseline_that_failed_at_one_level_is_missed_there_alone(two_levels, capsys):
    folder, out = two_levels
    assert main(["run", str(folder), "--out", str(out)]) == 1
    assert json.loads((out / "study.json").read_text())["comparisons"].keys() == {"small guessable_share=0.5"}
    why = "small guessable_share=1.0 has no run of the baseline grpo beside it: it is compared with nothing"
    said = capsys.readouterr()
    assert f"- {why}\n" in said.out
    assert "| small guessable_share=1.0 |" in said.out  # among the arms
    assert said.err == "failed: grpo_guessable_share=1.0_seed=0: OutOfMemoryError: no room\n"


def test_what_failed_is_said_where_nothing_can_be_compared(two_levels, capsys):
    """Here for data that have changed between two runs."""
    folder, out = two_levels
    write_run(out / "other", items=["another"])
    shutil.copy(out / "other" / "held_out.jsonl", out / "runs" / "small_guessable_share=0.5_seed=0")
    with pytest.raises(ConfigError, match="about other items"):
        main(["run", str(folder), "--out", str(out)])
    assert capsys.readouterr().err.startswith("failed: grpo_guessable_share=1.0_seed=0: ")


CHANGED = r"grpo_seed=0 was run with other settings \(algorithm\.objective\.perception\.coef: 0 then, 0\.5 now\)"


def test_a_run_that_is_not_asked_for_is_not_compared_with_other_settings(faked):
    """Its arm was changed in study.yaml since, and --only leaves it out."""
    write, ran = faked
    write(baseline=0.5)
    with pytest.raises(ConfigError, match=f"{CHANGED}; .*--changed rerun compares without it"):
        ran("--only", "arm=small")


def test_a_run_that_is_kept_with_other_settings_is_named(faked):
    write, ran = faked
    write(baseline=0.5)
    found = ran("--only", "arm=small", "--changed", "keep")
    assert found["changed"].keys() == {"grpo_seed=0", "grpo_seed=1"}
    assert found["comparisons"].keys() == {"small", "large"}


def test_one_that_is_neither_kept_nor_asked_for_is_left_out(faked, tmp_path, capsys):
    write, ran = faked
    (tmp_path / "study.yaml").write_text((tmp_path / "study.yaml").read_text().replace("0.9", "0.8"))
    found = ran("--only", "arm=small", "--changed", "rerun")
    assert found["comparisons"].keys() == {"small"}
    assert "large_seed=0 is left out: was run with other settings" in capsys.readouterr().out
    write(baseline=0.5)
    (tmp_path / "out" / "study.json").write_text("{}")
    assert ran("--only", "arm=small", "--changed", "rerun") == {}
    assert re.search(f"{CHANGED.replace(' was', ' is left out: was')}\n", said := capsys.readouterr().out)
    assert "nothing to compare with" in said


def test_what_study_yaml_asks_for_no_more_is_compared_no_more(faked):
    write, ran = faked
    write(seeds="[0]", without="large")
    found = ran()
    assert found["comparisons"].keys() == {"small"}
    assert found["comparisons"]["small"]["accuracy"]["seeds"] == 1
    why = "study.yaml does not ask for it"
    assert found["left_out"] == dict.fromkeys(["grpo_seed=1", "large_seed=0", "large_seed=1", "small_seed=1"], why)


def say(out: Path, run: str, **provenance) -> None:
    """Changes what a finished run was made by."""
    file = out / "runs" / run / "provenance.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | provenance))


def test_runs_of_other_code_are_counted_and_named(faked, tmp_path, capsys):
    """A sign was flipped between the first runs and the last."""
    _, ran = faked
    ran()
    said = capsys.readouterr().out
    assert said.startswith("6 done, 0 to run")
    assert "other code" not in said
    for run in ("large_seed=0", "large_seed=1"):
        say(tmp_path / "out", run, code={"papo": "1234567890"}, git_commit="abcdefghij", git_dirty=False)
    found = ran()
    assert list(found["made_by"].values())[1:] == [["large_seed=0", "large_seed=1"]]
    said = capsys.readouterr().out
    assert said.startswith("6 done (2 by other code than is here now), 0 to run")
    remark = (
        "large_seed=0, large_seed=1 were made by other code (papo 12345678, commit abcdefg) than is here now (papo "
    )
    assert f"- {remark}" in said
    assert remark in (tmp_path / "out" / "study.html").read_text()


def test_what_other_code_made_is_marked_named_at_the_end_and_made_anew(faked, tmp_path, monkeypatch, capsys):
    write, ran = faked
    others = ["large_seed=0", "large_seed=1"]
    for run in others:
        say(tmp_path / "out", run, code={"papo": "1234567890"})
    command = ["run", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--dry"]) == 0
    listed = dict(reversed(line.rsplit(maxsplit=1)) for line in capsys.readouterr().out.splitlines()[:6])
    assert {run: "done, by other code" in state for run, state in listed.items() if "done" in state} == {
        run: run in others for run in listed
    }
    ran()
    last = "not of the code that is here now: large_seed=0, large_seed=1; these were kept as they are, --code rerun "
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)
    assert main([*command, "--code", "rerun", "--dry"]) == 0
    said = capsys.readouterr().out
    listed = dict(reversed(line.rsplit(maxsplit=1)) for line in said.splitlines()[:6])
    assert {run for run, state in listed.items() if "to run" in state} == {*others}
    assert said.splitlines()[-1].startswith("4 done, 2 to run")
    write(baseline=0.5)  # what is made anew has no other settings any more
    study = read_study(tmp_path)
    assert plan(study, tmp_path / "out", "keep", "rerun").changed.keys() == {"grpo_seed=0", "grpo_seed=1"}
    say(tmp_path / "out", "grpo_seed=0", code={"papo": "1234567890"})
    assert plan(study, tmp_path / "out", "keep", "rerun").changed.keys() == {"grpo_seed=1"}
    write()
    say(tmp_path / "out", "grpo_seed=0", code=plan(study, tmp_path / "out", "keep").now["code"])
    trained = []
    monkeypatch.setattr(
        "papo.study.running.train_all",
        lambda configs, *given: trained.extend(Path(cfg.run_dir).name for cfg in configs) or failing(configs, *given),
    )
    assert main([*command, "--code", "rerun", "--only", "seed=1"]) == 1
    assert trained == ["large_seed=1"]
    assert not (tmp_path / "out" / "runs" / "large_seed=1").exists()
    assert (tmp_path / "out" / "runs" / "large_seed=0").exists()


def test_code_that_made_all_of_them_and_is_gone_is_named_too(faked, tmp_path, capsys):
    _, ran = faked
    for run in (tmp_path / "out" / "runs").iterdir():
        say(tmp_path / "out", run.name, code={"papo": "1234567890"}, git_commit="abcdefghij", git_dirty=False)
    ran()
    said = capsys.readouterr().out
    assert said.startswith("6 done (6 by other code than is here now), 0 to run")
    assert "- grpo_seed=0, grpo_seed=1, large_seed=0, large_seed=1 and 2 more were made by other code" in said


def test_another_commit_with_the_same_code_is_no_other_code(faked, tmp_path, capsys):
    _, ran = faked
    say(tmp_path / "out", "large_seed=0", git_commit="of documents", git_dirty=True)
    assert len(ran()["made_by"]) == 1
    assert "other code" not in capsys.readouterr().out
