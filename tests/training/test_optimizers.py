"""The optimizer of bfloat16 weights: on average it is AdamW in float32."""

import copy
from functools import partial

import pytest
import torch

from papo.errors import SettingError
from papo.rounding import round_by_chance
from papo.training.optimizers import StochasticAdamW

SETTINGS = {"lr": 1e-5, "betas": (0.8, 0.95), "weight_decay": 0.1}


def run(optimizer, weights, steps, seed=0):
    """The weights after some steps along gradients that lean one way, the same in every call."""
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = optimizer([parameter])
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        gradient = (1 + torch.randn(*weights.shape[:-1], 1, generator=generator)).expand(weights.shape)
        parameter.grad = gradient.to(parameter.dtype).contiguous()
        optimizer.step()
    return parameter.detach().float()


def test_float32_weights_move_as_torchs_do():
    weights = torch.randn(7, 5)
    expected = run(partial(torch.optim.AdamW, **SETTINGS), weights, 4)
    torch.testing.assert_close(run(partial(StochasticAdamW, **SETTINGS), weights, 4), expected, rtol=1e-6, atol=1e-8)


def test_bfloat16_weights_move_as_far_on_average():
    """Each row is one weight 20,000 times; the step is a two hundredth of the gap between its neighbours."""
    start = torch.tensor([0.3, -0.02, 1.0, -1.0]).to(torch.bfloat16)[:, None].expand(4, 20_000)
    moved = run(partial(StochasticAdamW, **SETTINGS), start, 20) - start.float()
    # The gradient is rounded to bfloat16 before either sees it.
    reference = run(partial(torch.optim.AdamW, **SETTINGS), start[:, :1].float(), 20) - start[:, :1].float()
    plain = run(partial(torch.optim.AdamW, **SETTINGS), start, 20) - start.float()
    error = moved.std(-1, keepdim=True) / 20_000**0.5
    assert ((moved.mean(-1, keepdim=True) - reference).abs() < 4 * error + 0.02 * reference.abs()).all()
    assert (reference.abs() > 10 * error).all()  # or the line above would not see a standstill
    assert torch.equal(plain, torch.zeros_like(plain))  # what torch's own does with such steps


def test_rounding_is_to_a_neighbour_and_right_on_average():
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([1.0, 1.001, -1.003, 3.14159, -2e-7, 0.0, 65000.0])
    rounded = torch.stack([round_by_chance(values, generator) for _ in range(20_000)]).float()
    gap = values.abs().log2().floor().exp2().nan_to_num(0) / 128
    assert ((rounded - values).abs() < gap.clamp(min=1e-30)).all()
    assert ((rounded.mean(0) - values).abs() <= 4 * gap * 0.5 / 20_000**0.5).all()
    assert torch.equal(rounded[:, [0, 5]], values[[0, 5]].expand(20_000, 2))  # what needs no rounding gets none


def test_a_resumed_run_goes_on_as_if_unbroken():
    def steps(optimizer, parameter, numbers):
        for number in numbers:
            parameter.grad = torch.full_like(parameter, 0.1 * (number + 1))
            optimizer.step()

    whole = torch.nn.Parameter(torch.randn(1000).bfloat16())
    first = torch.nn.Parameter(whole.detach().clone())
    make = partial(StochasticAdamW, lr=1e-3)
    steps(make([whole]), whole, range(6))
    optimizer = make([first])
    steps(optimizer, first, range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    second = torch.nn.Parameter(first.detach().clone())
    resumed = make([second])
    resumed.load_state_dict(saved)
    assert resumed.state[second]["square"].dtype == torch.float32
    steps(resumed, second, range(3, 6))
    assert torch.equal(second, whole)


def test_seeds_round_apart():
    """Of the weights that move under one seed as many move under another as of all, and under the same all."""

    def moved(seed):
        weight = torch.nn.Parameter(torch.full((100_000,), 0.02).bfloat16())
        optimizer = StochasticAdamW([weight], lr=1e-5, weight_decay=0.0)
        optimizer.seed = seed
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        return weight != torch.tensor(0.02).bfloat16()

    first, second = moved(0), moved(1)
    share = second.float().mean().item()
    assert 0.05 < share < 0.5
    assert second[first].float().mean().item() == pytest.approx(share, abs=0.02)
    assert torch.equal(first, moved(0))


def test_parameters_without_gradient_stay():
    parameters = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    parameters[1].grad = torch.ones(3)
    StochasticAdamW(parameters, lr=0.1).step()
    assert torch.equal(parameters[0], torch.ones(3))
    assert (parameters[1] < 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1.0}, "lr must not be negative"),
        ({"lr": 0.1, "eps": -1.0}, "eps must not be negative"),
        ({"lr": 0.1, "weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"lr": 0.1, "betas": (0.9, 1.0)}, r"betas must lie in \[0, 1\)"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        StochasticAdamW([torch.nn.Parameter(torch.ones(1))], **settings)
