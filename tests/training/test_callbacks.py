"""What is written during training, and how it stops."""

import json
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from papo_steps import PAPO, G, fit

from papo.errors import SettingError
from papo.training import callbacks
from papo.training.callbacks import Checkpointer, GracefulStop, HeldOutLog, StepLog


def make_trainer(**attributes) -> SimpleNamespace:
    saved = []

    def save_checkpoint(path):
        saved.append(Path(path).name)
        Path(path).write_text(f"checkpoint {len(saved)}")

    return SimpleNamespace(should_stop=False, save_checkpoint=save_checkpoint, saved=saved, **attributes)


# -------------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def checkpoints(tmp_path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def steps_that_save(run_dir, every, total, *, stop_at=None) -> list[int]:
    checkpointer, trainer = Checkpointer(run_dir, every), make_trainer()
    saving = []
    for step in range(1, total + 1):
        before = len(trainer.saved)
        trainer.should_stop = step == stop_at
        checkpointer.on_train_batch_end(trainer, SimpleNamespace(step=step, total_steps=total), None, None, 0)
        saving += [step] * (len(trainer.saved) - before)
        names = ["last.ckpt"] * (len(saving) > 0) + ["previous.ckpt"] * (len(saving) > 1)
        assert sorted(path.name for path in (run_dir / "checkpoints").iterdir()) == names
    return saving


def test_a_checkpoint_every_so_many_steps_and_at_the_end(tmp_path, checkpoints):
    assert steps_that_save(tmp_path, 3, 8) == [3, 6, 8]
    assert (checkpoints / "last.ckpt").read_text() == "checkpoint 3"
    assert (checkpoints / "previous.ckpt").read_text() == "checkpoint 2"  # the second of the three


def test_a_checkpoint_where_a_run_is_stopped(tmp_path, checkpoints):
    assert steps_that_save(tmp_path, 3, 8, stop_at=4) == [3, 4, 6, 8]


@pytest.mark.parametrize(
    ("step", "during", "stopping", "again"),
    [(3, True, False, 1), (3, False, False, 0), (4, True, False, 0), (4, True, True, 1)],
)
def test_what_a_validation_found_is_in_the_checkpoint_of_its_step(tmp_path, checkpoints, step, during, stopping, again):
    """4 has none, unless the validation lets a monitor stop the run."""
    checkpointer, trainer = Checkpointer(tmp_path, 3), make_trainer()
    module = SimpleNamespace(step=step, total_steps=8, during=during)
    checkpointer.on_train_batch_end(trainer, module, None, None, 0)
    before = len(trainer.saved)
    trainer.should_stop = stopping
    checkpointer.on_validation_end(trainer, module)
    assert len(trainer.saved) - before == again


def test_the_last_checkpoint_outlives_a_failing_one(tmp_path, checkpoints):
    (checkpoints / "last.ckpt").write_text("whole")

    def save_checkpoint(path):
        Path(path).write_text("ha")
        raise OSError("no space left on device")

    trainer = SimpleNamespace(should_stop=True, save_checkpoint=save_checkpoint)
    with pytest.raises(OSError, match="no space"):
        Checkpointer(tmp_path, 1).on_train_batch_end(trainer, SimpleNamespace(step=1, total_steps=2), None, None, 0)
    assert (checkpoints / "last.ckpt").read_text() == "whole"


# ------------------------------------------------------------------------------------------------------------ signals


@pytest.fixture
def stopping(capsys):
    """A callback that listens, on a trainer; deaf again afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    callback, trainer = GracefulStop(), make_trainer()
    callback.on_train_start(trainer, None)
    yield callback, trainer
    callback.on_train_end(trainer, None)
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_first_signal_asks_for_a_stop(stopping, number):
    callback, trainer = stopping
    assert not callback.stopped
    signal.raise_signal(number)
    assert callback.stopped
    assert trainer.should_stop


def test_several_ranks_stop_after_the_same_step(stopping, monkeypatch):
    """Not where the signal finds each of them; a validation that follows a step belongs to it."""
    callback, trainer = stopping
    monkeypatch.setattr("papo.ranks.count", lambda: 2)
    monkeypatch.setattr("papo.ranks.gathered", lambda value: [False, value])
    signal.raise_signal(signal.SIGTERM)
    assert (callback.stopped, trainer.should_stop) == (False, False)
    trainer.state = SimpleNamespace(fn=TrainerFn.VALIDATING)
    callback.on_validation_end(trainer, None)
    assert (callback.stopped, trainer.should_stop) == (False, False)
    trainer.state.fn = TrainerFn.FITTING
    callback.on_validation_end(trainer, None)
    assert (callback.stopped, trainer.should_stop) == (True, True)


def test_a_step_to_which_nothing_was_asked_goes_by(stopping):
    callback, trainer = stopping
    callback.on_train_batch_end(trainer, None, None, None, 0)
    assert (callback.stopped, trainer.should_stop) == (False, False)


def test_the_second_signal_does_not_wait(stopping):
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_other_threads_leave_signals_alone():
    """Where signal.signal would raise."""
    before, errors = signal.getsignal(signal.SIGINT), []

    def work():
        try:
            callback, trainer = GracefulStop(), make_trainer()
            callback.on_train_start(trainer, None)
            callback.on_train_end(trainer, None)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert signal.getsignal(signal.SIGINT) is before


# ---------------------------------------------------------------------------------------------------------- roll-outs


def test_steps_that_will_be_repeated_are_dropped(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    lines = [json.dumps({"step": step, "text": "ä\n"}, ensure_ascii=False) + "\n" for step in (1, 1, 2, 2, 3, 3)]
    path.write_text("".join(lines))
    StepLog(tmp_path, 1).on_fit_start(None, SimpleNamespace(step=2))
    assert path.read_text() == "".join(lines[:4])
    StepLog(tmp_path, 1).on_fit_start(None, SimpleNamespace(step=0))
    assert path.read_text() == ""


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    """Whatever killed the process while it wrote."""
    path = tmp_path / "rollouts.jsonl"
    path.write_text('{"step": 1, "text": "whole"}\n{"step": 2, "te')
    StepLog(tmp_path, 1).on_fit_start(None, SimpleNamespace(step=2))
    assert path.read_text() == '{"step": 1, "text": "whole"}\n'


def test_without_a_record_there_is_nothing_to_drop(tmp_path):
    StepLog(tmp_path, 1).on_fit_start(None, SimpleNamespace(step=2))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- held out


@pytest.fixture
def validate(tmp_path):
    """Each item's row of a validation at a step."""

    def validate(callback: HeldOutLog, step: int, *items: str, idle=False) -> list[tuple[int, str]]:
        module = SimpleNamespace(step=step, idle=idle, held_out_rows=[{"step": step, "item": item} for item in items])
        callback.on_validation_end(None, module)
        lines = map(json.loads, (tmp_path / "held_out.jsonl").read_text().splitlines())
        return [(row["step"], row["item"]) for row in lines]

    return validate


def test_each_validation_adds_its_rows(tmp_path, validate):
    callback = HeldOutLog(tmp_path)
    assert validate(callback, 0, "a", "b") == [(0, "a"), (0, "b")]
    assert validate(callback, 2, "a") == [(0, "a"), (0, "b"), (2, "a")]
    assert validate(callback, 3, idle=True) == [(0, "a"), (0, "b"), (2, "a")]
    assert validate(callback, 2, "a", "b") == [(0, "a"), (0, "b"), (2, "a"), (2, "b")]  # all items instead of a few


def test_a_run_in_a_used_directory_begins_anew(tmp_path, validate):
    validate(HeldOutLog(tmp_path), 0, "old")
    validate(HeldOutLog(tmp_path), 4, "old")
    assert validate(HeldOutLog(tmp_path), 0, "new") == [(0, "new")]


def test_a_resumed_run_has_each_row_once(tmp_path, validate):
    first = HeldOutLog(tmp_path)
    for step in (0, 2, 4):
        validate(first, step, "a")
    second = HeldOutLog(tmp_path)
    second.on_fit_start(None, SimpleNamespace(step=3))
    assert validate(second, 4, "b") == [(0, "a"), (2, "a"), (4, "b")]


@pytest.mark.parametrize(("every", "expected"), [(1, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 3, 5, 7]), (5, [1, 6]), (20, [1])])
def test_samples_are_shown_at_the_first_step_and_then_now_and_again(tmp_path, monkeypatch, every, expected):
    shown = []
    monkeypatch.setattr(StepLog, "log_samples", lambda self, trainer, module, rollouts: shown.append(module.step))
    monkeypatch.setattr("papo.training.callbacks.records", lambda rollouts, step: [(0, {"step": step})])
    log = StepLog(tmp_path, every)
    trainer = SimpleNamespace(logger=Board(tmp_path))
    for step in range(1, 8):
        metrics = {"reward/mean": 0.0, "time/step": 1.0}
        module = SimpleNamespace(
            step=step,
            metrics=metrics,
            rollouts=object(),
            objective=PAPO,
            log_dict=lambda *args, **kwargs: None,
        )
        log.on_train_batch_end(trainer, module, None, None, 0)
    assert shown == expected
    assert [json.loads(line)["step"] for line in (tmp_path / "rollouts.jsonl").open()] == list(range(1, 8))


def test_other_loggers_have_no_place_for_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(StepLog, "log_samples", lambda *args: pytest.fail("shown"))
    monkeypatch.setattr("papo.training.callbacks.records", lambda rollouts, step: [(0, {"step": step})])
    logged = []
    trainer = SimpleNamespace(logger=SimpleNamespace(log_metrics=lambda metrics, step: logged.append(step)))
    module = SimpleNamespace(
        step=1,
        metrics={"time/step": 1.0},
        rollouts=object(),
        objective=PAPO,
        log_dict=lambda *args, **kwargs: None,
    )
    StepLog(tmp_path, 1).on_train_batch_end(trainer, module, None, None, 0)
    assert logged == [1]


@pytest.mark.parametrize(("make", "name"), [(Checkpointer, "every"), (StepLog, "images_every")])
def test_no_steps_between_is_refused(make, name, tmp_path):
    with pytest.raises(SettingError, match=f"^{name} must be at least 1, got 0"):
        make(tmp_path, 0)


class Board(TensorBoardLogger):
    def log_metrics(self, metrics, step) -> None: ...


def test_a_step_without_a_group_alive_is_logged_without_responses(tmp_path):
    logged, bar = [], {}
    trainer = SimpleNamespace(logger=SimpleNamespace(log_metrics=lambda metrics, step: logged.append((step, metrics))))
    module = SimpleNamespace(
        step=3,
        metrics={"time/step": 1.0},
        rollouts=None,
        objective=PAPO,
        log_dict=lambda values, **kwargs: bar.update(values),
    )
    StepLog(tmp_path, 1).on_train_batch_end(trainer, module, None, None, 0)
    assert logged == [(3, {"time/step": 1.0})]
    assert bar == {"s/step": 1.0}
    assert not (tmp_path / "rollouts.jsonl").exists()


@pytest.mark.parametrize("train_vision", [True, False])
def test_the_tokens_of_the_first_group_are_coloured_by_their_perception_kl(
    make_module, prompts, monkeypatch, train_vision
):
    drawn = {}
    monkeypatch.setattr(callbacks, "token_heat", lambda *cells, **labels: drawn.update(labels, cells=cells))
    module = fit(make_module(train_vision=train_vision), prompts)
    group = module.rollouts.select([0])
    callbacks.divergence_figure(module, group, "corrupted")
    tokens, kl = drawn["cells"]
    for g in range(G):
        assert "".join(tokens[g]).startswith(group.texts[g][:3])
        assert len(tokens[g]) == len(kl[g]) == int(group.responses.response_mask[g].sum())
    assert drawn["row_labels"] == [f"{result.total:.2f}" for result in group.rewards]
    assert all(value >= 0 for row in kl for value in row)
    assert max(max(row) for row in kl) > 0
    monkeypatch.setattr(callbacks, "FIGURE_ROWS", 2)
    monkeypatch.setattr(callbacks, "FIGURE_TOKENS", 1)
    callbacks.divergence_figure(module, group, "corrupted")
    short, values = drawn["cells"]
    assert short == [row[:1] for row in tokens[:2]]
    assert values == [row[:1] for row in kl[:2]]


def test_pictures_are_computed_in_the_precision_of_the_run(make_module, prompts, tmp_path, monkeypatch):
    """Outside of it some attention refuses float32 weights, and an adapter meets weights of another type."""
    found, original = [], callbacks.divergence_figure

    def figure(module, group, view):
        found.append((view, torch.is_autocast_enabled("cpu")))
        return original(module, group, view)

    monkeypatch.setattr(callbacks, "divergence_figure", figure)
    settings = {"precision": "bf16-mixed", "logger": Board(tmp_path), "callbacks": [StepLog(tmp_path, 1)]}
    fit(make_module(), prompts, **settings)
    assert found == [("corrupted", True)]
    assert not torch.is_autocast_enabled("cpu")
