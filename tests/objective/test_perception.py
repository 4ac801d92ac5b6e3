"""The perception term's own settings; its values are in test_kl, what it does in the loss in test_objective."""

import math

import pytest
import torch

from papo.errors import SettingError
from papo.objective import Branch, Evidence, PerceptionKL
from papo.objective.branch import CURRENT
from papo.types import Scores

CORRUPTED = Branch("current", "corrupted")
P, Q = math.log(0.5), math.log(0.1)


def test_defaults():
    """The released code's estimator and direction; what it gets wrong is off."""
    assert PerceptionKL(0.1) == PerceptionKL(
        coef=0.1,
        estimator="k3",
        direction="clean_to_corrupted",
        corrupted_gradient=True,
        recompute="update",
        cap=10.0,
        token_share=1.0,
        responses="all",
        schedule="constant",
        warmup_share=0.1,
        view="corrupted",
    )


@pytest.mark.parametrize(
    ("direction", "value"),
    [("clean_to_corrupted", 0.2 - math.log(0.2) - 1), ("corrupted_to_clean", 0.2 * math.log(0.2) - 0.2 + 1)],
)
def test_one_token_by_hand(direction, value):
    """pi = 0.5, pi_mask = 0.1: e^d = 0.2."""
    got = PerceptionKL(0.1, direction=direction).values(torch.tensor([[P]]), torch.tensor([[Q]]))
    assert got.item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "scales"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0]),
        ("warmup", [0, 0.625, 1, 1, 1]),
    ],
)
def test_schedules(schedule, scales):
    """At 0, 1/4, 1/2, 3/4 and the whole of the run; the warm-up takes 0.4 of it."""
    term = PerceptionKL(0.1, schedule=schedule, warmup_share=0.4)
    assert [term.scale(quarter / 4) for quarter in range(5)] == pytest.approx(scales, abs=1e-12)


def test_a_warm_up_over_the_whole_run_and_over_a_tenth():
    assert [PerceptionKL(0.1, schedule="warmup", warmup_share=1.0).scale(x) for x in (0.0, 0.3, 1.0)] == [0, 0.3, 1]
    assert PerceptionKL(0.1, schedule="warmup").scale(0.05) == 0.5
    late = PerceptionKL(0.1, schedule="warmup", warmup_share=0.2, start=0.5)
    assert [late.scale(x) for x in (0.4, 0.5, 0.6, 0.7, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])


def test_it_can_start_late():
    assert [PerceptionKL(0.1, start=0.5).scale(x) for x in (0.0, 0.49, 0.5, 1.0)] == [0, 0, 1, 1]
    assert PerceptionKL(0.1, start=0.5, schedule="linear").scale(0.6) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coef": -1.0}, "coef must be 0 (off) or positive, got -1.0"),
        ({"coef": math.nan}, "coef must be 0 (off) or positive, got nan"),
        ({"coef": math.inf}, "coef must be 0 (off) or positive, got inf"),
        ({"estimator": "k4"}, "estimator must be one of k1, k2, k3, full, got 'k4'"),
        (
            {"direction": "forward"},
            "direction must be one of clean_to_corrupted, corrupted_to_clean, got 'forward'",
        ),
        ({"recompute": "never"}, "recompute must be one of update, rollout, got 'never'"),
        ({"responses": "wrong"}, "responses must be one of all, correct, weighted, got 'wrong'"),
        ({"start": 1.0}, "start must lie in [0, 1), got 1.0"),
        ({"start": -0.1}, "start must lie in [0, 1), got -0.1"),
        ({"schedule": "step"}, "schedule must be one of constant, linear, cosine, warmup, got 'step'"),
        ({"view": "clean"}, "view must be another view than clean, which says nothing of the picture"),
        ({"cap": 0.0}, "cap must be positive, or null for none, got 0.0"),
        ({"cap": -1.0}, "cap must be positive, or null for none, got -1.0"),
        ({"token_share": 0.0}, "token_share must lie in (0, 1], got 0.0"),
        ({"token_share": 1.01}, "token_share must lie in (0, 1], got 1.01"),
        ({"warmup_share": 0.0}, "warmup_share must lie in (0, 1], got 0.0"),
        ({"warmup_share": 1.01}, "warmup_share must lie in (0, 1], got 1.01"),
    ],
)
def test_an_impossible_setting_names_itself(settings, message):
    with pytest.raises(SettingError) as error:
        PerceptionKL(**{"coef": 0.1} | settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "settings",
    [
        {"coef": 0.0},
        {"cap": 0.001},
        {"cap": None},
        {"token_share": 1.0},
        {"token_share": 0.001},
        {"warmup_share": 1.0},
        {"warmup_share": 0.001},
        {"recompute": "rollout"},
        {"view": "noised"},
    ],
)
def test_the_outermost_settings_are_possible(settings):
    term = PerceptionKL(**{"coef": 0.1} | settings)
    assert {name: getattr(term, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, (CURRENT, CORRUPTED, None)),
        ({"direction": "corrupted_to_clean"}, (CORRUPTED, CURRENT, None)),
        ({"corrupted_gradient": False}, (CURRENT, CORRUPTED, CORRUPTED)),
        ({"recompute": "rollout"}, (CURRENT, Branch("rollout", "corrupted"), Branch("rollout", "corrupted"))),
        ({"view": "noised", "corrupted_gradient": False}, (CURRENT, *[Branch("current", "noised")] * 2)),
    ],
)
def test_the_full_kl_is_asked_for_in_its_direction_and_with_what_is_constant(settings, asked):
    term, found = PerceptionKL(0.1, "full", **settings), []

    def full_kl(p, q, *, constant=None):
        found.append((p, q, constant))
        return torch.zeros(1, 1)

    nothing = torch.zeros(1, 1)
    scores = {branch: Scores(nothing, nothing) for branch in term.passes()}
    term.kl(Evidence(scores, *[nothing] * 5, full_kl=full_kl))
    assert found == [asked]
