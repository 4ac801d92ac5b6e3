"""The estimators against their formulas, and against the divergence and the gradient that they are said to have."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from papo.errors import SettingError
from papo.objective import Branch, DoubleEntropy, Evidence, PerceptionKL, ReferenceKL, RobustnessKL
from papo.objective.branch import CURRENT
from papo.objective.kl import LOG_RATIO_LIMIT, sampled_kl
from papo.policy.vlm import Policy
from papo.training.scoring import Scoring
from papo.types import Scores

from . import slow

# Two policies over five tokens, KL(p || q) = 0.530 and KL(q || p) = 0.371: a mixed-up direction is visible.
P = torch.tensor([0.50, 0.20, 0.15, 0.10, 0.05], dtype=torch.float64)
Q = torch.tensor([0.90, 0.05, 0.03, 0.015, 0.005], dtype=torch.float64)
FORWARD, REVERSE = slow.divergence(P.tolist(), Q.tolist()), slow.divergence(Q.tolist(), P.tolist())
DIRECTIONS = ("clean_to_corrupted", "corrupted_to_clean")
directions = pytest.mark.parametrize("direction", DIRECTIONS)


def perception(estimator, direction="clean_to_corrupted", **settings):
    return PerceptionKL(1.0, estimator, direction, cap=None, **settings)


def divergence_of(direction):
    """The one that a direction names, and the other one."""
    return (FORWARD, REVERSE) if direction == "clean_to_corrupted" else (REVERSE, FORWARD)


def test_directions_differ_enough_to_tell_them_apart():
    assert pytest.approx(0.5296, abs=1e-4) == FORWARD
    assert pytest.approx(0.3714, abs=1e-4) == REVERSE


@pytest.mark.parametrize("logp", [-0.1, -1.0, -5.0])
@pytest.mark.parametrize("logq", [-0.2, -1.0, -4.0])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("reverse", [False, True])
def test_formula(logp, logq, estimator, reverse):
    given = (torch.tensor(x, dtype=torch.float64) for x in (logp, logq))
    value = sampled_kl(*given, estimator, reverse=reverse).item()
    assert value == pytest.approx(slow.estimate(logp, logq, estimator, reverse), abs=1e-12)
    if estimator != "k1":
        assert value >= 0


# --------------------------------------------------------------------------------------------------- what they estimate


@directions
@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_the_expectation_is_the_divergence_in_the_named_direction(estimator, direction):
    """Summed over the vocabulary instead of sampled: exact."""
    value = (P * perception(estimator, direction).values(P.log(), Q.log())).sum().item()
    assert value == pytest.approx(divergence_of(direction)[0], abs=1e-12)


def draw(n=200_000):
    return torch.multinomial(P, n, replacement=True, generator=torch.Generator().manual_seed(0))


def monte_carlo(values):
    """Mean and its standard error."""
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


@directions
@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_monte_carlo_converges_in_the_named_direction(estimator, direction):
    """200,000 tokens drawn from p: 4 standard errors are below 0.02 nats, the directions lie 0.158 apart."""
    tokens = draw()
    estimate, error = monte_carlo(perception(estimator, direction).values(P.log()[tokens], Q.log()[tokens]))
    named, other = divergence_of(direction)
    assert error < 0.005
    assert abs(estimate - named) < 4 * error
    assert abs(estimate - other) > 25 * error


@pytest.mark.parametrize("term", [ReferenceKL(1.0, "k3", cap=None), RobustnessKL(1.0, "k3", cap=None)])
def test_monte_carlo_of_the_other_terms_is_the_divergence_from_the_policy(term):
    tokens = draw()
    estimate, error = monte_carlo(term.values(P.log()[tokens], Q.log()[tokens]))
    assert error < 0.002
    assert abs(estimate - FORWARD) < 4 * error
    assert abs(estimate - REVERSE) > 50 * error


@directions
def test_monte_carlo_of_k2_converges_to_half_the_mean_square(direction):
    """Of the log-ratio, under the policy that the direction names first; this is not the divergence."""
    tokens = draw()
    estimate, error = monte_carlo(perception("k2", direction).values(P.log()[tokens], Q.log()[tokens]))
    first, second = (P, Q) if direction == "clean_to_corrupted" else (Q, P)
    square = sum(a * math.log(b / a) ** 2 / 2 for a, b in zip(first.tolist(), second.tolist(), strict=True))
    named, _ = divergence_of(direction)
    assert error < 0.005
    assert abs(estimate - square) < 4 * error
    assert abs(square - named) > 25 * error


def k2_bias(step, direction):
    """E[k2] - KL between P and P tilted by a step, exactly; the tilt's largest logit is that of the rarest token."""
    tilt = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.5], dtype=torch.float64)
    tilted = (P.log() + step * tilt).softmax(-1)
    first, second = (P, tilted) if direction == "clean_to_corrupted" else (tilted, P)
    value = (P * perception("k2", direction).values(P.log(), tilted.log())).sum().item()
    return value - slow.divergence(first.tolist(), second.tolist())


@directions
@pytest.mark.parametrize("sign", [1, -1])
def test_k2_agrees_to_second_order(direction, sign):
    """Its bias shrinks with the third power of the step while the divergence shrinks with the second."""
    biases = [k2_bias(sign * step, direction) for step in (0.04, 0.02, 0.01)]
    assert biases[0] / biases[1] == pytest.approx(8, rel=0.1)
    assert biases[1] / biases[2] == pytest.approx(8, rel=0.05)


def test_the_bias_of_k2_has_the_sign_that_the_skew_says():
    """E_p[k2] - KL(p || q) is -E_p[d^3] / 6 to third order: it is not one-sided."""
    assert k2_bias(0.3, "clean_to_corrupted") < -1e-4
    assert k2_bias(-0.3, "clean_to_corrupted") > 1e-4
    estimate = (P * sampled_kl(P.log(), Q.log(), "k2")).sum().item()
    assert estimate - FORWARD > 0.2


def test_the_papers_printed_ratio_estimates_something_else():
    """pi / pi_mask inside r - log r - 1, with tokens from pi: chi^2 - KL, as the docstring of PerceptionKL says."""
    printed = (P * (P / Q - (P / Q).log() - 1)).sum().item()
    chi_square = (P * (P / Q - 1)).sum().item()
    assert printed == pytest.approx(chi_square - FORWARD, abs=1e-12)
    ours = (P * perception("k3").values(P.log(), Q.log())).sum().item()
    assert abs(printed - ours) > 0.5


# ---------------------------------------------------------------------------------------------------- expected gradient


def gradient_of(value, logits):
    return torch.autograd.grad(value, logits)[0]


def divergence_gradient(direction, branch):
    """Of the exact divergence, in the logits of pi ("clean") or of pi_mask ("corrupted")."""
    clean, corrupted = P.log().requires_grad_(), Q.log().requires_grad_()
    p, q = clean.log_softmax(-1), corrupted.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum() if direction == "clean_to_corrupted" else (q.exp() * (q - p)).sum()
    return gradient_of(kl, clean if branch == "clean" else corrupted)


def expected_gradient(values, branch):
    """E_p of the gradient of values(log p, log q) at each token, exactly."""
    clean, corrupted = P.log().requires_grad_(), Q.log().requires_grad_()
    value = (P * values(clean.log_softmax(-1), corrupted.log_softmax(-1))).sum()
    return gradient_of(value, clean if branch == "clean" else corrupted)


def far(a, b):
    return (a - b).abs().max().item() > 0.05


def test_with_a_constant_corrupted_branch_k3_has_the_gradient_of_the_other_direction():
    """Its value estimates KL(pi || pi_mask), its gradient is that of KL(pi_mask || pi)."""
    got = expected_gradient(perception("k3", corrupted_gradient=False).values, "clean")
    torch.testing.assert_close(got, divergence_gradient("corrupted_to_clean", "clean"), rtol=0, atol=1e-12)
    assert far(got, divergence_gradient("clean_to_corrupted", "clean"))


def test_in_the_corrupted_branch_k3_has_the_gradient_of_the_named_direction():
    got = expected_gradient(perception("k3").values, "corrupted")
    torch.testing.assert_close(got, divergence_gradient("clean_to_corrupted", "corrupted"), rtol=0, atol=1e-12)
    assert far(got, divergence_gradient("corrupted_to_clean", "corrupted"))


def test_k1_has_no_gradient_in_the_policy_and_k2_the_one_that_it_should_have():
    k1 = expected_gradient(perception("k1").values, "clean")
    torch.testing.assert_close(k1, torch.zeros_like(k1), rtol=0, atol=1e-12)
    k2 = expected_gradient(perception("k2").values, "clean")
    torch.testing.assert_close(k2, divergence_gradient("clean_to_corrupted", "clean"), rtol=0, atol=1e-12)


def test_the_sampled_entropy_has_no_gradient_in_the_policy_that_drew():
    """And the full one has that of the entropy."""
    sampled, full = DoubleEntropy(0.1, 0.0, "sampled"), DoubleEntropy(0.1)
    logits = P.log().requires_grad_()
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum()
    expected = (P * sampled.values(logprobs, entropy)).sum()
    assert expected.item() == pytest.approx(slow.entropy(P.tolist()), abs=1e-12)
    got = gradient_of(expected, logits)
    torch.testing.assert_close(got, torch.zeros_like(got), rtol=0, atol=1e-12)
    logits = P.log().requires_grad_()
    logprobs = logits.log_softmax(-1)
    value = full.values(logprobs, -(logprobs.exp() * logprobs).sum())
    assert value.item() == pytest.approx(slow.entropy(P.tolist()), abs=1e-12)
    assert gradient_of(value, logits).abs().max() > 0.05


def full_kl(clean, corrupted, direction, corrupted_gradient=True):
    """As a step computes it, with logits in place of states: [1, 1, V] each."""
    term = PerceptionKL(1.0, "full", direction, corrupted_gradient=corrupted_gradient, cap=None)
    policy = SimpleNamespace(head=lambda states: states, chunk_tokens=8)
    policy.full_kl = partial(Policy.full_kl, policy)
    none, mask = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    both = {CURRENT: clean, Branch("current", "corrupted"): corrupted}
    scores = {branch: Scores(none, none, states=logits[None, None]) for branch, logits in both.items()}
    scoring = Scoring(policy, None, temperature=1.0, micro_batch_prompts=1)
    full = scoring.full_kl(scores, mask)
    return term.kl(Evidence(scores, none, mask, none, none, none, full_kl=full)).sum()


@directions
@pytest.mark.parametrize("branch", ["clean", "corrupted"])
def test_the_full_estimator_has_value_and_gradient_of_the_named_direction(direction, branch):
    other = next(name for name in DIRECTIONS if name != direction)
    clean, corrupted = P.log().requires_grad_(), Q.log().requires_grad_()
    value = full_kl(clean, corrupted, direction)
    assert value.item() == pytest.approx(divergence_of(direction)[0], abs=1e-6)
    got = gradient_of(value, clean if branch == "clean" else corrupted)
    torch.testing.assert_close(got, divergence_gradient(direction, branch), rtol=0, atol=1e-6)
    assert far(got, divergence_gradient(other, branch))


@directions
def test_the_full_estimator_with_a_constant_branch_keeps_the_direction(direction):
    clean, corrupted = P.log().requires_grad_(), Q.log().requires_grad_()
    full_kl(clean, corrupted, direction, corrupted_gradient=False).backward()
    torch.testing.assert_close(clean.grad, divergence_gradient(direction, "clean"), rtol=0, atol=1e-6)
    assert corrupted.grad is None


@directions
def test_sampled_and_full_estimators_agree(direction):
    """Monte Carlo against what a step computes over the whole vocabulary."""
    tokens = draw()
    estimate, error = monte_carlo(perception("k3", direction).values(P.log()[tokens], Q.log()[tokens]))
    assert error < 0.005
    assert abs(estimate - full_kl(P.log(), Q.log(), direction).item()) < 4 * error


# --------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("term", [ReferenceKL(0.1, cap=10.0), PerceptionKL(0.1, cap=10.0), RobustnessKL(0.1, cap=10.0)])
def test_cap_bounds_value_and_gradient(term):
    logp = torch.tensor([-1.0, -1.0, -9.0], dtype=torch.float64, requires_grad=True)
    logq = torch.tensor([-1.5, -30.0, -1.0], dtype=torch.float64, requires_grad=True)  # 0.1, 28, 2972 uncapped
    values = term.values(logp, logq)
    values.sum().backward()
    d = -0.5
    assert values.tolist() == pytest.approx([math.exp(d) - d - 1, 10.0, 10.0], abs=1e-12)
    assert logp.grad.tolist() == pytest.approx([1 - math.exp(d), 0.0, 0.0], abs=1e-12)
    if not isinstance(term, ReferenceKL):
        assert logq.grad.tolist() == pytest.approx([math.exp(d) - 1, 0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("term", [ReferenceKL, PerceptionKL, RobustnessKL])
def test_cap_bounds_the_full_kl_too(term):
    full = torch.tensor([0.5, 3.0, -3.0])
    assert term(0.1, "full", cap=2.0).values(None, None, full).tolist() == [0.5, 2.0, -2.0]
    assert term(0.1, "full", cap=None).values(None, None, full).tolist() == [0.5, 3.0, -3.0]


def test_a_capped_k1_is_bounded_on_both_sides():
    values = sampled_kl(torch.zeros(3), torch.tensor([-0.5, -3.0, 3.0]), "k1", cap=2.0)
    assert values.tolist() == [0.5, 2.0, -2.0]


@pytest.mark.parametrize("term", [ReferenceKL(0.1), PerceptionKL(0.1), RobustnessKL(0.1)])
def test_the_cap_is_10_nats_unless_said_otherwise(term):
    assert term.values(torch.zeros(1), torch.tensor([5.0])).item() == 10.0


@pytest.mark.parametrize("d", [19.0, 20.0, 21.0, 1000.0, -19.0, -20.0, -21.0, -1000.0])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("reverse", [False, True])
def test_log_ratio_limit(d, estimator, reverse):
    assert LOG_RATIO_LIMIT == 20
    value = sampled_kl(torch.zeros(1, dtype=torch.float64), torch.tensor([d]), estimator, reverse=reverse).item()
    assert value == pytest.approx(slow.estimate(0.0, d, estimator, reverse), rel=1e-6)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradient_is_the_derivative(estimator, reverse):
    generator = torch.Generator().manual_seed(0)
    p, q = (-3 * torch.rand(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    torch.autograd.gradcheck(
        lambda p, q: sampled_kl(p, q, estimator, reverse=reverse, cap=5.0), (p.requires_grad_(), q.requires_grad_())
    )


@pytest.mark.parametrize("estimator", ["full", "k4"])
def test_only_three_estimators_can_be_sampled(estimator):
    with pytest.raises(ValueError, match=rf"^a sampled estimator is k1, k2 or k3, got '{estimator}'"):
        sampled_kl(torch.zeros(1), torch.zeros(1), estimator)


# ----------------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("term", "settings", "message"),
    [
        (ReferenceKL, {"coef": -0.01}, "coef must be 0 (off) or positive, got -0.01"),
        (
            ReferenceKL,
            {"estimator": "k4"},
            "estimator must be one of k1, k2, k3, full, got 'k4'",
        ),
        (ReferenceKL, {"cap": 0.0}, "cap must be positive, or null for none, got 0.0"),
        (ReferenceKL, {"cap": -1.0}, "cap must be positive, or null for none, got -1.0"),
        (ReferenceKL, {"place": "both"}, "place must be one of loss, reward, got 'both'"),
        (
            ReferenceKL,
            {"place": "reward", "estimator": "full"},
            "place must be loss for estimator=full, got 'reward'",
        ),
        (RobustnessKL, {"coef": -0.01}, "coef must be 0 (off) or positive, got -0.01"),
        (
            RobustnessKL,
            {"estimator": "k4"},
            "estimator must be one of k1, k2, k3, full, got 'k4'",
        ),
        *(
            (term, {"coef": value}, f"coef must be 0 (off) or positive, got {value}")
            for term in (ReferenceKL, RobustnessKL)
            for value in (math.nan, math.inf)
        ),
        (
            ReferenceKL,
            {"direction": "back"},
            "direction must be one of policy_to_reference, reference_to_policy, got 'back'",
        ),
        (
            RobustnessKL,
            {"direction": "back"},
            "direction must be one of clean_to_noised, noised_to_clean, got 'back'",
        ),
        (RobustnessKL, {"view": "clean"}, "view must be another view than clean, whose divergence is 0"),
        (RobustnessKL, {"cap": 0.0}, "cap must be positive, or null for none, got 0.0"),
    ],
)
def test_an_impossible_setting_names_itself(term, settings, message):
    with pytest.raises(SettingError) as error:
        term(**{"coef": 0.1} | settings)
    assert str(error.value) == message


def test_the_smallest_settings_are_possible():
    assert ReferenceKL(0.0, cap=0.001).cap == 0.001
    assert RobustnessKL(0.0, cap=0.001).cap == 0.001
    assert ReferenceKL(0.0, "k1", place="reward").place == "reward"
    assert ReferenceKL(0.0).place == "loss"
    assert (ReferenceKL(0.0).estimator, RobustnessKL().estimator, RobustnessKL().coef) == ("k3", "k3", 0.0)
