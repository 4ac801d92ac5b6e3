"""The collapse monitor: what it scores, when it acts, what it does, and that it survives a restart."""

import math
from types import SimpleNamespace

import pytest

from papo.errors import SettingError
from papo.objective import Objective, PerceptionKL, Surrogate
from papo.training.collapse import CollapseMonitor, gibberish
from papo.training.history import History

HEALTHY = {
    "perception/kl": 0.3,
    "policy/entropy": 0.4,
    "policy/corrupted_entropy": 0.8,
    "policy/clip_frac_high": 0.0,
    "reward/mean": 0.5,
}


def monitor(on_collapse="warn", **settings) -> CollapseMonitor:
    return CollapseMonitor(
        **{"on_collapse": on_collapse, "threshold": 2.0, "window": 2, "lower_factor": 0.5} | settings,
        term="perception",
        divergence="perception/kl",
    )


class Run:
    """Enough of a run for a callback: steps with given metrics, what was logged, whether it was stopped."""

    def __init__(self, callback: CollapseMonitor, gamma: float = 0.01) -> None:
        self.callback, self.logged = callback, []
        logger = SimpleNamespace(log_metrics=lambda metrics, step: self.logged.append((step, metrics)))
        self.trainer = SimpleNamespace(logger=logger, should_stop=False)
        self.module = SimpleNamespace(
            step=0,
            metrics=dict(HEALTHY),
            damping={},
            history=History(),
            during=True,
            idle=False,
            objective=Objective("token-mean", surrogate=Surrogate(), perception=PerceptionKL(coef=gamma)),
        )

    def steps(self, count=1, **changes) -> dict[str, float] | None:
        for _ in range(count):
            self.module.step += 1
            self.module.metrics = HEALTHY | {name.replace("__", "/"): value for name, value in changes.items()}
            self.callback.on_train_batch_end(self.trainer, self.module, None, None, 0)
        return self.logged[-1][1] if self.logged else None

    def validate(self, step, readable, unlikely, repeated, **state) -> float | None:
        """The sign of gibberish at a validation of masked answers with these shares."""
        self.module.step = step
        shares = {"readable_masked": readable, "unlikely_masked": unlikely, "repeated_masked": repeated}
        self.module.history.add(step, {name: [share, share] for name, share in shares.items()})
        vars(self.module).update({"during": step > 0, "idle": False} | state)
        before = len(self.logged)
        self.callback.on_validation_end(self.trainer, self.module)
        return self.logged[-1][1]["collapse/gibberish"] if len(self.logged) > before else None


@pytest.mark.parametrize(
    ("changes", "part", "value"),
    [
        ({}, "kl", 0.0),
        ({"perception__kl": 3.0}, "kl", 1.0),
        ({"perception__kl": 0.3 * math.sqrt(10)}, "kl", 0.5),
        ({"perception__kl": 0.03}, "kl", 0.0),  # falling is no sign
        ({"perception__kl": 3e9}, "kl", 2.0),
        ({"policy__corrupted_entropy": 2.4}, "entropy", 1.0),
        ({"policy__entropy": 1.2, "policy__corrupted_entropy": 0.9}, "entropy", 1.0),
        ({"policy__entropy": 0.1, "policy__corrupted_entropy": 0.2}, "entropy", 0.0),  # as healthy training does
        ({"policy__entropy": 40.0}, "entropy", 2.0),
        ({"policy__clip_frac_high": 0.007}, "clip", 1.0),
        ({"reward__mean": 0.4}, "reward", 1.0),
        ({"reward__mean": 0.6}, "reward", 0.0),
    ],
)
def test_parts_of_the_score(changes, part, value):
    run = Run(monitor(threshold=100))
    run.steps(2)
    logged = run.steps(2, **changes)
    assert logged[f"collapse/{part}"] == pytest.approx(value)
    parts = [logged[f"collapse/{name}"] for name in ("kl", "entropy", "clip", "reward")]
    assert logged["collapse/score"] == pytest.approx(sum(parts))


def test_reward_is_compared_with_its_best_window():
    run = Run(monitor(threshold=100))
    run.steps(2)
    run.steps(2, reward__mean=0.7)
    assert run.steps(2, reward__mean=0.6)["collapse/reward"] == pytest.approx(1)


def test_entropy_is_compared_with_its_lowest_window():
    run = Run(monitor(threshold=100))
    run.steps(2)
    run.steps(2, policy__entropy=0.2)
    assert run.steps(2, policy__entropy=0.6)["collapse/entropy"] == pytest.approx(1)


def test_a_verdict_rests_on_a_window():
    run = Run(monitor(window=4, threshold=100))
    assert run.steps(3) is None
    assert run.steps(1) is not None
    assert run.steps(1, reward__mean=0.1)["collapse/reward"] == pytest.approx(1)  # 0.4 lower in one step of four


def test_a_run_without_the_term_is_not_watched():
    run = Run(monitor())
    run.module.metrics = {name: value for name, value in HEALTHY.items() if name != "perception/kl"}
    for _ in range(5):
        run.callback.on_train_batch_end(run.trainer, run.module, None, None, 0)
    assert run.logged == []


def test_what_no_term_measures_is_no_sign():
    """The watched term looks at another view than the entropies do, or there is none of them."""
    run = Run(monitor(threshold=100))
    measured = {"perception/kl": 0.3, "policy/entropy": 0.4, "reward/mean": 0.5}
    for kl in (0.3, 0.3, 3.0, 3.0):
        run.module.metrics = measured | {"perception/kl": kl}
        run.callback.on_train_batch_end(run.trainer, run.module, None, None, 0)
    logged = run.logged[-1][1]
    assert logged["collapse/kl"] == pytest.approx(1)
    assert logged["collapse/score"] == pytest.approx(1)


def collapsing(run, count=2):
    return run.steps(count, perception__kl=3.0, reward__mean=0.38)


def test_it_warns_once_and_names_it(capsys):
    run = Run(monitor("warn"))
    run.steps(2)
    assert capsys.readouterr().out == ""
    collapsing(run, 6)
    out = capsys.readouterr().out
    assert out.count("collapsing the policy") == 1
    assert "step 4" in out
    assert "kl 1.0" in out
    assert "reward 1.2" in out
    assert "its coefficient" in out
    assert not run.trainer.should_stop
    assert run.module.damping == {}


def test_below_the_threshold_nothing_happens(capsys):
    run = Run(monitor("stop", threshold=2.3))
    run.steps(2)
    collapsing(run, 6)
    assert capsys.readouterr().out == ""
    assert not run.trainer.should_stop


def test_it_stops(capsys):
    run = Run(monitor("stop"))
    run.steps(2)
    collapsing(run)
    assert (run.trainer.should_stop, run.module.ended_by) == (True, "monitor.on_collapse=stop")
    assert "stopping" in capsys.readouterr().out


def test_it_lowers_and_lowers_again_only_when_things_get_worse_from_there(capsys):
    run = Run(monitor("lower", window=3))
    run.steps(3)
    collapsing(run, 3)
    assert run.module.damping["perception"] == 0.5
    collapsing(run, 9)
    assert run.module.damping["perception"] == 0.5  # as bad as before, but no worse
    run.steps(3, perception__kl=30.0, reward__mean=0.26)
    assert run.module.damping["perception"] == 0.25
    assert "0.25 of its coefficient" in capsys.readouterr().out
    run.steps(6)
    assert run.module.damping["perception"] == 0.25


def test_it_survives_a_restart(capsys):
    first, whole = Run(monitor("lower")), Run(monitor("lower"))
    for run in (first, whole):
        run.steps(2)
        collapsing(run, 1)
    second = Run(monitor("lower"))
    second.callback.load_state_dict(first.callback.state_dict())
    second.module.step = first.module.step
    for run in (second, whole):
        collapsing(run, 1)
    assert second.logged[-1] == whole.logged[-1]
    assert second.module.damping == whole.module.damping == {"perception": 0.5}


def of_older(state):
    return {name: value for name, value in state.items() if name != "on_collapse"}


@pytest.mark.parametrize("saved", [lambda state: state, of_older], ids=["now", "of an older checkpoint"])
@pytest.mark.parametrize(("action", "did"), [("stop", (True, {})), ("lower", (False, {"perception": 0.5}))])
def test_what_has_warned_acts_when_it_goes_on_with_more_than_warnings(capsys, saved, action, did):
    """As its own words advise; and what goes on as it was warns no second time."""
    first = Run(monitor("warn"))
    first.validate(0, *BEFORE)
    first.steps(2)
    first.validate(first.module.step, 0.6, *BEFORE[1:])
    collapsing(first)
    assert capsys.readouterr().out.count("or set monitor.on_collapse") == 2
    state = saved(first.callback.state_dict())
    for sign in ("score", "gibberish"):
        for on_collapse, expected in ((action, did), ("warn", (False, {}))):
            run = Run(monitor(on_collapse))
            run.callback.load_state_dict(state)
            run.module.step, run.module.history = first.module.step, first.module.history
            if sign == "score":
                collapsing(run, 1)
            else:
                run.validate(20, 0.6, *BEFORE[1:])
            assert (run.trainer.should_stop, run.module.damping) == expected
            assert (capsys.readouterr().out == "") is (on_collapse == "warn")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_collapse": "panic"}, "^on_collapse must be one of warn, stop, lower, got 'panic'"),
        ({"threshold": 0}, "^threshold"),
        ({"window": 0}, "^window"),
        ({"lower_factor": 1}, "^lower_factor"),
        ({"lower_factor": -0.1}, "^lower_factor"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingError, match=message):
        monitor(**settings)


def test_a_first_step_that_is_no_number_does_not_silence_it():
    """Its NaN would be in the baseline for good."""
    run = Run(monitor())
    run.steps(perception__kl=math.nan)
    run.steps(2)
    assert run.steps(2, perception__kl=30.0)["collapse/kl"] == pytest.approx(2.0)


def test_nor_does_a_later_one_set_what_all_others_are_held_against():
    run = Run(monitor())
    run.steps(2)
    run.steps(reward__mean=math.inf)
    assert run.steps(2)["collapse/reward"] == 0.0


# --------------------------------------------------------------------------------------------------------- gibberish

BEFORE = (0.9, 0.03, 0.01)  # readable, unlikely, repeated


@pytest.mark.parametrize(
    ("now", "value"),
    [
        (BEFORE, 0.0),
        ((1.0, 0.0, 0.0), 0.0),  # better is no sign
        ((0.85, 0.03, 0.01), 1.0),
        ((0.9, 0.05, 0.01), 0.5),
        ((0.9, 0.07, 0.01), 1.0),
        ((0.9, 0.03, 0.11), 0.5),
        ((0.875, 0.06, 0.06), 0.75),  # the strongest of the three
        ((0.0, 0.5, 1.0), 2.0),
    ],
)
def test_gibberish_is_told_by_what_was_before_training(now, value):
    run = Run(monitor())
    assert run.validate(0, *BEFORE) is None
    assert run.validate(20, *now) == pytest.approx(value)


@pytest.mark.parametrize(("items", "value"), [(100, 0.1 / (2.5 * math.sqrt(0.25 / 100 + 0.24 / 100))), (4000, 2.0)])
def test_a_fall_is_measured_by_what_so_few_items_can_tell(items, value):
    """From 50 % to 40 %: of a hundred items no sign, of thousands twice the unit of 5 points."""
    still = {"unlikely_masked": [0.0] * 20, "repeated_masked": [0.0] * 20}
    before = {"readable_masked": [0.0, 1.0] * (items // 2)} | still
    now = {"readable_masked": [0.0] * (3 * items // 5) + [1.0] * (2 * items // 5)} | still
    assert gibberish(History(before, now)) == pytest.approx(value)


def test_fewer_items_of_an_unchanged_policy_are_no_sign():
    """Those in between are less readable than all, and as readable as they were."""
    before = {"readable_masked": [1.0] * 900 + [0.0] * 100}
    ids = [str(n) for n in range(1000)]
    history = History(before, {"readable_masked": [0.0] * 100}, {}, {"readable_masked": ids}, {})
    history.items_last = {"readable_masked": ids[900:]}
    assert gibberish(history) == 0.0
    history.items_last = {"readable_masked": ids[:100]}
    assert gibberish(history) == 20.0


def test_of_a_checkpoint_without_ids_the_means_are_compared():
    run = Run(monitor("stop"))
    measured = {"readable_masked": [1.0] * 1000, "unlikely_masked": [0.0] * 1000, "repeated_masked": [0.0] * 1000}
    run.module.history = History(measured, {name: [0.0] * 100 for name in measured})
    run.module.step, run.module.during, run.module.idle = 20, True, False
    assert gibberish(run.module.history) == 20.0
    run.callback.on_validation_end(run.trainer, run.module)
    assert run.trainer.should_stop


def test_what_is_said_of_fewer_items_compares_them_with_themselves(capsys):
    run = Run(monitor("warn"))
    run.module.step, run.module.during, run.module.idle = 20, True, False
    of = {name: ["a", "b"] for name in ("readable_masked", "unlikely_masked", "repeated_masked")}
    run.module.history.add(0, {name: [1.0, 0.5] for name in of}, of)
    run.module.history.add(20, {name: [0.0] for name in of}, {name: ["b"] for name in of}, during=True)
    run.callback.on_validation_end(run.trainer, run.module)
    assert (
        "0 % can be read, 50 % before training; 0 % of their tokens are rarer than chance, 50 %"
        in capsys.readouterr().out
    )


def test_a_run_without_the_term_is_watched_for_gibberish_too(capsys):
    run = Run(monitor("stop"))
    run.module.metrics = {"reward/mean": 0.5}
    run.validate(0, *BEFORE)
    run.validate(20, 0.6, *BEFORE[1:])
    assert (run.trainer.should_stop, run.module.ended_by) == (True, "monitor.on_collapse=stop")
    assert "stopping" in capsys.readouterr().out


def test_only_what_was_measured_within_training_is_looked_at(capsys):
    run = Run(monitor())
    run.validate(0, *BEFORE)
    assert run.validate(20, 0.1, 0.1, 0.1, idle=True) is None
    assert run.validate(20, 0.1, 0.1, 0.1, during=False) is None
    run.module.history = History({"accuracy": [1.0]}, {"accuracy": [1.0]})
    run.module.during = True
    run.callback.on_validation_end(run.trainer, run.module)
    assert run.logged == []
    assert capsys.readouterr().out == ""


def test_gibberish_is_named_once_in_its_own_words(capsys):
    run = Run(monitor("warn"))
    run.validate(0, *BEFORE)
    run.validate(10, 0.86, *BEFORE[1:])
    assert capsys.readouterr().out == ""
    for step in (20, 30):
        run.validate(step, 0.69, 0.05, 0.01)
    out = capsys.readouterr().out
    assert out.count("gibberish") == 1
    assert "step 20" in out
    assert "69 % can be read, 90 % before" in out
    assert "5 % of their tokens are rarer than chance, 3 % before" in out
    assert "lower perception_coef" in out
    assert not run.trainer.should_stop
    run.steps(2)
    collapsing(run)
    assert "collapsing the policy" in capsys.readouterr().out  # the other signs are not silenced by it


def test_gibberish_lowers_the_weight_and_again_only_when_it_gets_worse():
    run = Run(monitor("lower"))
    run.validate(0, *BEFORE)
    for step, readable, damping in ((10, 0.8, 0.5), (20, 0.76, 0.5), (30, 0.74, 0.25), (40, 0.74, 0.25)):
        run.validate(step, readable, *BEFORE[1:])
        assert run.module.damping == {"perception": damping}, step


def test_a_weight_that_no_term_has_is_not_lowered(capsys):
    """GRPO answers masked pictures too."""
    run = Run(monitor("lower"), gamma=0.0)
    del run.module.metrics["perception/kl"]
    run.validate(0, *BEFORE)
    run.validate(10, 0.6, *BEFORE[1:])
    assert run.module.damping == {}
    said = capsys.readouterr().out
    assert "gibberish" in said
    assert "is now" not in said


def test_nor_is_one_of_an_objective_without_the_term():
    run = Run(monitor("lower"))
    run.module.objective = Objective("token-mean", surrogate=Surrogate())
    run.validate(0, *BEFORE)
    run.validate(10, 0.6, *BEFORE[1:])
    assert run.module.damping == {}


@pytest.mark.parametrize(
    "metrics",
    [
        {"reward/mean": 0.0},  # perception.responses=correct, and no response of the step was right
        {"policy/skipped_steps": 1.0},  # no group of the step taught anything
        {},  # a run that goes on with the validation that it died in
    ],
)
def test_a_weight_is_lowered_whatever_the_last_step_measured(metrics, capsys):
    run = Run(monitor("lower"))
    run.validate(0, *BEFORE)
    run.module.metrics = metrics
    run.validate(10, 0.6, *BEFORE[1:])
    assert run.module.damping == {"perception": 0.5}
    assert "is now 0.5" in capsys.readouterr().out


def test_what_gibberish_it_has_acted_on_survives_a_restart():
    first, second = Run(monitor("lower")), Run(monitor("lower"))
    first.validate(0, *BEFORE)
    first.validate(10, 0.6, *BEFORE[1:])
    second.callback.load_state_dict(first.callback.state_dict())
    second.module.history = first.module.history
    second.validate(20, 0.6, *BEFORE[1:])
    assert second.module.damping == {}
