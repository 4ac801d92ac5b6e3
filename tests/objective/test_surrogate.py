"""The clipped surrogate by hand, one token at a time; against the slow one it is in test_objective."""

import math

import pytest
import torch

from papo.errors import SettingError
from papo.objective import Surrogate
from papo.objective.aggregation import weighted_sum

ONES = torch.ones(1, 1, dtype=torch.float64)


def loss_of(surrogate, logprobs, old_logprobs, advantages, mask, weights):
    """Loss and metrics; the metrics are weighed like the loss."""
    return surrogate.loss(
        logprobs, old_logprobs, advantages, mask, weights, lambda values: weighted_sum(values.detach(), weights)
    )


def one_token(ratio, advantage, **settings):
    """Loss, its gradient with respect to log pi, and metrics of a single token."""
    logprobs = torch.tensor([[math.log(ratio) - 2.0]], dtype=torch.float64, requires_grad=True)
    surrogate = Surrogate(**{"clip_low": 0.2, "clip_high": 0.3} | settings)
    advantages = torch.tensor([advantage], dtype=torch.float64)
    loss, metrics = loss_of(surrogate, logprobs, torch.full((1, 1), -2.0).double(), advantages, ONES > 0, ONES)
    loss.backward()
    return loss.item(), logprobs.grad.item(), {name: value.item() for name, value in metrics.items()}


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "clipped"),
    [
        (1.0, 2.0, 2.0, None),
        (1.25, 2.0, 2.5, None),  # above 1 + eps_l, still below 1 + eps_h
        (1.5, 2.0, 2.6, "high"),  # 1.3 * 2
        (1.5, -2.0, -3.0, None),  # min keeps the worse value: no bound on a growing bad token
        (0.9, -2.0, -1.8, None),
        (0.75, -2.0, -1.6, "low"),  # 0.8 * -2; inside 1 - eps_h, so the lower bound is eps_l
        (0.5, 2.0, 1.0, None),  # a good token that shrank is not bounded
        (0.5, 0.0, 0.0, None),
        (1.5, 0.0, 0.0, None),
    ],
)
def test_one_token(ratio, advantage, objective, clipped):
    loss, gradient, metrics = one_token(ratio, advantage)
    assert loss == pytest.approx(-objective, abs=1e-12)
    if clipped:
        assert gradient == 0.0
    else:
        assert gradient == pytest.approx(-ratio * advantage, abs=1e-12)  # d ratio / d log pi = ratio
    assert metrics["clip_frac_low"] == float(clipped == "low")
    assert metrics["clip_frac_high"] == float(clipped == "high")
    assert metrics["ratio_mean"] == pytest.approx(ratio)
    assert "clip_frac_dual" not in metrics


@pytest.mark.parametrize(("ratio", "advantage"), [(1.5, 2.0), (50.0, 2.0), (50.0, -2.0)])
def test_without_an_upper_bound_nothing_is_clipped_above(ratio, advantage):
    loss, gradient, metrics = one_token(ratio, advantage, clip_high=None)
    assert loss == pytest.approx(-ratio * advantage)
    assert gradient == pytest.approx(-ratio * advantage)
    assert metrics["clip_frac_high"] == 0.0


def test_without_an_upper_bound_the_lower_one_remains():
    loss, gradient, metrics = one_token(0.75, -2.0, clip_high=None)
    assert (loss, gradient, metrics["clip_frac_low"]) == (1.6, 0.0, 1.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "stopped"),
    [
        (2.9, -1.0, -2.9, False),
        (3.1, -1.0, -3.0, True),  # the floor c * A
        (100.0, -0.5, -1.5, True),
        (3.1, 1.0, 1.3, False),  # a good token has the upper bound
        (0.1, -1.0, -0.8, False),  # the lower bound is above the floor
        (3.1, 0.0, 0.0, False),
    ],
)
def test_dual_clip(ratio, advantage, objective, stopped):
    loss, gradient, metrics = one_token(ratio, advantage, dual_clip=3.0)
    assert loss == pytest.approx(-objective, abs=1e-12)
    assert metrics["clip_frac_dual"] == float(stopped)
    if stopped:
        assert gradient == 0.0
    elif objective < -1:
        assert gradient == pytest.approx(-objective, abs=1e-12)


def test_sequence_ratio_is_the_geometric_mean():
    """Ratios 2 and 1/8 over two tokens: sqrt(1/4) = 1/2; each token has half of the gradient, padding none."""
    logprobs = torch.tensor([[math.log(2), math.log(1 / 8), 7.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    weights = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    surrogate = Surrogate(clip_low=0.2, clip_high=0.3, ratio="sequence")
    loss, metrics = loss_of(
        surrogate, logprobs, torch.zeros(1, 3).double(), torch.tensor([3.0]).double(), mask, weights
    )
    loss.backward()
    assert loss.item() == pytest.approx(-1.5, abs=1e-12)
    assert metrics["ratio_mean"].item() == pytest.approx(0.5, abs=1e-12)
    assert logprobs.grad.tolist()[0] == pytest.approx([-0.75, -0.75, 0.0], abs=1e-12)


def test_sequence_ratio_is_clipped_as_one():
    """Ratios 4 and 1: the mean 2 is beyond the bound for both tokens, though one of them is not."""
    logprobs = torch.tensor([[math.log(4), 0.0]], dtype=torch.float64, requires_grad=True)
    surrogate = Surrogate(clip_low=0.2, clip_high=0.3, ratio="sequence")
    weights = torch.full((1, 2), 0.5).double()
    loss, metrics = loss_of(
        surrogate, logprobs, torch.zeros(1, 2).double(), torch.ones(1).double(), weights > 0, weights
    )
    loss.backward()
    assert loss.item() == pytest.approx(-1.3, abs=1e-12)
    assert metrics["clip_frac_high"].item() == 1.0
    assert logprobs.grad.tolist() == [[0.0, 0.0]]


def test_only_the_updated_policy_gets_gradient():
    tensors = [torch.full((2, 3), -1.0, requires_grad=True) for _ in range(2)]
    advantages = torch.tensor([1.0, -1.0], requires_grad=True)
    mask = torch.ones(2, 3, dtype=torch.bool)
    loss, metrics = loss_of(Surrogate(dual_clip=2.0), *tensors, advantages, mask, torch.ones(2, 3))
    loss.backward()
    assert tensors[0].grad is not None
    assert tensors[1].grad is None
    assert advantages.grad is None
    assert not any(metrics[name].requires_grad for name in metrics if name.startswith("clip"))


@pytest.mark.parametrize("gap", [25.0, 1000.0])
def test_a_huge_ratio_stays_finite(gap):
    new = torch.tensor([[gap - 1, -gap - 1]], requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    loss, _ = loss_of(Surrogate(), new, torch.full((1, 2), -1.0), torch.tensor([-1.0]), mask, torch.ones(1, 2))
    loss.backward()
    # exp(+20) for the first token, the lower bound for the second.
    assert loss.item() == pytest.approx(math.exp(20) + 0.8, rel=1e-6)
    assert torch.equal(new.grad, torch.zeros(1, 2))


@pytest.mark.parametrize("gap", [25.0, 1000.0])
def test_a_tiny_ratio_is_held_above_zero(gap):
    _, metrics = loss_of(Surrogate(), torch.full((1, 1), -gap - 1), -ONES, torch.ones(1), ONES > 0, ONES)
    assert metrics["ratio_mean"].item() == pytest.approx(math.exp(-20), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "step", "advantage", "settings"),
    [
        # 1 - (1 - r) and 1 + (r - 1) are exact here, so that the ratio meets its bound to the last bit.
        ("clip_frac_low", -0.5, -1.0, lambda r: {"clip_low": 1 - r}),
        ("clip_frac_high", 0.5, 1.0, lambda r: {"clip_high": r - 1}),
        ("clip_frac_dual", 0.5, -1.0, lambda r: {"dual_clip": r}),
    ],
)
def test_a_ratio_at_its_bound_still_has_a_gradient(name, step, advantage, settings):
    """So it is not among those that the bound stopped; beyond it it is."""
    for beyond in (0.0, 1e-9):
        ratio = torch.full((1, 1), step).double().exp().item()
        logprobs = torch.full((1, 1), step * (1 + beyond), dtype=torch.float64, requires_grad=True)
        advantages = torch.full((1,), advantage).double()
        loss, metrics = loss_of(Surrogate(**settings(ratio)), logprobs, 0 * ONES, advantages, ONES > 0, ONES)
        loss.backward()
        assert metrics[name].item() == float(beyond > 0)
        assert (logprobs.grad == 0).item() == (beyond > 0)


def test_defaults_are_those_of_grpo():
    assert Surrogate() == Surrogate(0.2, 0.2, None, "token", None, "k3", "corrupted")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_low": 0.0}, "clip_low must lie in (0, 1], got 0.0"),
        ({"clip_low": 1.01}, "clip_low must lie in (0, 1], got 1.01"),
        ({"clip_high": 0.0}, "clip_high must be positive, or null for no upper bound, got 0.0"),
        ({"clip_high": -0.3}, "clip_high must be positive, or null for no upper bound, got -0.3"),
        ({"dual_clip": 1.0}, "dual_clip must exceed 1, or be null for none, got 1.0"),
        ({"view": "clean"}, "view must be another view than clean, which says nothing of the picture"),
        ({"ratio": "word"}, "ratio must be one of token, sequence, got 'word'"),
        ({"visual_estimator": "k4"}, "visual_estimator must be one of k1, k2, k3, full, got 'k4'"),
        ({"visual_token_share": 0.0}, "visual_token_share must lie in (0, 1], or be null, got 0.0"),
        ({"visual_token_share": 1.01}, "visual_token_share must lie in (0, 1], or be null, got 1.01"),
    ],
)
def test_an_impossible_setting_names_itself(settings, message):
    with pytest.raises(SettingError) as error:
        Surrogate(**settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_low": 1.0},
        {"clip_low": 0.001},
        {"clip_high": 0.001},
        {"clip_high": None},
        {"dual_clip": 1.001},
        {"dual_clip": None},
        {"visual_token_share": 1.0},
        {"visual_token_share": 0.001},
    ],
)
def test_the_outermost_settings_are_possible(settings):
    surrogate = Surrogate(**settings)
    assert {name: getattr(surrogate, name) for name in settings} == settings
