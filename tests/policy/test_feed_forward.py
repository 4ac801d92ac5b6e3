"""Feed-forward layers by pieces: the same numbers, and never many tokens at one time where nothing is trained."""

import pytest
import torch
from torch import nn

from papo.policy import feed_forward
from papo.policy.feed_forward import in_pieces


class Layer(nn.Module):
    """Remembers how many tokens it was given at each call."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(4, 12)
        self.narrow = nn.Linear(12, 4)
        self.tokens = []

    def forward(self, states):
        self.tokens.append(states.shape[:-1].numel())
        return self.narrow(self.wide(states).relu())


def block(layer):
    whole = nn.Module()
    whole.mlp = layer
    return whole


@pytest.fixture
def layer(monkeypatch):
    monkeypatch.setattr(feed_forward, "PIECE_TOKENS", 5)
    torch.manual_seed(0)
    layer = Layer()
    in_pieces([block(layer), nn.Module()])  # a block without one has nothing to change
    return layer


@pytest.mark.parametrize("shape", [(3, 4, 4), (12, 4), (2, 3, 2, 4)])
def test_the_same_states_from_few_tokens_at_a_time(layer, shape):
    states = torch.randn(shape)
    with torch.no_grad():
        output = layer(states)
    assert layer.tokens == [5, 5, 2]
    assert output.shape == states.shape
    torch.testing.assert_close(output, Layer.forward(layer, states), rtol=0, atol=1e-6)


def test_few_tokens_are_one_piece(layer):
    with torch.no_grad():
        layer(torch.randn(1, 5, 4))
    assert layer.tokens == [5]


def test_what_is_trained_is_whole(layer):
    """Pieces would be kept for the backward pass all the same."""
    layer(torch.randn(3, 4, 4)).sum().backward()
    assert layer.tokens == [12]
    assert layer.wide.weight.grad.any()


def test_what_goes_in_may_be_of_another_type_than_what_comes_out(layer):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 4, 4)).dtype == torch.bfloat16


def test_experts_send_tokens_about_by_themselves(monkeypatch):
    monkeypatch.setattr(feed_forward, "PIECE_TOKENS", 5)
    layer = Layer()
    layer.experts = nn.ModuleList()
    in_pieces([block(layer)])
    with torch.no_grad():
        layer(torch.randn(3, 4, 4))
    assert layer.tokens == [12]


def test_a_policy_has_its_layers_changed(make_policy):
    policy = make_policy()
    blocks = [*policy.family.vision_blocks(), *policy.family.language_layers()]
    assert blocks
    assert all(isinstance(block.mlp.forward, feed_forward.InPieces) for block in blocks)
