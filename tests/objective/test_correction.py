"""Truncated importance weights: exact expectations over everything that an engine could have drawn."""

import itertools
import math

import pytest
import torch

from papo.arguments import from_settings
from papo.errors import SettingError
from papo.objective import RolloutCorrection, Surrogate
from papo.objective.aggregation import weighted_sum

V = 3


def policy_of(parameters):
    """log pi(o_1), log pi(o_2 | o_1) of responses of two tokens, from logits [V] and [V, V]."""
    first, second = parameters[:V], parameters[V:].view(V, V)
    return first.log_softmax(-1), second.log_softmax(-1)


def every_response(length):
    return torch.tensor(list(itertools.product(range(V), repeat=length)))


def logprobs_of(parameters, responses):
    """[B, T] nats."""
    first, second = policy_of(parameters)
    found = [first[responses[:, 0]]]
    if responses.shape[1] == 2:
        found.append(second[responses[:, 0], responses[:, 1]])
    return torch.stack(found, -1)


def toy(seed=0):
    """A policy and an engine that is off by much, float64."""
    generator = torch.Generator().manual_seed(seed)
    policy = torch.randn(V + V * V, generator=generator, dtype=torch.float64)
    return policy, policy + 0.8 * torch.randn(V + V * V, generator=generator, dtype=torch.float64)


def reward(responses):
    """Of the whole response: unlike for each."""
    return (responses * torch.tensor([2.0, 5.0])[: responses.shape[1]]).sum(-1).double().sin()


def expected_gradient(policy, drawn_by, length, correction=None):
    """E over responses of `drawn_by` of the surrogate's gradient, by enumeration; pi_old is the policy."""
    policy = policy.clone().requires_grad_()
    responses = every_response(length)
    logprobs, engine = logprobs_of(policy, responses), logprobs_of(drawn_by, responses)
    mask = torch.ones_like(logprobs, dtype=torch.bool)
    importance = None
    if correction is not None:
        importance = correction.capped(correction.ratios(logprobs.detach(), engine, mask))
    chance = engine.sum(-1, keepdim=True).exp().detach()  # [B, 1]: the weight of a response in the expectation
    loss, _ = Surrogate().loss(
        logprobs, logprobs.detach(), reward(responses), mask, chance.expand_as(logprobs), torch.sum, importance
    )
    loss.backward()
    return policy.grad


def true_gradient(policy, length):
    """-grad E_pi[R], of the definition."""
    policy = policy.clone().requires_grad_()
    responses = every_response(length)
    (-(logprobs_of(policy, responses).sum(-1).exp() * reward(responses)).sum()).backward()
    return policy.grad


def same(a, b) -> bool:
    return torch.allclose(a, b, atol=1e-12, rtol=0)


UNCAPPED = {level: RolloutCorrection(cap=None, level=level) for level in ("token", "sequence")}


@pytest.mark.parametrize("seed", [0, 1])
def test_of_a_whole_response_it_is_unbiased(seed):
    policy, engine = toy(seed)
    truth = true_gradient(policy, 2)
    assert same(expected_gradient(policy, policy, 2), truth)  # the toy itself
    assert not same(expected_gradient(policy, engine, 2), truth)
    assert same(expected_gradient(policy, engine, 2, UNCAPPED["sequence"]), truth)


def test_of_a_token_it_is_unbiased_as_far_as_the_token_goes():
    """A response of one token; of two, what came before the second stays the engine's."""
    policy, engine = toy()
    assert not same(expected_gradient(policy, engine, 1), true_gradient(policy, 1))
    assert same(expected_gradient(policy, engine, 1, UNCAPPED["token"]), true_gradient(policy, 1))
    assert not same(expected_gradient(policy, engine, 2, UNCAPPED["token"]), true_gradient(policy, 2))


@pytest.mark.parametrize("cap", [0.5, 1.5])
def test_what_the_cap_takes_away(cap):
    """E_q[min(cap, p / q)] = sum_o min(cap q, p): short of 1 by what p has above cap q, and biased by as much."""
    policy, engine = toy()
    p, q = (policy_of(parameters)[0].exp() for parameters in (policy, engine))
    correction = RolloutCorrection(cap=cap)
    mask = torch.ones(V, 1, dtype=torch.bool)
    ratios = correction.ratios(p.log()[:, None], q.log()[:, None], mask)
    mean = (q * correction.capped(ratios)[:, 0]).sum()
    assert (ratios > cap).any()
    assert float(mean) == pytest.approx(1 - float((p - cap * q).clamp(min=0).sum()), abs=1e-12)
    assert not same(expected_gradient(policy, engine, 1, correction), true_gradient(policy, 1))
    largest = RolloutCorrection(cap=float(ratios.max()) + 1e-9)
    assert same(expected_gradient(policy, engine, 1, largest), true_gradient(policy, 1))


def test_a_row_by_hand():
    """Ratios 2, 1/2 and 3 of a response of three tokens; behind its end lies what nothing may look at."""
    old = torch.tensor([[2.0, 0.5, 3.0, math.nan], [4.0, math.nan, math.nan, math.nan]]).log()
    engine = torch.zeros(2, 4).masked_fill(old.isnan(), math.nan)
    mask = ~old.isnan()
    for level, cap, expected in (
        ("token", None, [[2, 0.5, 3, 1], [4, 1, 1, 1]]),
        ("token", 2.5, [[2, 0.5, 2.5, 1], [2.5, 1, 1, 1]]),
        ("sequence", None, [[3, 3, 3, 1], [4, 1, 1, 1]]),
        ("sequence", 3.5, [[3, 3, 3, 1], [3.5, 1, 1, 1]]),
    ):
        correction = RolloutCorrection(cap, level)
        found = correction.capped(correction.ratios(old, engine, mask))
        torch.testing.assert_close(found, torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_a_ratio_beyond_all_bounds_is_no_infinity():
    correction = RolloutCorrection(cap=None, level="sequence")
    ratios = correction.ratios(torch.zeros(1, 2), torch.full((1, 2), -300.0), torch.ones(1, 2, dtype=torch.bool))
    assert ratios.isfinite().all()


@pytest.mark.parametrize("settings", [{}, {"ratio": "sequence"}, {"dual_clip": 1.5}])
def test_weights_multiply_the_loss_of_their_token_and_carry_no_gradient(settings):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    mask, advantages = torch.ones(3, 4, dtype=torch.bool), random(3) - 0.5
    logprobs, old, weights = -random(3, 4) - 0.1, -random(3, 4) - 0.1, random(3, 4)
    importance = (2 * random(3, 4)).requires_grad_()
    losses, gradients = [], []
    for inside, outside in ((importance, weights), (None, weights * importance.detach())):
        leaf = logprobs.clone().requires_grad_()
        loss, _ = Surrogate(**settings).loss(
            leaf, old, advantages, mask, outside, lambda values: weighted_sum(values, weights), inside
        )
        loss.backward()
        losses.append(loss.item())
        gradients.append(leaf.grad)
    assert losses[0] == pytest.approx(losses[1], abs=1e-12)
    assert same(*gradients)
    assert importance.grad is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cap": 0.0}, r"^rollout_correction\.cap must be positive, or null for no bound, got 0\.0$"),
        ({"level": "word"}, r"^rollout_correction\.level must be one of token, sequence, got 'word'$"),
        ({"limit": 2}, r"^rollout_correction\.limit is unknown"),
        ({"cap": "two"}, r"^rollout_correction\.cap must be a number or null, got 'two'$"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(SettingError, match=message):
        from_settings(RolloutCorrection, settings, "rollout_correction")
