"""token_scores against log_softmax, in values and gradients."""

import pytest
import torch

from papo.policy.logprobs import token_scores


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
