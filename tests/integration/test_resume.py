"""Stopping and continuing: the result is that of never having stopped."""

import json
import re
import signal
import statistics

import pytest
import torch
from hydra.utils import get_object
from lightning import Callback
from replicas import picture, write_lines

from papo.data.sources.reading import Reading
from papo.run_dir import finished
from papo.settings import settings_of
from papo.study.runs import unfinished
from papo.training.papo import PapoModule
from papo.training.resume import apart

# Those of four_steps, but for pictures, which change nothing. Its learning rate does not depend on how long the run is
# meant to be.
SETTINGS = ["experiment=papo_qwen", "seed=3", "algorithm.schedule=constant"]

QUICK = ["val.samples=1", "val.blind=false", "val.greedy=false", "val.training_items=0", "trainer.checkpoint_every=1"]


def checkpoint(run) -> str:
    return f"ckpt_path={run.path / 'checkpoints' / 'last.ckpt'}"


def assert_same(resumed, four_steps):
    assert resumed.weights == four_steps.weights
    assert resumed.rollouts == four_steps.rollouts
    names = "name accuracy_before accuracy_after before after blind_before blind_after greedy_before greedy_after"
    names += " readable_masked_before readable_masked_after training_blind steps interrupted seed"
    for name in names.split():
        assert resumed.json()[name] == four_steps.json()[name], name
    got, expected = (run.scalars for run in (resumed, four_steps))
    for tag in ("loss/total", "perception/kl", "policy/grad_norm", "reward/mean"):
        assert got[tag] == expected[tag]


@pytest.fixture(autouse=True)
def handlers():
    """Whatever a test does, Ctrl-C ends pytest afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def at_step(monkeypatch):
    """Calls something in the midst of a step."""

    def at_step(step, action):
        original = PapoModule.training_step

        def training_step(module, batch, batch_idx):
            if module.step + 1 == step:
                action()
            original(module, batch, batch_idx)

        monkeypatch.setattr(PapoModule, "training_step", training_step)

    return at_step


def test_two_steps_and_two_more_are_four(train, four_steps):
    settings = [*SETTINGS, "trainer.images_every=2"]
    run = train(*settings, "trainer.max_steps=2")
    assert run.weights != four_steps.weights
    halfway = run.rollouts
    train(*settings, "trainer.max_steps=4", checkpoint(run), path=run.path)
    assert run.rollouts[: len(halfway)] == halfway
    assert_same(run, four_steps)


def test_refills_of_a_stream_go_on_where_they_were(train, tmp_path):
    rows = [{"id": f"r{n}", "question": f"{n}?", "answer": n % 10} for n in range(60)]
    settings = [f"data.train.path={write_lines(tmp_path / 'rows.jsonl', rows)}", "data.train.share=[0,1]"]
    settings += ["data=folder", "data.train.streaming=true", "data.val.size=2", "algorithm.max_refills=2", *QUICK]
    settings += ["algorithm.schedule=constant"]
    whole = train(*settings, "trainer.max_steps=3")
    assert sum(whole.scalars["group/refills"].values()) > 2
    run = train(*settings, "trainer.max_steps=2")
    assert torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["PromptData"]["refilled"] > 0
    train(*settings, "trainer.max_steps=3", checkpoint(run), path=run.path)
    assert run.rollouts == whole.rollouts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_run_stops_after_its_step_and_resumes(train, four_steps, at_step, monkeypatch, number):
    handler = signal.getsignal(number)
    at_step(2, lambda: signal.raise_signal(number))
    run = train(*SETTINGS, "trainer.max_steps=4", status=130)
    assert signal.getsignal(number) is handler
    metrics = run.json()
    assert (metrics["interrupted"], metrics["steps"], metrics["accuracy_after"]) == (True, 2, None)
    assert metrics["ended_by"] == "interrupted"
    assert metrics["accuracy_before"] == four_steps.json()["accuracy_before"]
    saved = torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["step"] == 2
    assert {line["step"] for line in run.rollouts} == {1, 2}

    monkeypatch.undo()
    train(*SETTINGS, "trainer.max_steps=4", checkpoint(run), path=run.path)
    assert_same(run, four_steps)
    assert run.held_out == four_steps.held_out


def test_a_run_that_was_killed_in_its_last_validation_is_finished(train, four_steps, monkeypatch, tmp_path):
    original = PapoModule.validation_step

    def validation_step(module, *arguments):
        if module.step == 4 and not module.during:
            raise RuntimeError("killed")
        original(module, *arguments)

    monkeypatch.setattr(PapoModule, "validation_step", validation_step)
    path = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        train(*SETTINGS, "trainer.max_steps=4", path=path)
    assert not (path / "metrics.json").exists()
    monkeypatch.undo()
    run = train(*SETTINGS, "trainer.max_steps=4", f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}", path=path)
    assert_same(run, four_steps)
    assert run.held_out == four_steps.held_out


@pytest.fixture
def while_measuring(monkeypatch):
    """Raises a signal in the validation before the first step, or after the last one."""

    def while_measuring(step, number):
        original = PapoModule.validation_step

        def validation_step(module, *arguments):
            if module.step == step and not module.during:
                signal.raise_signal(number)
                raise AssertionError("still here")
            original(module, *arguments)

        monkeypatch.setattr(PapoModule, "validation_step", validation_step)

    return while_measuring


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("step", [0, 1])
def test_a_signal_while_nothing_is_trained_stops_at_once(command, tiny, while_measuring, tmp_path, step, number):
    while_measuring(step, number)
    handler = signal.getsignal(number)
    finished = command("train.py", *tiny, "trainer.max_steps=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.status == 130
    assert signal.getsignal(number) is handler
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    said = f"ckpt_path={last} goes on" if step else "there is nothing to continue"
    assert finished.messages[-1].endswith(said)
    assert last.exists() is (step == 1)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_run_goes_on_with_the_settings_that_it_had(command, tiny, four_steps, tmp_path):
    """Or with others that are meant."""
    longer = [*tiny, *SETTINGS, "trainer.max_steps=5", "val.every=3", checkpoint(four_steps)]
    others = [*longer, "seed=4", "optimizer.lr=0.1", f"hydra.run.dir={tmp_path / 'run'}"]
    finished = command("train.py", *others)
    assert finished.status == 2
    message = finished.messages[-1]
    assert "of a run with other settings: seed=4 (was 3), optimizer.lr=0.1 (was " in message
    assert message.endswith("'resume.allow=[seed,optimizer.lr]'")
    assert not (tmp_path / "run").exists()
    assert command("train.py", *others, "resume.allow=[seed,optimizer]").status == 0
    moved = tmp_path / "elsewhere" / "last.ckpt"
    moved.parent.mkdir()
    moved.write_bytes((four_steps.path / "checkpoints" / "last.ckpt").read_bytes())
    finished = command("train.py", *tiny, *SETTINGS, f"ckpt_path={moved}", "trainer.max_steps=5", "seed=4",
                       f"hydra.run.dir={tmp_path / 'moved'}")  # fmt: skip
    assert finished.status == 0  # nothing is known of its run


def test_a_run_is_refused_where_others_are_held_out_than_it_began_with(train, brief, command, tmp_path, monkeypatch):
    """As of a run from before shares were hashed by picture; nothing is written, and nothing is lost."""
    rows = [{"question": f"{n}?", "answer": n, "image": f"{p}.png"} for p in range(16) for n in range(4)]
    for number in range(16):
        picture(number).save(tmp_path / f"{number}.png")
    path = write_lines(tmp_path / "rows.jsonl", rows)
    shares = ["data.train.share=[0,0.5]", "data.val.share=[0.5,1]", "data.max_bad_share=0.1"]
    settings = [*brief, "data=folder", f"data.train.path={path}", *shares]
    with monkeypatch.context() as patch:
        patch.setattr(Reading, "together", lambda reading, row, raw, place: reading.id(row, place))
        run = train(*settings, "trainer.max_steps=1")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    longer = [*settings, "trainer.max_steps=2", checkpoint(run), f"hydra.run.dir={run.path}"]
    finished = command("train.py", *longer)
    assert (finished.status, len(finished.messages)) == (2, 1), finished.err
    said = r"last\.ckpt: \d+ of the \d+ held-out items .* such as folder-\d+, .*'resume\.allow=\[data\.val\]'$"
    assert re.search(said, finished.messages[0])
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_what_is_trained_cannot_change_on_the_way(train, command, tiny):
    """What the optimizer remembers is of what it trained; and nothing is written before that is known."""
    run = train("model.train=[projector]", "trainer.max_steps=1", "val.samples=1")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    longer = ["trainer.max_steps=2", "val.samples=1", checkpoint(run), f"hydra.run.dir={run.path}"]
    finished = command("train.py", *tiny, *longer, "model.train=[projector,vision]", "resume.allow=[model.train]")
    assert (finished.status, len(finished.messages)) == (2, 1), finished.err
    assert re.search(r"trained \d+ tensors, and this one would train \d+: set model.train as it was", finished.err)
    assert f"export={run.path / 'checkpoints' / 'last.ckpt'}" in finished.err
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_run_asked_to_stop_in_its_last_step_is_finished(train, four_steps, at_step):
    at_step(4, lambda: signal.raise_signal(signal.SIGINT))
    run = train(*SETTINGS, "trainer.max_steps=4")
    assert not run.json()["interrupted"]
    assert_same(run, four_steps)


def test_an_interrupted_run_says_how_to_go_on(command, tiny, at_step, tmp_path):
    at_step(1, lambda: signal.raise_signal(signal.SIGINT))
    finished = command("train.py", *tiny, f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.status == 130
    assert "stopping after this step" in finished.out
    assert f"resume with ckpt_path={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}" in finished.out


def test_a_second_signal_stops_at_once(command, tiny, at_step, tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_step(2, twice)
    handler = signal.getsignal(signal.SIGINT)
    finished = command("train.py", *tiny, "trainer.checkpoint_every=1", f"hydra.run.dir={tmp_path / 'run'}")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert finished.status == 130
    assert finished.messages[-1] == f"stopped in the midst of training: ckpt_path={last} goes on"
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.load(last, weights_only=True)["step"] == 1
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("place", "step", "said"),
    [
        ("papo.policy.loading.read_weights", 0, "before anything was written: there is nothing to continue"),
        ("papo.training.callbacks.StepLog.on_fit_start", 0, "in the midst of training: there is nothing to continue"),
        ("papo.training.run.save", 4, "before the model was written: ckpt_path={last} goes on"),
        (
            "papo.policy.loading.ProcessorMixin.save_pretrained",
            4,
            "before the model was written: ckpt_path={last} goes on",
        ),
        ("papo.training.run.log_hyperparameters", 4, "when all was written: there is nothing to continue"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_anywhere_else_stops_at_once_and_says_how_to_go_on(
    command, tiny, four_steps, train, monkeypatch, tmp_path, place, step, said, number
):
    """Status, message and files agree, and what goes on comes to the end of the undisturbed run."""
    original, calls = get_object(place), []

    def asked(*arguments, **named):
        calls.append(place)
        signal.raise_signal(number)
        return original(*arguments, **named)

    monkeypatch.setattr(place, asked)
    handler, path = signal.getsignal(number), tmp_path / "run"
    settings = [*SETTINGS, "trainer.max_steps=4"]
    finished = command("train.py", *tiny, *settings, f"hydra.run.dir={path}")
    last = path / "checkpoints" / "last.ckpt"
    assert (finished.status, calls, signal.getsignal(number)) == (130, [place], handler)
    assert finished.messages[-1] == f"stopped {said.format(last=last)}"
    assert last.exists() == (step > 0)
    done = (path / "metrics.json").exists()
    assert done == ("all was written" in said)
    assert [*path.rglob("*.part")] == []
    monkeypatch.undo()
    if not done:
        again = f"ckpt_path={last}" if step else "overwrite=true"
        run = train(*settings, again, path=path)
        assert_same(run, four_steps)


def test_a_run_whose_time_is_over_is_not_finished(command, tiny, tmp_path):
    """Lightning's max_time counts all of a run's training: what goes on needs more of it, or none."""
    settings = [*tiny, *SETTINGS, *QUICK, "trainer.max_steps=3", f"hydra.run.dir={tmp_path / 'run'}"]
    short = "+trainer.lightning.max_time={microseconds: 1}"
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    for again in ([], [f"ckpt_path={last}"]):
        run = command("train.py", *settings, *again, short)
        assert run.status == 130
        assert (
            f"interrupted: trainer.lightning.max_time is over, resume with ckpt_path={last}, and more of it" in run.out
        )
        metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
        assert (metrics["steps"], metrics["interrupted"], metrics["accuracy_after"]) == (1, True, None)
        assert torch.load(last, weights_only=True)["step"] == 1
    assert command("train.py", *settings, f"ckpt_path={last}").status == 0
    assert finished(tmp_path / "run")["steps"] == 3


class SaidSo(Callback):
    """Any callback that ends a run as it means to."""

    def on_train_batch_end(self, trainer, *arguments):
        trainer.should_stop = True


def test_a_run_that_a_callback_ended_is_finished(train):
    mine = f"+callbacks.mine={{_target_: {__name__}.SaidSo}}"
    run = train(*QUICK, "trainer.max_steps=3", mine)
    assert finished(run.path)["steps"] == 1


def test_a_crash_loses_only_the_steps_since_the_checkpoint(train, four_steps, at_step, monkeypatch, tmp_path):
    """And the responses of the lost steps are not recorded twice."""

    def crash():
        raise RuntimeError("the power went out")

    at_step(4, crash)
    path = tmp_path / "run"
    settings = [*SETTINGS, "trainer.max_steps=4", "trainer.checkpoint_every=2"]
    with pytest.raises(RuntimeError, match="the power went out"):  # no mistake of the user: the traceback stays
        train(*settings, path=path)
    assert torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["step"] == 2
    assert '"step": 3' in (path / "rollouts.jsonl").read_text()

    monkeypatch.undo()
    run = train(*settings, f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}", path=path)
    assert_same(run, four_steps)


def test_a_finished_run_that_is_continued_and_dies_is_not_finished(train, at_step, monkeypatch):
    """Its figures and its model stay those of the first end, and that end can be had again."""
    settings = [*SETTINGS, *QUICK]
    run = train(*settings, "trainer.max_steps=2")
    before, weights = run.json(), run.weights
    for step in (3, 4):  # before anything is trained, and after a step that was saved

        def crash():
            raise RuntimeError("the power went out")

        at_step(step, crash)
        with pytest.raises(RuntimeError, match="the power went out"):
            train(*settings, "trainer.max_steps=4", checkpoint(run), path=run.path)
        monkeypatch.undo()
        assert finished(run.path) is None
        assert unfinished(run.path) == "interrupted"
        assert (run.json(), run.weights) == (before | {"interrupted": True}, weights)
        if step == 3:
            train(*settings, "trainer.max_steps=2", checkpoint(run), path=run.path)
            assert finished(run.path)["accuracy_after"] == before["accuracy_after"]
            before = run.json()
    train(*settings, "trainer.max_steps=4", checkpoint(run), path=run.path)
    assert finished(run.path)["steps"] == 4


def test_so_does_one_whose_checkpoint_is_older(train):
    """And does not know its length, which its folder's config.yaml has."""
    run = train(*QUICK, "trainer.max_steps=2")
    file = run.path / "checkpoints" / "last.ckpt"
    saved = torch.load(file, weights_only=True)
    del saved["total_steps"], saved["replanned"]
    torch.save(saved, file)
    rest = train(*QUICK, "trainer.max_steps=3", checkpoint(run), path=run.path)
    assert rest.json("provenance.json")["replanned"] == [{"step": 2, "max_steps": 2}]


def test_a_run_that_is_made_longer_than_its_schedule_was_planned_for_says_so(train, at_step, monkeypatch):
    """And is no unbroken run of that length to those who compare, however often it is continued."""
    whole = train(*QUICK, "trainer.max_steps=4")
    run = train(*QUICK, "trainer.max_steps=2")

    def crash():
        raise RuntimeError("the power went out")

    at_step(4, crash)
    with pytest.raises(RuntimeError, match="the power went out"):
        train(*QUICK, "trainer.max_steps=4", checkpoint(run), path=run.path)
    monkeypatch.undo()
    rest = train(*QUICK, "trainer.max_steps=4", checkpoint(run), path=run.path)
    assert rest.json("provenance.json")["replanned"] == [{"step": 2, "max_steps": 2}]
    assert whole.json("provenance.json")["replanned"] == []
    had, asked = settings_of(run.path), settings_of(whole.path)
    assert {key: value for key, value in had.items() if asked.get(key) != value} == {
        "trainer.max_steps.before": "2 up to step 2"
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["algorithm.schedule=constant"], None),
        ([], "learning rate x 0.51 instead of x 0.856 at step 2"),
        (
            ["algorithm.schedule=constant", "experiment=papo_qwen", "algorithm.objective.perception.schedule=linear"],
            "perception x 0.5 instead of x 0.75 at step 2",
        ),
    ],
)
def test_what_changes_with_the_length_of_a_run_is_named(train, settings, said):
    """At one step: the last one behind had what the next has, 0.51 of the learning rate."""
    run = train(*QUICK, *settings, "trainer.max_steps=2")
    rest = train(*QUICK, *settings, "trainer.max_steps=4", checkpoint(run), path=run.path)
    lines = [line for line in rest.said.splitlines() if line.startswith("ckpt_path=")]
    assert lines == (
        []
        if said is None
        else [
            f"{checkpoint(run)}: its 2 steps were planned for trainer.max_steps=2, the next for 4 ({said}): "
            "this is not what one run of 4 steps would be"
        ]
    )
    assert len(rest.json("provenance.json")["replanned"]) == len(lines)


def test_factors_that_differ_are_told_apart():
    assert apart(0.51, 0.265) == "x 0.51 instead of x 0.265"
    assert apart(0.99951, 0.99962) == "x 0.9995 instead of x 0.9996"
    assert apart(1.0, 1 - 2**-53) == "x 1 instead of x 0.9999999999999999"


def test_a_run_can_continue_elsewhere(train, four_steps):
    first = train(*SETTINGS, *QUICK, "trainer.max_steps=3")
    second = train(*SETTINGS, *QUICK, "trainer.max_steps=4", checkpoint(first))
    assert second.weights == four_steps.weights
    assert second.rollouts == [line for line in four_steps.rollouts if line["step"] == 4]
    assert first.json()["steps"] == 3


def test_what_was_held_out_is_recorded_once(train, at_step, monkeypatch, tmp_path):
    """Stopped at a step that is validated, and lost at one that was."""
    settings = [*SETTINGS, "trainer.max_steps=6", "val.every=2", "val.items=2", "trainer.checkpoint_every=1"]
    whole = train(*settings)
    path = tmp_path / "run"

    def crash():
        raise RuntimeError("the power went out")

    at_step(2, lambda: signal.raise_signal(signal.SIGINT))
    train(*settings, path=path, status=130)
    monkeypatch.undo()
    at_step(6, crash)
    settings += [f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}"]
    with pytest.raises(RuntimeError, match="the power went out"):
        train(*settings, "trainer.checkpoint_every=3", path=path)
    assert torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["step"] == 3
    monkeypatch.undo()
    run = train(*settings, path=path)
    assert run.held_out == whole.held_out
    assert [row["step"] for row in whole.held_out if row["measure"] == "greedy"] == [0] * 4 + [2] * 2 + [4] * 2 + [
        6
    ] * 4
    saved = [torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (run.path, whole.path)]
    assert saved[0]["history"] == saved[1]["history"]


@pytest.mark.parametrize(("patience", "deaths"), [("null", [2, 2, 4]), ("1", [2, 2])])
def test_a_validation_that_the_run_died_in_is_made_again(train, monkeypatch, tmp_path, patience, deaths):
    """Else the best checkpoint, and the end of a run that gets no better, would be others."""
    settings = [*SETTINGS, "trainer.max_steps=6", "val.every=2", "val.items=2", "trainer.checkpoint_every=1"]
    settings += ["callbacks=best", f"callbacks.best.patience={patience}"]
    whole = train(*settings)
    original, path = PapoModule.validation_step, tmp_path / "run"

    def validation_step(module, *arguments):
        if module.during and module.step == deaths[0]:
            deaths.pop(0)
            raise RuntimeError("killed")
        original(module, *arguments)

    monkeypatch.setattr(PapoModule, "validation_step", validation_step)
    again = []
    for _ in [*deaths]:
        with pytest.raises(RuntimeError, match="killed"):
            train(*settings, *again, path=path)
        again = [f"ckpt_path={path / 'checkpoints' / 'last.ckpt'}"]
    monkeypatch.undo()
    run = train(*settings, *again, path=path)
    assert run.held_out == whole.held_out
    kept = [torch.load(each / "checkpoints" / "best.ckpt", weights_only=True)["step"] for each in (path, whole.path)]
    assert kept[0] == kept[1]
    saved = [torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (path, whole.path)]
    assert saved[0]["callbacks"]["Best"] == saved[1]["callbacks"]["Best"]
    assert saved[0]["history"] == saved[1]["history"]
    assert (run.json()["steps"], run.json()["interrupted"]) == (whole.json()["steps"], False)


def test_a_weight_that_such_a_validation_lowers_is_lowered(train, monkeypatch, tmp_path):
    """The step before it was another process's."""
    path = tmp_path / "run"
    settings = [*SETTINGS, *QUICK, "trainer.max_steps=2", "val.every=1", "val.items=2", "monitor.on_collapse=lower"]
    monkeypatch.setattr("papo.training.collapse.gibberish", lambda history: 1.5)
    original = PapoModule.validation_step

    def validation_step(module, *arguments):
        if module.during and module.step == 1:
            raise RuntimeError("killed")
        original(module, *arguments)

    monkeypatch.setattr(PapoModule, "validation_step", validation_step)
    with pytest.raises(RuntimeError, match="killed"):
        train(*settings, path=path)
    monkeypatch.setattr(PapoModule, "validation_step", original)
    last = path / "checkpoints" / "last.ckpt"
    run = train(*settings, f"ckpt_path={last}", path=path)
    assert "the weight of the perception term is now 0.1" in run.said
    assert torch.load(last, weights_only=True)["damping"] == {"perception": 0.1}


def test_a_checkpoint_of_before_has_its_validation_and_what_was_best_by_other_items_is_forgotten(
    train,
):
    """Its validations in between were of other items. No answer is better than what it remembers as the best."""
    settings = [*SETTINGS, "val.every=1", "val.items=2", "trainer.checkpoint_every=1"]
    settings += ["callbacks=best", "callbacks.best.patience=2", "algorithm.schedule=constant"]
    first = train(*settings, "trainer.max_steps=3")
    last = first.path / "checkpoints" / "previous.ckpt"  # of step 2
    saved = torch.load(last, weights_only=True)
    del saved["history"]["items_during"], saved["history"]["last_step"]
    saved["callbacks"]["Best"] = {"best": 2.0, "step": 1, "worse": 1}
    torch.save(saved, last)
    run = train(*settings, "trainer.max_steps=4", f"ckpt_path={last}")
    assert sorted({row["step"] for row in run.held_out}) == [3, 4]
    assert run.json()["steps"] == 4
    assert torch.load(run.path / "checkpoints" / "best.ckpt", weights_only=True)["step"] == 3
    assert "what was best by them, step 1, says nothing here" in run.said


def test_validation_comes_at_the_same_steps(train):
    """Multiples of val.every from step 0, wherever the run was interrupted."""
    settings = ["val.every=2", "val.blind=false", "val.greedy=false", "val.masked=null", "val.training_items=0"]
    half = train(*settings, "trainer.max_steps=3")
    rest = train(*settings, "trainer.max_steps=6", checkpoint(half))
    assert (sorted(half.scalars["val/avg@2"]), sorted(half.scalars["course/accuracy"])) == ([0, 3], [0, 2, 3])
    assert (sorted(rest.scalars["val/avg@2"]), sorted(rest.scalars["course/accuracy"])) == ([6], [4, 6])


def test_what_a_run_cost_is_of_all_its_sessions(train, monkeypatch, tmp_path):
    """As its steps are; and of the rest alone where an older checkpoint does not say."""
    settings = [*SETTINGS, *QUICK, "trainer.max_steps=2"]
    path, peak = tmp_path / "run", iter([3.0] * 3 + [2.0] * 9)  # two checkpoints and the end
    monkeypatch.setattr("papo.training.cost.peak_memory_gib", lambda: next(peak))
    whole = train(*settings, path=path)
    first = whole.json()
    saved = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
    cost = saved["cost"]
    assert 0 < sum(cost["step_seconds"]) < cost["seconds"] < first["seconds"]
    cost["seconds"] += 1000
    torch.save(saved, path / "checkpoints" / "last.ckpt")
    run = train(*settings, checkpoint(whole), "trainer.max_steps=3", path=path).json()
    assert 1000 < run["seconds"] < 1000 + 2 * 600
    assert run["peak_memory_gib"] == 3
    ends = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
    assert ends["cost"]["step_seconds"][:2] == cost["step_seconds"]
    assert run["seconds_per_step"] == statistics.median(ends["cost"]["step_seconds"])
    del ends["cost"]
    torch.save(ends, path / "checkpoints" / "last.ckpt")
    older = train(*settings, checkpoint(whole), "trainer.max_steps=4", path=path).json()
    assert older["seconds"] < 1000
    assert older["peak_memory_gib"] == 2


def test_a_new_learning_rate_is_obeyed(train):
    half = train(*QUICK, "trainer.max_steps=2", "optimizer.lr=1e-2")
    rest = train(*QUICK, "trainer.max_steps=3", "optimizer.lr=1e-30", "optimizer.weight_decay=0", checkpoint(half),
                 "resume.allow=[optimizer]")  # fmt: skip
    assert rest.weights == half.weights
    assert rest.json()["steps"] == 3


def test_a_checkpoint_is_read_from_its_file_and_let_go_of(train, at_step, monkeypatch):
    """No process holds all of it in memory; and none needs the file any more when a next one takes its place."""
    settings = [*QUICK, "algorithm.schedule=constant"]
    whole, half = (train(*settings, f"trainer.max_steps={steps}") for steps in (3, 2))
    file, mapped, load = half.path / "checkpoints" / "last.ckpt", [], torch.load

    def loaded(*args, **kwargs):
        mapped.append(kwargs.get("mmap"))
        return load(*args, **kwargs)

    def spoilt():
        with file.open("r+b") as same:  # not another file of that name: what is mapped changes
            same.write(b"\xff" * file.stat().st_size)

    monkeypatch.setattr(torch, "load", loaded)
    at_step(3, spoilt)
    rest = train(*settings, "trainer.max_steps=3", checkpoint(half))
    assert len(mapped) > 2
    assert all(mapped)
    assert rest.weights == whole.weights


def test_optimizer_state_and_schedule_continue(train):
    """With a warm-up the learning rate depends on the step, and Adam's moments on all steps before."""
    settings = [*QUICK, "algorithm.schedule=constant", "algorithm.warmup_steps=5", "optimizer.lr=1e-2"]
    whole = train(*settings, "trainer.max_steps=3")
    half = train(*settings, "trainer.max_steps=2")
    rest = train(*settings, "trainer.max_steps=3", checkpoint(half))
    assert rest.weights == whole.weights
