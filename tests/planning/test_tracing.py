"""Bytes by running, on modules whose bytes can be counted by hand."""

import torch
from torch import nn

from papo.planning.tracing import Cost, LiveBytes, Tracer, peak

KIB = 1024


def test_what_lives_is_counted_until_it_ends():
    with LiveBytes() as live:
        one = torch.zeros(KIB)
        two = one + 1
        view = two.view(2, -1)
        assert live.now == 2 * 4 * KIB
        del one
        assert live.now == 4 * KIB
        del two
        assert live.now == 4 * KIB  # the view holds it
        del view
        assert (live.now, live.peak) == (0, 2 * 4 * KIB)


def linear(gradient: bool, frozen: bool = False, **settings) -> Cost:
    """x [8, 16] through 16 -> 32, then the sine of it."""
    trace = Tracer(**settings)
    layer = nn.Linear(16, 32, bias=False)
    layer.weight.requires_grad_(not frozen)
    twin = trace.faked(layer)
    dtype = settings.get("weights") or torch.float32
    return trace.cost(lambda: twin(trace.made(8, 16, dtype=dtype, gradient=True)).sin(), gradient=gradient)


def test_a_layer_keeps_its_input_and_a_sine_its_own():
    assert linear(gradient=True).kept == 4 * (8 * 16 + 8 * 32)
    assert linear(gradient=True, frozen=True).kept == 4 * 8 * 32  # the input is for the weight's gradient
    assert linear(gradient=True, weights=torch.bfloat16).kept == 2 * (8 * 16 + 8 * 32)
    assert linear(gradient=False).kept == 0


def test_the_backward_pass_makes_the_weights_gradient_beside_the_one_that_is_there():
    of_output, of_input, of_weight = 8 * 32, 8 * 16, 16 * 32
    # First the sine's: its gradient, the cosine, and their product; nothing after is larger.
    assert linear(gradient=True, frozen=True).backward == 4 * 3 * of_output
    # At the end two of those, and the weight's and the input's; the sine's own input, which was kept, is gone.
    assert linear(gradient=True).backward == 4 * (2 * of_output + of_weight + of_input - of_output)


def test_autocast_keeps_a_copy_of_the_weight():
    plain, cast = linear(gradient=True), linear(gradient=True, autocast=torch.bfloat16)
    assert cast.kept == 2 * (8 * 16 + 8 * 32 + 16 * 32) != plain.kept


def test_the_largest_moment_there_and_back():
    first, second = Cost(kept=10, forward=15, backward=4), Cost(kept=5, forward=30, backward=8)
    assert peak([first]) == 15
    assert peak([first, second]) == 40  # 10 + 30
    assert peak([first, Cost(kept=5, forward=6, backward=50)]) == 65  # 10 + 5 + 50
    assert peak([Cost(kept=10, backward=90), second]) == 100  # the second's are gone by then


def test_gradients_that_are_there_are_added_to_and_no_workspace():
    trace, weight = Tracer(), 4 * 64 * 64
    twin = trace.faked(nn.Sequential(*(nn.Linear(64, 64, bias=False) for _ in range(3))))
    cost = trace.cost(lambda: twin(trace.made(1, 64, dtype=torch.float32, gradient=True)), gradient=True)
    assert weight < cost.backward < 1.5 * weight  # one is made and added at a time
