"""token_scores and token_kl against log_softmax, in values and gradients."""

import copy

import pytest
import torch
from torch import nn

from papo.policy.logprobs import token_kl, token_scores


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 6, generator=generator, requires_grad=True)
    weight = torch.randn(20, 6, generator=generator, requires_grad=True)
    return hidden, torch.randint(0, 20, (11,), generator=generator), weight


def reference(hidden, targets, weight, temperature):
    log_pi = (hidden @ weight.T / temperature).log_softmax(-1)
    return log_pi[torch.arange(len(targets)), targets], -(log_pi.exp() * log_pi).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("chunk_tokens", [1, 4, 11, 100])
def test_values_and_gradients(inputs, temperature, chunk_tokens):
    hidden, targets, weight = inputs
    got = token_scores(
        hidden, targets, lambda states: states @ weight.T, temperature=temperature, chunk_tokens=chunk_tokens
    )
    expected = reference(hidden, targets, weight, temperature)
    mixing = torch.linspace(-1, 2, 11)
    gradients = []
    for logprobs, entropy in (got, expected):
        scalar = (mixing * logprobs).sum() + (mixing.flip(0) * entropy).sum()
        gradients.append(torch.autograd.grad(scalar, (hidden, weight)))
    for a, b in zip((*got, *gradients[0]), (*expected, *gradients[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_half_precision_logits_are_summed_in_float32(inputs):
    hidden, targets, weight = (tensor.detach() for tensor in inputs)
    logits = (hidden @ weight.T).bfloat16()
    logprobs, entropy = token_scores(
        torch.arange(11)[:, None], targets, lambda rows: logits[rows[:, 0]], temperature=1.0, chunk_tokens=4
    )
    assert logprobs.dtype == entropy.dtype == torch.float32
    expected = logits.double().log_softmax(-1)
    torch.testing.assert_close(logprobs.double(), expected[torch.arange(11), targets], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("logits", "entropy"), [([0.0, 0.0, 0.0, 0.0], 1.3862943611), ([1e4, 0.0, 0.0, 0.0], 0.0)])
def test_entropy_of_even_and_of_certain(logits, entropy):
    """ln 4 nats, and exactly 0 without a NaN from 0 * log 0."""
    _, got = token_scores(
        torch.zeros(1, 1),
        torch.zeros(1, dtype=torch.long),
        lambda _: torch.tensor([logits]),
        temperature=1.0,
        chunk_tokens=1,
    )
    assert got.item() == pytest.approx(entropy, abs=1e-6)


def plain_kl(hidden, other_hidden, head, other_head, temperature):
    log_p = (head(hidden) / temperature).log_softmax(-1)
    log_q = (other_head(other_hidden) / temperature).log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def two_sides(shared_head):
    """States of p and q [9, 6], and their heads onto 20 tokens."""
    torch.manual_seed(0)
    hidden, other_hidden = (torch.randn(9, 6).requires_grad_() for _ in range(2))
    head, other_head = nn.Linear(6, 20), nn.Linear(6, 20)
    return hidden, other_hidden, head, head if shared_head else other_head


def leaves(sides):
    """States, weights and biases."""
    hidden, other_hidden, head, other_head = sides
    return [hidden, other_hidden, *head.parameters(), *other_head.parameters()]


@pytest.mark.parametrize("shared_head", [True, False])
@pytest.mark.parametrize("chunk_tokens", [4, 100])
@pytest.mark.parametrize("constant", ["p", "q", None])
def test_kl_and_the_gradient_of_every_parameter(constant, chunk_tokens, shared_head):
    """A constant side gives none to its head, also where that is the other side's."""
    sides, twins = two_sides(shared_head), two_sides(shared_head)
    got = token_kl(*sides, temperature=0.7, chunk_tokens=chunk_tokens, constant=constant)
    hidden, other_hidden, head, other_head = twins
    if constant == "p":
        hidden, head = hidden.detach(), copy.deepcopy(head).requires_grad_(False)
    if constant == "q":
        other_hidden, other_head = other_hidden.detach(), copy.deepcopy(other_head).requires_grad_(False)
    expected = plain_kl(hidden, other_hidden, head, other_head, 0.7)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for kl in (got, expected):
        (kl * torch.linspace(-1, 2, 9)).sum().backward()
    for side, twin in zip(leaves(sides), leaves(twins), strict=True):
        assert (side.grad is None) == (twin.grad is None)
        if side.grad is not None:
            assert twin.grad.abs().max() > 0.01
            torch.testing.assert_close(side.grad, twin.grad, rtol=1e-4, atol=1e-5)


def test_kl_without_gradient_keeps_nothing():
    sides = two_sides(shared_head=True)
    with torch.no_grad():
        kl = token_kl(*sides, temperature=1.0, chunk_tokens=4)
    assert not kl.requires_grad
    torch.testing.assert_close(kl, plain_kl(*sides, 1.0).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wanted", ["logprobs", "entropy", "both"])
def test_each_score_has_its_own_gradient(inputs, wanted):
    """Also where only one of the two is in the loss."""
    hidden, targets, weight = inputs
    gradients = []
    got = token_scores(hidden, targets, lambda states: states @ weight.T, temperature=0.5, chunk_tokens=4)
    for logprobs, entropy in (got, reference(hidden, targets, weight, 0.5)):
        scalar = {"logprobs": logprobs, "entropy": entropy, "both": logprobs - 0.3 * entropy}[wanted]
        gradients.append(torch.autograd.grad((scalar * torch.linspace(-1, 2, 11)).sum(), (hidden, weight)))
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0.01
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", ["scores", "kl"])
def test_no_more_than_a_chunk_of_logits_is_kept_for_the_backward_pass(inputs, function):
    hidden, targets, weight = inputs
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    head = lambda states: states @ weight.T  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        if function == "scores":
            token_scores(hidden, targets, head, temperature=0.5, chunk_tokens=4)
        else:
            token_kl(hidden, hidden.flip(0), head, head, temperature=0.5, chunk_tokens=4)
    assert max(sizes, default=0) <= hidden.numel()
