"""The supervised stage, from random weights to a model that can be loaded."""

import shutil
import signal

import pytest
import torch
from transformers import AutoModelForImageTextToText

from papo.training.sft import SupervisedModule

SIZES = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "key_value_heads": 2,
    "intermediate_size": 48,
    "vision_hidden_size": 32,
    "vision_layers": 1,
    "vision_heads": 2,
    "vision_intermediate_size": 48,
    "vocab_size": 320,
    "texts.count": 30,
}


@pytest.fixture(scope="module")
def settings(tiny) -> list[str]:
    shared = [setting for setting in tiny if not setting.startswith("model.")]
    sizes = [f"model.{name}={value}" for name, value in SIZES.items()]
    return ["experiment=sft_lab_read", *shared, *sizes, "algorithm.warmup_steps=1", "algorithm.guess_share=0.5"]


@pytest.fixture(scope="module")
def finished(command, settings, tmp_path_factory):
    """Two steps, with a line for each."""
    path = tmp_path_factory.mktemp("sft") / "run"
    finished = command("train.py", *settings, "callbacks.progress.seconds_between_lines=1e-6", f"hydra.run.dir={path}")
    assert finished.status == 0, finished.err
    return finished, path


@pytest.fixture(scope="module")
def run(finished, four_steps):
    return type(four_steps)(finished[1])


def test_it_trains(run):
    losses = run.scalars["loss/total"]
    assert list(losses) == [1, 2]
    assert losses[1] == pytest.approx(torch.tensor(320.0).log().item(), rel=0.1)  # nats: as good as guessing
    metrics = run.json()
    assert (metrics["name"], metrics["steps"], metrics["interrupted"]) == ("sft_lab_read", 2, False)
    assert not (run.path / "rollouts.jsonl").exists()  # nothing is rolled out


def test_its_lines_follow_the_loss(finished, run):
    lines = [line for line in finished[0].out.splitlines() if line.startswith("step ")]
    assert [line.split(", greedy")[0] for line in lines] == [
        f"step {step:.0f} of 2, loss {loss:.3f}" for step, loss in run.scalars["loss/total"].items()
    ]


def test_it_exports_a_model_of_the_asked_sizes(run):
    config = AutoModelForImageTextToText.from_pretrained(run.path / "model").config
    assert (config.text_config.hidden_size, config.text_config.num_hidden_layers) == (32, 2)
    assert (config.text_config.vocab_size, config.vision_config.depth) == (320, 1)


def test_the_export_is_the_last_step(run):
    saved = torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    model = AutoModelForImageTextToText.from_pretrained(run.path / "model")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, saved[f"policy.model.{name}"]), name


def test_it_resumes(command, settings, run, tmp_path, monkeypatch):
    """Interrupted after the first of two steps; the whole one measured more, which its weights do not show."""
    brief = [*settings, "val.samples=1", "val.blind=false", "val.greedy=false", "val.masked=null"]
    original = SupervisedModule.training_step

    def training_step(module, batch, batch_idx):
        signal.raise_signal(signal.SIGINT)
        original(module, batch, batch_idx)

    path = tmp_path / "run"
    monkeypatch.setattr(SupervisedModule, "training_step", training_step)
    assert command("train.py", *brief, f"hydra.run.dir={path}").status == 130
    monkeypatch.undo()
    ckpt = f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}"
    finished = command("train.py", *brief, ckpt, f"hydra.run.dir={path}")
    assert finished.status == 0, finished.err
    assert type(run)(path).weights == run.weights


def test_its_model_is_where_reinforcement_starts(command, brief, run, tmp_path):
    finished = command("train.py", *brief, f"model.path={run.path}", f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.status == 0, finished.err


def test_its_checkpoint_is_not_where_reinforcement_goes_on(command, tiny, run, four_steps, settings, tmp_path):
    """Moved ones, of which no settings are known, but whose weights fit."""
    model = f"model.path={run.path}"
    for of, how, kind in ((run, [*tiny, model], "supervised training"), (four_steps, settings, "reinforcement")):
        moved = shutil.copy(of.path / "checkpoints" / "last.ckpt", tmp_path / f"{kind.split()[0]}.ckpt")
        finished = command(
            "train.py", *how, f"ckpt_path={moved}", "trainer.max_steps=9", f"hydra.run.dir={tmp_path}/new"
        )
        assert (finished.status, len(finished.messages)) == (2, 1), finished.err
        assert f"ckpt_path={moved} is of {kind}" in finished.err
    assert not (tmp_path / "new" / "config.yaml").exists()
