"""How much of a run's own training questions its base answers blind: measured once, kept, and said at the end."""

import contextlib
from types import SimpleNamespace

import pytest
import torch
from papo_steps import SAMPLING

from papo.errors import SettingError
from papo.evaluation.answering import answer, blinded
from papo.rewards.grading import Grade, Verdict
from papo.rollout import NativeEngine
from papo.seeding import derive_seed
from papo.statistics import mean_over_items
from papo.training.blind import TrainingBlind, training_blind, training_lines


@pytest.fixture(autouse=True)
def graded(monkeypatch):
    """Responses of an even number of characters are right; "wide" cannot be graded."""

    def grade(item, response):
        right = Verdict.CORRECT if len(response) % 2 == 0 else Verdict.WRONG
        return Grade(Verdict.UNSCORABLE if item.id == "wide" else right, response, "")

    monkeypatch.setattr("papo.evaluation.answering.grade", grade)


@pytest.fixture
def module(policy, processor):
    engine = NativeEngine()
    engine.sync(policy, 0)
    device = torch.device("cpu")
    return SimpleNamespace(policy=policy, processor=processor, engine=engine, seed=3, step=0, device=device)


@pytest.fixture
def trainer(items):
    data = SimpleNamespace(first=lambda count: list(items[:count]), val_batch_size=2)
    precision = SimpleNamespace(forward_context=contextlib.nullcontext)
    return SimpleNamespace(datamodule=data, precision_plugin=precision)


def test_the_first_items_are_answered_blind(module, trainer, items):
    callback = TrainingBlind(4, 6, SAMPLING)
    callback.on_validation_end(trainer, module)
    shown = blinded(module.processor.prompts(items[:4]))
    answered, _ = answer(
        module.policy,
        module.engine,
        module.processor,
        shown,
        k=6,
        sampling=SAMPLING,
        seed=derive_seed("training-blind", module.seed),
    )
    expected = mean_over_items([item.accuracy for item in answered if item.item.id != "wide"])
    assert callback.estimate == expected
    assert (expected.n, 0 < expected.mean < 1) == (3, True)


def test_the_draws_are_not_those_that_may_have_chosen_the_items(module, trainer, monkeypatch):
    """evaluate.py guessable=true draws by the seed itself: what data.max_guessable kept by chance would pass twice."""
    drawn_by = []
    sample = module.engine.sample
    monkeypatch.setattr(
        module.engine, "sample", lambda *given: (drawn_by.append(list(given[4])), sample(*given))[1], raising=False
    )
    TrainingBlind(2, 3, SAMPLING).on_validation_end(trainer, module)
    shown = blinded(module.processor.prompts(trainer.datamodule.first(2)))
    answer(module.policy, module.engine, module.processor, shown, k=3, sampling=SAMPLING, seed=module.seed)
    of_run, of_evaluation = drawn_by
    assert len(of_run) == len(of_evaluation) == 2
    assert not {*of_run} & {*of_evaluation}


def test_the_base_answers_in_the_precision_of_the_run(module, trainer):
    """Lightning calls callbacks outside of it."""
    inside = []

    @contextlib.contextmanager
    def context():
        inside.append(True)
        yield
        inside.pop()

    trainer.precision_plugin.forward_context = context
    sample = module.engine.sample
    module.engine.sample = lambda *args, **kwargs: (found.append(bool(inside)), sample(*args, **kwargs))[1]
    found: list[bool] = []
    TrainingBlind(2, 1, SAMPLING).on_validation_end(trainer, module)
    assert found == [True]


def test_it_is_measured_once_and_of_the_base(module, trainer):
    callback = TrainingBlind(4, 2, SAMPLING)
    module.step = 5
    callback.on_validation_end(trainer, module)
    assert callback.estimate is None
    module.step = 0
    callback.on_validation_end(trainer, module)
    found = callback.estimate
    trainer.datamodule = None  # would fail
    callback.on_validation_end(trainer, module)
    assert callback.estimate is found


def test_off_it_does_nothing(module):
    callback = TrainingBlind(0, 2, SAMPLING)
    callback.on_validation_end(SimpleNamespace(datamodule=None), module)
    assert callback.estimate is None
    with pytest.raises(SettingError, match=r"^items must be 0 \(off\) or positive, got -1"):
        TrainingBlind(-1, 2, SAMPLING)


@pytest.mark.parametrize("measured", [None, mean_over_items([0.5, 1.0, 0.25])])
def test_it_goes_with_checkpoints(measured):
    first, second = TrainingBlind(4, 2, SAMPLING), TrainingBlind(4, 2, SAMPLING)
    first.estimate = measured
    second.load_state_dict(first.state_dict())
    assert second.estimate == measured
    assert training_blind(SimpleNamespace(callbacks=[object(), second])) == measured


def test_the_line_of_the_table():
    assert training_lines(None) == []
    measured = {"mean": 0.613, "ci95": [0.5, 0.7], "n": 64}
    assert training_lines(measured) == ["training questions answered blind by the base: 61.3 [50.0, 70.0] % (64 items)"]
    assert training_blind(SimpleNamespace(callbacks=[])) is None
