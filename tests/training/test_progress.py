"""How far a run is, with and without a terminal."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import TQDMProgressBar

from papo.training import progress
from papo.training.history import History
from papo.training.progress import ProgressLines, make_progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which pass when they are told to."""
    at = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: at.seconds)
    return at


def steps(lines, module, clock, until, seconds):
    while module.step < until:
        module.step += 1
        clock.seconds += seconds
        module.metrics = {"reward/mean": module.step / 8}
        lines.on_train_batch_end(None, module, None, None, 0)


def test_a_line_every_thirty_seconds(clock, capsys):
    lines, history = ProgressLines(30), History(course={0: {"greedy": 0.25, "accuracy": 0.5}})
    module = SimpleNamespace(step=0, total_steps=10, history=history)
    lines.on_train_start(None, module)
    steps(lines, module, clock, 7, seconds=10)
    history.add(7, {"greedy": [1.0, 0.5]})
    clock.seconds += 5  # validating, which is part of the pace
    steps(lines, module, clock, 9, seconds=10)
    assert capsys.readouterr().out.splitlines() == [
        "step 3 of 10, reward 0.375, greedy 25.0 % after step 0, 70 s of training left",
        "step 6 of 10, reward 0.750, greedy 25.0 % after step 0, 40 s of training left",
        "step 9 of 10, reward 1.125, greedy 75.0 % after step 7, 11 s of training left",
    ]


def test_a_run_that_goes_on_counts_its_own_steps(clock, capsys):
    lines, history = ProgressLines(30), History(course={4: {"accuracy": 0.5}})
    module = SimpleNamespace(step=4, total_steps=10, history=history)
    lines.on_train_start(None, module)
    module.step, module.metrics = 5, {"loss/total": 1.0}  # supervised: no reward
    clock.seconds += 30
    lines.on_train_batch_end(None, module, None, None, 0)
    assert capsys.readouterr().out == "step 5 of 10, loss 1.000, accuracy 50.0 % after step 4, 150 s of training left\n"


def test_what_is_measured_is_said_too(clock, capsys):
    """Not where Lightning goes through the batches and nothing is."""
    trainer = SimpleNamespace(num_val_batches=[4, 2])
    for idle, said in ((False, "measuring after step 0: 5 of 6 batches\n"), (True, "")):
        lines, module = ProgressLines(30), SimpleNamespace(step=0, idle=idle)
        lines.on_validation_start(trainer, module)
        for loader, batch in ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)):
            clock.seconds += 7
            lines.on_validation_batch_end(trainer, module, None, None, batch, loader)
        assert capsys.readouterr().out == said


def test_one_of_several_processes_says_it(clock, capsys, monkeypatch):
    monkeypatch.setattr("papo.ranks.is_first", lambda: False)
    lines, module = ProgressLines(30), SimpleNamespace(step=0, total_steps=10, history=History())
    lines.on_train_start(None, module)
    steps(lines, module, clock, 9, seconds=10)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_a_bar(monkeypatch):
    settings = {"refresh_rate": 3, "seconds_between_lines": 30.0}
    assert isinstance(make_progress(**settings), ProgressLines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    bar = make_progress(**settings)
    assert isinstance(bar, TQDMProgressBar)
    assert bar.refresh_rate == 3
