"""The faster layers are the same layers, and step aside where they do not apply."""

import copy
import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from papo.arguments import check_arguments
from papo.errors import SettingError
from papo.lab.model import new_lab_model
from papo.policy import fast_layers as fast_layers_module
from papo.policy.fast_layers import OneDnn, OneDnnLinear, PatchLinear, accelerate
from papo.policy.loading import load_policy

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def pair(bias=True, dtype=torch.float32):
    torch.manual_seed(0)
    plain = nn.Linear(24, 10, bias=bias, dtype=dtype)
    return plain, fast_twin(plain, OneDnnLinear)


def fast_twin(layer, expected):
    """A copy, as `accelerate` makes it of a layer inside a model."""
    model = nn.Sequential(copy.deepcopy(layer))
    assert accelerate(model, "on") == "on"
    assert type(model[0]) is expected
    return model[0]


@pytest.fixture
def products(monkeypatch):
    """Counts the products that oneDNN is asked for."""
    calls = []
    product = fast_layers_module._product
    monkeypatch.setattr(fast_layers_module, "_product", lambda *args: calls.append(args) or product(*args))
    return calls


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 24), (7, 24), (3, 5, 24)])
def test_values_and_gradients_are_those_of_linear(products, shape, bias):
    plain, fast = pair(bias)
    x = torch.randn(shape)
    results = []
    for layer in (plain, fast):
        own = x.clone().requires_grad_()
        y = layer(own)
        (y * torch.linspace(-1, 1, 10)).sum().backward()
        results.append([y.detach(), own.grad, *(parameter.grad for parameter in layer.parameters())])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert len(products) == 3  # forward, and the gradients of input and weight


@pytest.mark.parametrize("shape", [(24,), (0, 24)])
def test_shapes_that_onednn_refuses(products, shape):
    plain, fast = pair()
    x = torch.randn(shape)
    assert torch.equal(fast(x), plain(x))
    assert not products


@pytest.mark.parametrize("of", ["input", "weight"])
def test_gradient_only_where_it_is_asked_for(products, of):
    _, fast = pair()
    x = torch.randn(3, 24, requires_grad=of == "input")
    fast.requires_grad_(of == "weight")
    fast(x).sum().backward()
    assert (x.grad is not None, fast.weight.grad is not None) == (of == "input", of == "weight")
    assert len(products) == 2


def test_transposed_input(products):
    plain, fast = pair()
    x = torch.randn(24, 6).t()
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-5, atol=1e-5)
    assert products


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_left_to_torch(products, dtype):
    plain, fast = pair(dtype=dtype)
    x = torch.randn(3, 24, dtype=dtype)
    assert torch.equal(fast(x), plain(x))
    assert not products


@pytest.mark.filterwarnings("ignore:TF32")
def test_autocast_and_torchs_own_switch_are_respected(products):
    plain, fast = pair()
    x = torch.randn(3, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fast(x).dtype == plain(x).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(fast(x), plain(x))
    assert not products


def test_names_and_weights_stay(model):
    fast = copy.deepcopy(model)
    accelerate(fast, "on")
    assert type(fast.lm_head) is OneDnnLinear
    assert not any(type(module) is nn.Linear for module in fast.modules())
    assert fast.lm_head.weight is fast.get_input_embeddings().weight  # still tied
    assert [name for name, _ in fast.named_modules()] == [name for name, _ in model.named_modules()]
    before, after = model.state_dict(), fast.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_mode_and_frozen_weights_stay():
    plain = nn.Linear(2, 2).eval().requires_grad_(False)
    fast = fast_twin(plain, OneDnnLinear)
    assert not fast.training
    assert not fast.weight.requires_grad


def test_subclasses_of_linear_are_left_alone():
    class Adapter(nn.Linear):
        pass

    adapter = nn.Sequential(Adapter(2, 2))
    accelerate(adapter, "on")
    assert type(adapter[0]) is Adapter


@pytest.mark.parametrize(
    ("fast_layers", "speedups", "linear", "weight_gradient"),
    [
        ("on", (0.5, 0.5), OneDnnLinear, True),
        ("auto", (2.0, 1.4), OneDnnLinear, True),
        ("auto", (2.0, 1.1), OneDnnLinear, False),  # level: not left to noise, and torch's own needs no copies
        ("auto", (0.9, 0.7), OneDnnLinear, False),
        ("auto", (0.8, 2.0), nn.Linear, True),
        (True, (0.5, 0.5), OneDnnLinear, True),  # a bare `on` in YAML
    ],
)
def test_each_product_is_computed_by_the_faster_library(monkeypatch, fast_layers, speedups, linear, weight_gradient):
    monkeypatch.setattr(fast_layers_module, "speedups", lambda: speedups)
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv3d(1, 1, 1))
    said = accelerate(model, fast_layers)
    assert [type(layer) for layer in model] == [linear, PatchLinear]
    assert model[1].onednn == OneDnn(linear is OneDnnLinear, weight_gradient)
    names = ["oneDNN" if fast else "torch's own" for fast in (linear is OneDnnLinear, weight_gradient)]
    found = f"oneDNN {speedups[0]:.2f} and {speedups[1]:.2f} times as fast"
    assert said == (f"{names[0]}, weight gradients {names[1]}: {found}" if fast_layers == "auto" else "on")


@pytest.mark.parametrize("fast_layers", ["off", False])
def test_off_leaves_everything(fast_layers):
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv3d(1, 1, 1))
    assert accelerate(model, fast_layers) == "off"
    assert [type(layer) for layer in model] == [nn.Linear, nn.Conv3d]


@pytest.mark.parametrize(
    ("onednn", "count"), [(OneDnn(True, True), 3), (OneDnn(True, False), 2), (OneDnn(False, True), 0)]
)
def test_products_go_where_they_are_sent(products, onednn, count):
    plain, fast = pair()
    fast.onednn = onednn
    x, results = torch.randn(3, 24), []
    for layer in (plain, fast):
        own = x.clone().requires_grad_()
        layer(own).square().sum().backward()
        results.append([own.grad, layer.weight.grad, layer.bias.grad])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert len(products) == count


def test_torch_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv3d(1, 1, 1))
    assert accelerate(model, "auto") == "no oneDNN: torch was built without it"
    assert [type(layer) for layer in model] == [nn.Linear, PatchLinear]
    with pytest.raises(SettingError, match=r"fast_layers must be auto or off .* got 'on'"):
        accelerate(model, "on")


@pytest.mark.parametrize("loads", [load_policy, new_lab_model])
def test_a_bare_on_and_off_in_yaml_reach_it(loads):
    for choice in (True, False, "auto"):
        check_arguments(loads, {"fast_layers": choice}, partial=True)


def test_unknown_choice():
    with pytest.raises(SettingError, match="fast_layers must be one of auto, on, off, got 'fast'"):
        accelerate(nn.Sequential(), "fast")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A machine where nothing was measured yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fast_layers_module.speedups.cache_clear()
    yield tmp_path / "papo" / "fast_layers.json"
    fast_layers_module.speedups.cache_clear()


def test_a_machine_is_measured_once(products, cache):
    """So that its runs repeat to the last digit; what another processor, or half a file, left is not taken for it."""
    cache.parent.mkdir()
    cache.write_text('{"another machine": [9, 9]')
    first = fast_layers_module.speedups()
    assert [tuple(of) for of in json.loads(cache.read_text()).values()] == [first]
    count = len(products)
    fast_layers_module.speedups.cache_clear()  # as in another process
    assert fast_layers_module.speedups() == first
    assert len(products) == count


def test_processes_that_start_together_agree(monkeypatch, cache):
    """Each would measure while the others do, and keep what it found."""
    found = iter([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])

    def measure():
        time.sleep(0.05)
        return next(found)

    monkeypatch.setattr(fast_layers_module, "measure", measure)
    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(fast_layers_module.speedups.__wrapped__) for _ in range(3)]
    assert {result.result() for result in results} == {(1.0, 1.0)}


def test_what_others_take_for_granted_does_not_matter(monkeypatch):
    monkeypatch.setattr(fast_layers_module.time, "perf_counter", itertools.count().__next__)
    torch.set_default_dtype(torch.float64)
    try:
        assert fast_layers_module.measure() == (1, 1)
    finally:
        torch.set_default_dtype(torch.float32)


def test_without_a_home_every_process_measures(products, cache):
    cache.parent.write_text("no folder")
    assert min(fast_layers_module.speedups()) > 0


def test_measuring_happens_once_and_leaves_the_seeds_alone(products, cache):
    state = torch.get_rng_state()
    first = fast_layers_module.speedups()
    assert min(first) > 0
    assert torch.equal(torch.get_rng_state(), state)
    count = len(products)
    assert count > 0
    assert fast_layers_module.speedups() == first
    assert len(products) == count


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patch_embedding_is_the_convolution(bias, dtype):
    torch.manual_seed(0)
    plain = nn.Conv3d(3, 8, (2, 4, 4), stride=(2, 4, 4), bias=bias, dtype=dtype)
    fast = fast_twin(plain, PatchLinear)
    x, results = torch.randn(5, 3, 2, 4, 4, dtype=dtype), []
    for layer in (plain, fast):
        own = x.clone().requires_grad_()
        y = layer(own)
        assert y.shape == (5, 8, 1, 1, 1)
        (y.flatten() * torch.linspace(-1, 1, 40, dtype=dtype)).sum().backward()
        results.append([y.detach(), own.grad, *(parameter.grad for parameter in layer.parameters())])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"padding": 1}, {"groups": 3}])
def test_any_other_convolution_stays_one(settings):
    plain = nn.Conv3d(3, 6, (2, 4, 4), stride=(2, 4, 4), **settings)
    fast = fast_twin(plain, PatchLinear)
    x = torch.randn(2, 3, 2, 4, 4) if settings else torch.randn(2, 3, 4, 8, 8)
    assert torch.equal(fast(x), plain(x))


MANY_SHAPES = """
import ctypes, torch
from papo.cli import bound_caches
from papo.policy.fast_layers import OneDnn, linear
bound_caches()

class Heap(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in (*"abcdefg", "uordblks", "fordblks", "keepcost"))

libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = Heap
weight = torch.randn(64, 64)
for shapes in (range(2, 300), range(300, 600)):
    for rows in shapes:
        linear(torch.ones(rows, 64), weight, None, OneDnn(True, True))
    print(libc.mallinfo2().uordblks / 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked")
@pytest.mark.integration  # it measures memory
def test_memory_does_not_grow_with_the_shapes_that_were_met():
    """In a process of its own: how much may be kept is read at the first product."""
    environment = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    command = [sys.executable, "-c", MANY_SHAPES]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    before, after = map(float, found.split())  # MB in use
    assert after - before < 5
