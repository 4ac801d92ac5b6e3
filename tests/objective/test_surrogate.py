"""The clipped surrogate against two nested loops over tokens."""

import math

import pytest
import torch

from papo.objective.surrogate import clipped_surrogate

LOW, HIGH = 0.2, 0.3


def one_token(ratio: float, advantage: float):
    """Loss, its gradient with respect to log pi, and metrics of a single token."""
    logprobs = torch.tensor([[math.log(ratio) - 2.0]], dtype=torch.float64, requires_grad=True)
    old = torch.full((1, 1), -2.0, dtype=torch.float64)
    weights = torch.ones(1, 1, dtype=torch.float64)
    loss, metrics = clipped_surrogate(
        logprobs, old, torch.tensor([advantage], dtype=torch.float64), weights, clip_low=LOW, clip_high=HIGH
    )
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


def test_against_a_loop_over_tokens():
    generator = torch.Generator().manual_seed(0)
    B, T = 7, 9
    old = -3 * torch.rand(B, T, generator=generator, dtype=torch.float64)
    new = (old + 0.4 * torch.randn(B, T, generator=generator, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(B, generator=generator, dtype=torch.float64)
    weights = torch.rand(B, T, generator=generator, dtype=torch.float64)
    weights[2, 4:] = 0

    total, low, high, ratio_mean = 0.0, 0.0, 0.0, 0.0
    for i in range(B):
        for t in range(T):
            ratio, advantage, w = (
                math.exp(new[i, t].item() - old[i, t].item()),
                advantages[i].item(),
                weights[i, t].item(),
            )
            bounded = min(max(ratio, 1 - LOW), 1 + HIGH)
            total -= w * min(ratio * advantage, bounded * advantage)
            ratio_mean += w * ratio
            low += w if advantage < 0 and ratio < 1 - LOW else 0
            high += w if advantage > 0 and ratio > 1 + HIGH else 0

    loss, metrics = clipped_surrogate(new, old, advantages, weights, clip_low=LOW, clip_high=HIGH)
    assert loss.item() == pytest.approx(total, abs=1e-12)
    assert low > 0
    assert high > 0
    assert metrics["clip_frac_low"].item() == pytest.approx(low, abs=1e-6)
    assert metrics["clip_frac_high"].item() == pytest.approx(high, abs=1e-6)
    assert metrics["ratio_mean"].item() == pytest.approx(ratio_mean, abs=1e-12)


def test_gradient_is_the_derivative():
    generator = torch.Generator().manual_seed(1)
    old = -torch.rand(3, 4, generator=generator, dtype=torch.float64)
    # Ratios of 0.74, 0.9, 1.1 and 1.42: both sides of both bounds, none on an edge.
    steps = torch.tensor([-0.3, -0.1, 0.1, 0.35], dtype=torch.float64)
    new = (old + steps).requires_grad_()
    advantages = torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    weights = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    torch.autograd.gradcheck(
        lambda x: clipped_surrogate(x, old, advantages, weights, clip_low=LOW, clip_high=HIGH)[0], new
    )


def test_only_the_updated_policy_gets_gradient():
    tensors = [torch.full((2, 3), -1.0, requires_grad=True) for _ in range(2)]
    advantages = torch.tensor([1.0, -1.0], requires_grad=True)
    loss, metrics = clipped_surrogate(*tensors, advantages, torch.ones(2, 3), clip_low=LOW, clip_high=HIGH)
    loss.backward()
    assert tensors[0].grad is not None
    assert tensors[1].grad is None
    assert advantages.grad is None
    assert not any(value.requires_grad for value in metrics.values())


@pytest.mark.parametrize("gap", [25.0, 1000.0])
def test_a_huge_ratio_stays_finite(gap):
    new = torch.tensor([[gap - 1, -gap - 1]], requires_grad=True)
    loss, _ = clipped_surrogate(
        new, torch.full((1, 2), -1.0), torch.tensor([-1.0]), torch.ones(1, 2), clip_low=LOW, clip_high=HIGH
    )
    loss.backward()
    # exp(+20) for the first token, the lower bound for the second.
    assert loss.item() == pytest.approx(math.exp(20) + 0.8, rel=1e-6)
    assert torch.equal(new.grad, torch.zeros(1, 2))
