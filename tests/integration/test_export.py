"""A model of what a run left, and the checkpoint that was best."""

import shutil

import pytest
import torch

from papo.training.best import Best
from papo.training.history import History


@pytest.fixture
def cut_off(four_steps, tmp_path):
    """A run that was killed in its last validation."""
    folder = tmp_path / "run"
    shutil.copytree(four_steps.path, folder)
    shutil.rmtree(folder / "model")
    (folder / "metrics.json").unlink()
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_run_that_was_cut_off_gets_its_model(command, four_steps, cut_off, here, Run):
    finished = command("train.py", f"export={cut_off}")
    assert finished.status == 0, finished.err
    assert finished.out == f"{cut_off / 'model'}: the policy after step 4\n"
    assert Run(cut_off).weights == four_steps.weights
    made, ended = ((run / "model" / "papo.yaml").read_text() for run in (cut_off, four_steps.path))
    assert made == ended
    config = cut_off / "config.yaml"
    config.write_text(config.read_text().replace(str(four_steps.path), "out"))  # part of many a word in it
    finished = command("train.py", f"export={cut_off}", "overwrite=true")
    assert finished.status == 0, finished.err
    assert (cut_off / "model" / "papo.yaml").read_text() == ended
    assert not list(here.glob("outputs/*/*"))


def test_an_adapter_stays_one(train, command, here, Run, tmp_path):
    run = train("trainer.max_steps=1", "model.lora={r: 2, alpha: 4}", "val.samples=1", path=tmp_path / "lora")
    before = (run.path / "model" / "adapter_model.safetensors").read_bytes()
    assert command("train.py", f"export={run.path}").status == 2
    assert (run.path / "model" / "adapter_model.safetensors").read_bytes() == before
    shutil.rmtree(run.path / "model")
    assert command("train.py", f"export={run.path}").status == 0
    assert (run.path / "model" / "adapter_model.safetensors").read_bytes() == before


def test_what_cannot_be_exported(command, cut_off, four_steps, here):
    for asked, words in (
        (here, "export must name a run's folder"),
        (four_steps.path, "overwrite=true replaces it"),
        (cut_off / "checkpoints" / "best.ckpt", f"export={cut_off / 'checkpoints' / 'best.ckpt'} does not exist"),
    ):
        finished = command("train.py", f"export={asked}")
        assert (finished.status, len(finished.messages)) == (2, 1), finished.err
        assert words in finished.err
    saved = torch.load(cut_off / "checkpoints" / "last.ckpt", weights_only=True)
    del saved["state_dict"]["policy.model.model.language_model.norm.weight"]
    torch.save(saved, cut_off / "checkpoints" / "last.ckpt")
    assert "does not fit" in command("train.py", f"export={cut_off}").err
    assert not (cut_off / "model").exists()
    assert not list(here.glob("outputs/*/*"))


def test_the_best_checkpoint_is_kept_and_a_run_ends_that_gets_no_better(train, command, here, monkeypatch):
    """Greedy accuracy by step: .1, .3, .2, .3."""
    add, found = History.add, iter((0.0, 0.1, 0.3, 0.2, 0.3, 0.3))

    def planned(self, step, measured, *also, **named):
        add(self, step, measured | {"greedy": [next(found)] * 4}, *also, **named)

    monkeypatch.setattr(History, "add", planned)
    run = train("callbacks=best", "callbacks.best.patience=2", "val.every=1", "trainer.max_steps=9", "val.samples=1")
    assert run.json()["steps"] == 4
    assert not run.json()["interrupted"]
    assert run.json()["ended_by"] == "callbacks.best.patience=2"
    assert "GiB; ended by callbacks.best.patience=2 before its 9 steps were made\n" in run.said
    best, last = (torch.load(run.path / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["step"], last["step"]) == (2, 4)
    (state,) = (state for name, state in last["callbacks"].items() if name.startswith("Best"))
    assert state == {"best": 0.3, "step": 2, "worse": 2}
    again = Best("elsewhere", every=1, measure="greedy", patience=2)
    again.load_state_dict(state)
    assert again.state_dict() == state
    finished = command("train.py", f"export={run.path / 'checkpoints' / 'best.ckpt'}", "overwrite=true")
    assert finished.out.endswith("the policy after step 2\n")


@pytest.mark.parametrize("there", [True, False], ids=["there", "gone"])
def test_the_best_checkpoint_comes_along_into_another_folder(train, here, monkeypatch, there):
    """Greedy accuracy by step: .3, .1 and, in another folder, .2; where the first is gone, .2 is the best there is."""
    add, found = History.add, iter((0.0, 0.3, 0.1, 0.1, 0.2, 0.2))

    def planned(self, step, measured, *also, **named):
        add(self, step, measured | {"greedy": [next(found)] * 4}, *also, **named)

    monkeypatch.setattr(History, "add", planned)
    settings = ["algorithm.schedule=constant", "callbacks=best", "val.every=1", "val.samples=1"]
    settings += ["trainer.checkpoint_every=1"]
    first = train(*settings, "trainer.max_steps=3")  # the third is measured at the end alone
    first_best = first.path / "checkpoints" / "best.ckpt"
    if not there:
        first_best.unlink()
    last = first.path / "checkpoints" / "previous.ckpt"  # of step 2
    run = train(*settings, "trainer.max_steps=4", "callbacks.best.patience=2", f"ckpt_path={last}")
    best = run.path / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=True)["step"] == (1 if there else 3)
    assert (f"{best} stays" in run.said) is there
    assert (f"{first_best} is gone" in run.said) is not there


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("val.every=0", "val.every must be at least 1 with callbacks=best, got 0"),
        ("callbacks.best.patience=0", "callbacks.best.patience must be at least 1, got 0"),
        ("callbacks.best.measure=gredy", "callbacks.best.measure=gredy is not measured; accuracy, "),
        ("val.greedy=false", "callbacks.best.measure=greedy is not measured; accuracy, "),
    ],
)
def test_what_cannot_be_best(command, tiny, override, message, tmp_path):
    finished = command(
        "train.py", *tiny, "callbacks=best", "val.every=1", override, f"hydra.run.dir={tmp_path / 'run'}"
    )
    assert finished.status == 2
    assert message in finished.err
    assert not (tmp_path / "run" / "held_out.jsonl").exists()  # before anything is measured
