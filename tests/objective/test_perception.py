"""The perception term's own settings; its values are in test_kl, what it does in the loss in test_objective."""

import math

import pytest
import torch

from papo.objective import PerceptionKL

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
        masks="prompt",
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


KEY = "algorithm.objective.perception"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coef": -1.0}, "perception_coef must be 0 (off) or positive, got -1.0"),
        ({"estimator": "k4"}, f"{KEY}.estimator must be one of k1, k2, k3, full, got 'k4'"),
        (
            {"direction": "forward"},
            f"{KEY}.direction must be one of clean_to_corrupted, corrupted_to_clean, got 'forward'",
        ),
        ({"recompute": "never"}, f"{KEY}.recompute must be one of update, rollout, got 'never'"),
        ({"responses": "wrong"}, f"{KEY}.responses must be one of all, correct, weighted, got 'wrong'"),
        ({"schedule": "step"}, f"{KEY}.schedule must be one of constant, linear, cosine, warmup, got 'step'"),
        ({"masks": "image"}, f"{KEY}.masks must be one of prompt, response, got 'image'"),
        ({"cap": 0.0}, f"{KEY}.cap must be positive, or null for none, got 0.0"),
        ({"cap": -1.0}, f"{KEY}.cap must be positive, or null for none, got -1.0"),
        ({"token_share": 0.0}, f"{KEY}.token_share must lie in (0, 1], got 0.0"),
        ({"token_share": 1.01}, f"{KEY}.token_share must lie in (0, 1], got 1.01"),
        ({"warmup_share": 0.0}, f"{KEY}.warmup_share must lie in (0, 1], got 0.0"),
        ({"warmup_share": 1.01}, f"{KEY}.warmup_share must lie in (0, 1], got 1.01"),
        (
            {"recompute": "rollout", "estimator": "full"},
            f"{KEY}.estimator=full needs {KEY}.recompute=update: the other branch's logits are not kept",
        ),
    ],
)
def test_an_impossible_setting_names_its_override(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
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
        {"masks": "response"},
    ],
)
def test_the_outermost_settings_are_possible(settings):
    term = PerceptionKL(**{"coef": 0.1} | settings)
    assert {name: getattr(term, name) for name in settings} == settings
