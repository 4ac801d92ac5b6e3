"""k3 against its formula and against the divergence that it is said to estimate; the perception term on top of it."""

import math

import pytest
import torch

from papo.objective.entropy import mean_entropy
from papo.objective.kl import LOG_RATIO_LIMIT, k3
from papo.objective.perception import perception_kl

# Two policies over five tokens, KL(p || q) = 0.530 and KL(q || p) = 0.371: a mixed-up direction is visible.
P = torch.tensor([0.50, 0.20, 0.15, 0.10, 0.05], dtype=torch.float64)
Q = torch.tensor([0.90, 0.05, 0.03, 0.015, 0.005], dtype=torch.float64)
NO_CAP = float("inf")


def kl(p, q):
    return (p * (p.log() - q.log())).sum().item()


@pytest.mark.parametrize("logp", [-0.1, -1.0, -5.0])
@pytest.mark.parametrize("logq", [-0.2, -1.0, -4.0])
def test_formula(logp, logq):
    value = k3(torch.tensor(logp, dtype=torch.float64), torch.tensor(logq, dtype=torch.float64), cap=NO_CAP)
    ratio = math.exp(logq) / math.exp(logp)
    assert value.item() == pytest.approx(ratio - math.log(ratio) - 1, abs=1e-12)
    assert value.item() >= 0


def test_directions_differ_enough_to_tell_them_apart():
    assert kl(P, Q) == pytest.approx(0.5296, abs=1e-4)
    assert kl(Q, P) == pytest.approx(0.3714, abs=1e-4)


def test_expectation_under_p_is_kl_p_q():
    """Summed over the vocabulary instead of sampled: exact."""
    assert (P * k3(P.log(), Q.log(), cap=NO_CAP)).sum().item() == pytest.approx(kl(P, Q), abs=1e-12)


def test_monte_carlo_converges_to_kl_p_q():
    """200,000 draws from p: five standard errors are 0.004 nats, the other direction is 0.158 nats away."""
    tokens = torch.multinomial(P, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimates = k3(P.log()[tokens], Q.log()[tokens], cap=NO_CAP)
    tolerance = 5 * estimates.std().item() / math.sqrt(len(tokens))
    assert tolerance < 0.005
    assert estimates.mean().item() == pytest.approx(kl(P, Q), abs=tolerance)
    assert abs(estimates.mean().item() - kl(Q, P)) > 5 * tolerance


def test_the_papers_printed_ratio_estimates_something_else():
    """pi / pi_mask inside r - log r - 1, with tokens from pi: chi^2 - KL, as the docstring of perception_kl says."""
    ratio = P / Q
    printed = (P * (ratio - ratio.log() - 1)).sum().item()
    chi_square = (P * (ratio - 1)).sum().item()
    assert printed == pytest.approx(chi_square - kl(P, Q), abs=1e-12)
    assert abs(printed - kl(P, Q)) > 0.5


def test_cap_bounds_value_and_gradient():
    logp = torch.tensor([-1.0, -1.0, -9.0], dtype=torch.float64, requires_grad=True)
    logq = torch.tensor([-1.5, -30.0, -1.0], dtype=torch.float64, requires_grad=True)  # 0.1, 28, 2972 uncapped
    values = k3(logp, logq, cap=10.0)
    values.sum().backward()
    d = -0.5
    assert values.tolist() == pytest.approx([math.exp(d) - d - 1, 10.0, 10.0], abs=1e-12)
    assert logq.grad.tolist() == pytest.approx([math.exp(d) - 1, 0.0, 0.0], abs=1e-12)
    assert logp.grad.tolist() == pytest.approx([1 - math.exp(d), 0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("d", [19.0, 20.0, 21.0, 1000.0, -19.0, -20.0, -21.0, -1000.0])
def test_log_ratio_limit(d):
    assert LOG_RATIO_LIMIT == 20
    limited = max(-20.0, min(20.0, d))
    value = k3(torch.zeros(1), torch.tensor([d]), cap=NO_CAP).item()
    assert value == pytest.approx(math.exp(limited) - limited - 1, rel=1e-6)


def test_gradient_is_the_derivative():
    generator = torch.Generator().manual_seed(0)
    p, q = (-3 * torch.rand(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.autograd.gradcheck(lambda p, q: k3(p, q, cap=10.0), (p.requires_grad_(), q.requires_grad_()))


# ------------------------------------------------------------------------------------------------------ perception


def test_perception_kl_is_the_divergence_from_the_corrupted_policy():
    """Every token once, weighted by its probability under pi: KL(pi || pi_mask), positive."""
    value = perception_kl(P.log()[None], Q.log()[None], P[None], corrupted_gradient=True, cap=NO_CAP)
    assert value.item() == pytest.approx(kl(P, Q), abs=1e-12)


def test_perception_kl_of_identical_scores_is_exactly_zero():
    logprobs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) - 2
    value = perception_kl(logprobs, logprobs.clone(), torch.full((4, 6), 1 / 24), corrupted_gradient=True, cap=10.0)
    assert value.item() == 0.0


def test_perception_kl_cap():
    logprobs = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    corrupted = torch.tensor([[-0.5, -40.0]], dtype=torch.float64)
    weights = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    value = perception_kl(logprobs, corrupted, weights, corrupted_gradient=True, cap=3.0)
    assert value.item() == pytest.approx(0.5 * (math.exp(-0.5) - 0.5) + 0.5 * 3.0, abs=1e-12)


@pytest.mark.parametrize("corrupted_gradient", [True, False])
def test_perception_kl_reaches_the_corrupted_branch_exactly_when_asked(corrupted_gradient):
    logprobs = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    corrupted = torch.tensor([[-1.5, -1.0]], requires_grad=True)
    perception_kl(logprobs, corrupted, torch.ones(1, 2), corrupted_gradient=corrupted_gradient, cap=10.0).backward()
    assert (logprobs.grad != 0).all()
    assert (corrupted.grad is not None) == corrupted_gradient


def test_with_a_constant_corrupted_branch_the_gradient_is_that_of_the_reverse_divergence():
    """E_pi[grad k3] = grad KL(pi_mask || pi), as the docstring says; exact, over the whole vocabulary."""
    logits = P.log().requires_grad_()
    logp = logits.log_softmax(-1)
    value = perception_kl(logp[None], Q.log()[None], P[None], corrupted_gradient=False, cap=NO_CAP)
    (estimated,) = torch.autograd.grad(value, logits)
    logp = logits.log_softmax(-1)
    (reverse,) = torch.autograd.grad((Q * (Q.log() - logp)).sum(), logits)
    torch.testing.assert_close(estimated, reverse, rtol=0, atol=1e-12)


# --------------------------------------------------------------------------------------------------------- entropy


def test_mean_entropy_by_hand():
    entropy = torch.tensor([[1.0, 2.0], [4.0, float("nan")]], requires_grad=True)
    weights = torch.tensor([[0.25, 0.25], [0.5, 0.0]])
    value = mean_entropy(entropy, weights)
    value.backward()
    assert value.item() == 2.75  # positive: the loss adds it
    assert torch.equal(entropy.grad, weights)
