"""The entry points, run inside this process as they are on a command line, on a tiny random model."""

import contextlib
import io
import json
import logging
import os
import runpy
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from papo.policy.loading import save_policy
from papo.rewards.grading import Grade, Verdict
from papo.types import Item

ROOT = Path(__file__).parents[2]


def grade_by_chance(item: Item, response: str) -> Grade:
    """A grader that a random policy pleases about half of the time; depends on nothing but the two texts."""
    right = sum(map(ord, item.answer + response)) % 2 == 1
    return Grade(Verdict.CORRECT if right else Verdict.WRONG, response, "by chance")


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """The lines of stderr without progress bars."""
        lines = self.err.replace("\r", "\n").splitlines()
        return [line for line in lines if line.strip() and "%|" not in line and "it/s]" not in line]


def command(script: str, *overrides: str) -> Finished:
    """`python <script> <overrides>` without paying for another interpreter; exceptions come through."""
    root, lightning = logging.getLogger(), logging.getLogger("lightning.pytorch")
    handlers, levels = root.handlers[:], (root.level, lightning.level)  # Hydra and cli.run set their own
    status = 0
    GlobalHydra.instance().clear()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about tiny runs
        patch.setattr(sys, "argv", [str(ROOT / script), *overrides])
        quiet = ("HYDRA_FULL_ERROR", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
        for name in (*quiet, "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            patch.setenv(name, os.environ.get(name, ""))  # cli.run sets them: here they are taken back
            patch.delenv(name)
        patch.setattr("papo.rewards.reward.grade", grade_by_chance)
        patch.setattr("papo.evaluation.answering.grade", grade_by_chance)
        patch.setattr("torch.cuda.is_available", lambda: False)
        # Hydra composes everything once more, before, to know what -m says already.
        patch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: RunMode.RUN)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(str(ROOT / script), run_name="__main__")
            except SystemExit as end:
                status = end.code or 0
            finally:
                root.handlers = handlers
                root.setLevel(levels[0])
                lightning.setLevel(levels[1])
    return Finished(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", name="command")
def command_fixture() -> Callable[..., Finished]:
    return command


@pytest.fixture(scope="session")
def grader() -> Callable[[Item, str], Grade]:
    return grade_by_chance


@pytest.fixture(scope="session")
def tiny_model(make_policy, image_text_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_policy(make_policy(), image_text_processor, folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_model) -> list[str]:
    """Overrides for a run of a second."""
    return [
        f"model.path={tiny_model}",
        "trainer.accelerator=cpu",
        "trainer.max_steps=2",
        "data.batch_size=2",
        "data.val.size=4",
        "group_size=3",
        "val.samples=2",
        "val.training_items=4",
        "rollout.max_new_tokens=8",
        "optimizer.lr=1e-3",
    ]


@pytest.fixture(scope="session")
def brief(tiny) -> list[str]:
    """The same for runs of which it is asked whether they come through: what is held out is answered once."""
    return [*tiny, "val.samples=1", "val.blind=false", "val.greedy=false", "val.training_items=0"]


@dataclass(frozen=True)
class Run:
    """A run directory, read."""

    path: Path
    said: str = ""  # on its standard output

    def json(self, name: str = "metrics.json") -> dict[str, Any]:
        return json.loads((self.path / name).read_text())

    @property
    def weights(self) -> bytes:
        return (self.path / "model" / "model.safetensors").read_bytes()

    @property
    def rollouts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "rollouts.jsonl").read_text().splitlines()]

    @property
    def held_out(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "held_out.jsonl").read_text().splitlines()]

    @property
    def events(self) -> EventAccumulator:
        return EventAccumulator(str(self.path)).Reload()

    @property
    def scalars(self) -> dict[str, dict[int, float]]:
        """Each tag's values by step."""
        events = self.events
        return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


@pytest.fixture(scope="session", name="Run")
def run_fixture() -> type[Run]:
    return Run


@pytest.fixture(scope="session")
def train(tiny, tmp_path_factory) -> Callable[..., Run]:
    """Runs train.py to its end in `path`, else in a new folder; `options` are those of Hydra, which come first."""

    def train(*overrides: str, path: Path | None = None, status: int = 0, options: Sequence[str] = ()) -> Run:
        path = path or tmp_path_factory.mktemp("train") / "run"
        finished = command("train.py", *options, *tiny, *overrides, f"hydra.run.dir={path}")
        assert finished.status == status, finished.err
        return Run(path, finished.out)

    return train


@pytest.fixture(scope="session")
def four_steps(train) -> Run:
    """An uninterrupted run; tests only look at it."""
    settings = ["experiment=papo_qwen", "seed=3", "trainer.images_every=2", "algorithm.schedule=constant"]
    return train(*settings, "trainer.max_steps=4")
