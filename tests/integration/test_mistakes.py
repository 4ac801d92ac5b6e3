"""A user's mistake: exit status 2, one message that names the override, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def assert_refused(finished, *words):
    assert finished.status == 2, finished.err
    first, *rest = finished.messages
    assert first.startswith("error: ")
    assert not any(line.startswith("error:") for line in rest)
    assert "Traceback" not in finished.err
    assert "raise " not in finished.err
    for word in words:
        assert word in finished.err
    assert len(finished.messages) <= 6, finished.err  # a list of what there is may follow
    assert "held-out" not in finished.out


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(folder: Path) -> list[Path]:
    """Run directories and anything in them."""
    return [*folder.glob("outputs/*/*"), *(path for path in folder.rglob("*") if path.is_file())]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["experiment=papo_quen"], ["experiment", "papo_quen", "papo_qwen"]),
        (["mask_ration=0.5"], ["mask_ration"]),
        (["trainer.max_step=3"], ["trainer.max_step"]),
        (["mask_ratio=1.5"], ["mask_ratio", "[0, 1]", "1.5"]),
        (["corruption.count=some"], ["corruption.count", "some", "bernoulli"]),
        (["group_size=1"], ["group_size", "at least 2", "got 1"]),
        (["rollout.temperature=0"], ["rollout.temperature"]),
        (["rollout.temperature=-1"], ["rollout.temperature", "-1"]),
        (["rollout.max_new_tokens=0"], ["rollout.max_new_tokens", "got 0"]),
        (["rollout.top_p=0"], ["rollout.top_p", "got 0"]),
        (["perception_coef=-1"], ["perception_coef", "-1"]),
        (["algorithm.objective.surrogate.clip_low=2"], ["algorithm.objective.surrogate.clip_low", "got 2"]),
        (
            ["algorithm.objective.loss_aggregation=mean"],
            ["algorithm.objective.loss_aggregation", "token-mean", "'mean'"],
        ),
        (["data.batch_size=0"], ["data.batch_size", "got 0"]),
        (["data.train.size=1"], ["data.batch_size", "got 2"]),
        (["trainer.max_steps=0"], ["trainer.max_steps", "got 0"]),
        (["reward.accuracy_weight=-1"], ["reward.accuracy_weight"]),
        (["algorithm.updates_per_rollout=0"], ["algorithm.updates_per_rollout", "got 0"]),
        (["model.dtype=float8"], ["model.dtype", "float8"]),
        (["model.dtype=float16"], ["model.dtype=float16", "16-mixed"]),
        (["model.dtype=bfloat16"], ["model.dtype=bfloat16", "trainer.precision=32-true", "adamw_bf16"]),
        (["trainer.precision=64-true"], ["trainer.precision", "bf16-mixed", "'64-true'"]),
        (["trainer.precision=bf16-true"], ["trainer.precision=bf16-true", "model.dtype=bfloat16"]),
        (["model.train=[tower]"], ["train must name", "vision", "tower"]),
        (["model.train=[]"], ["model.train=[]"]),
        (["model.lora={r: 0, alpha: 1}"], ["lora.r", "got 0"]),
        (["model.attention=flash"], ["attention must be", "sdpa", "'flash'"]),
        (["model.path=./nowhere"], ["model.path=./nowhere", "does not exist"]),
        (["model.path=/no/where"], ["model.path=/no/where", "does not exist"]),
        (["model.path=nowhere"], ["model.path=nowhere"]),
        (["ckpt_path=nowhere.ckpt"], ["ckpt_path=nowhere.ckpt", "does not exist"]),
    ],
    ids=lambda value: value[-1] if "=" in value[-1] else "",
)
def test_an_impossible_setting_is_refused(command, tiny, here, overrides, words):
    assert_refused(command("train.py", *tiny, *overrides), *words)
    assert runs(here) == []


def test_a_model_of_another_kind_is_refused(command, tiny, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    finished = command("train.py", *tiny, f"model.path={folder}")
    assert_refused(finished, f"model.path={folder}", "gpt2", "no", "qwen2_5_vl")
    assert runs(here) == []


def test_a_folder_without_weights_is_refused(command, tiny, tiny_model, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    (folder / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    assert_refused(command("train.py", *tiny, f"model.path={folder}"), f"model.path={folder}", "could not be loaded")
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_another_shape_is_refused(command, tiny, here, four_steps, tmp_path_factory):
    saved = torch.load(four_steps.path / "checkpoints" / "last.ckpt", weights_only=True)
    name = "policy.model.model.language_model.norm.weight"
    saved["state_dict"][name] = torch.zeros(7)
    path = tmp_path_factory.mktemp("checkpoint") / "other.ckpt"
    torch.save(saved, path)
    finished = command("train.py", *tiny, "trainer.max_steps=9", f"ckpt_path={path}")
    assert_refused(finished, f"ckpt_path={path}", "model.path", name, "[7]", "[32]")
    assert runs(here) == []


def test_a_checkpoint_with_nothing_left_to_do_is_refused(command, tiny, here, four_steps):
    path = four_steps.path / "checkpoints" / "last.ckpt"
    finished = command("train.py", *tiny, "trainer.max_steps=4", f"ckpt_path={path}")
    assert_refused(finished, f"ckpt_path={path}", "4 steps", "trainer.max_steps above 4")
    assert runs(here) == []


def test_what_was_in_the_run_directory_stays(command, tiny, four_steps):
    def content():
        return {path: path.stat().st_mtime_ns for path in four_steps.path.rglob("*")}

    before = content()
    path = four_steps.path / "checkpoints" / "last.ckpt"
    finished = command("train.py", *tiny, f"ckpt_path={path}", f"hydra.run.dir={four_steps.path}")
    assert_refused(finished, "ckpt_path")
    assert content() == before


def test_a_file_that_is_no_checkpoint_is_refused(command, tiny, here, tiny_model):
    path = tiny_model / "tokenizer.json"
    assert_refused(command("train.py", *tiny, f"ckpt_path={path}"), f"ckpt_path={path}")
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------- output directory


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_a_read_only_folder_is_respected(command, tiny_model, tmp_path, script):
    """Also for root, whom permission bits do not stop."""
    parent = tmp_path / "archive"
    parent.mkdir()
    parent.chmod(0o555)
    try:
        finished = command(script, f"model.path={tiny_model}", f"hydra.run.dir={parent / 'run'}")
        assert_refused(finished, f"hydra.run.dir={parent / 'run'}", "cannot be written")
        assert list(tmp_path.iterdir()) == [parent]
        assert list(parent.iterdir()) == []
    finally:
        parent.chmod(0o755)


def test_a_file_in_the_way_is_named(command, tiny, tmp_path):
    """Hydra makes the folder, before any code of ours is called."""
    (tmp_path / "notes").write_text("mine")
    finished = command("train.py", *tiny, f"hydra.run.dir={tmp_path / 'notes' / 'run'}")
    assert_refused(finished, f"hydra.run.dir={tmp_path / 'notes'}", "cannot be written")
    assert (tmp_path / "notes").read_text() == "mine"


# -------------------------------------------------------------------------------------------------------- evaluate.py


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["k=0"], ["k must", "got 0"]),
        (["batch_size=0"], ["batch_size must", "got 0"]),
        (["benchmarks=[]"], ["benchmarks", "benchmarks=[lab]"]),
        (["benchmarks=[lap]"], ["benchmarks", "lap"]),
        (["model.path=./nowhere"], ["model.path=./nowhere"]),
        (["modle.path=tiny"], ["modle"]),
    ],
    ids=lambda value: value[-1] if "=" in value[-1] else "",
)
def test_evaluate_refuses_an_impossible_setting(command, tiny_model, here, overrides, words):
    assert_refused(command("evaluate.py", f"model.path={tiny_model}", *overrides), *words)
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------------- for real once


def test_a_mistake_on_a_real_command_line(tiny_model, tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "mask_ratio=1.5", f"model.path={tiny_model}"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    lines = [line for line in finished.stderr.replace("\r", "\n").splitlines() if line.strip() and "%|" not in line]
    assert lines == ["error: mask_ratio must lie in [0, 1], got 1.5"]
    assert finished.stdout == ""
    assert runs(tmp_path) == []
