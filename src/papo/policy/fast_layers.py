"""The same layers by faster library calls; weights, names and state dict stay as transformers has them.

On a CPU torch hands float32 products to MKL. oneDNN, also part of torch, has its own, and which is faster depends on
the processor and on the product. A layer's values and the gradient of its input: oneDNN by up to a factor of two on
some with AVX-512, MKL by 1.2 to 1.4 on some with AVX2 alone. A weight's gradient: more often MKL, because both factors
come transposed and oneDNN copies them first. So both are timed once per process. Numbers agree to float32 rounding.
torch's own switch works too: `torch.backends.mkldnn.flags(enabled=False)`.

The vision tower's patch embedding is a convolution whose kernel covers the whole patch: one product per patch, which as
a linear layer takes a fifth of the time on a CPU.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from papo.errors import SettingError
from papo.files import write_text

CHOICES = ("auto", "on", "off")
Choice = Literal[*CHOICES] | bool  # what YAML makes of a bare on and off

# One library takes over from the other only where it is faster by this. Where they are level, noise would choose, and a
# run would not repeat to the last digit on one machine.
CLEARLY = 1.15


@dataclass(frozen=True)
class OneDnn:
    """Which of a layer's products oneDNN computes."""

    values: bool  # x W^T, and the gradient of x
    weight_gradient: bool


class _Product(torch.autograd.Function):
    """x W^T + b. oneDNN's operator knows no gradient, so it is written out; each of its parts is a product again."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, weight_gradient: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.weight_product = _product if weight_gradient else nn.functional.linear
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        return (
            _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            ctx.weight_product(rows.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.needs_input_grad[2] else None,
            None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def eligible(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN's operator may compute x W^T."""
    return (
        torch.backends.mkldnn.is_available()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() > 0
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, onednn: OneDnn) -> Tensor:
    """x W^T + b by oneDNN where it is chosen and can, with gradient where it is wanted."""
    if not (onednn.values and eligible(x, weight)):
        return nn.functional.linear(x, weight, bias)
    if torch.is_grad_enabled():
        return _Product.apply(x, weight, bias, onednn.weight_gradient)
    return _product(x, weight, bias)


class OneDnnLinear(nn.Linear):
    """nn.Linear, computed by oneDNN where it can."""

    onednn: OneDnn

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.onednn)


class PatchLinear(nn.Conv3d):
    """nn.Conv3d, computed as a linear layer where the kernel covers the input."""

    onednn: OneDnn

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != self.kernel_size or any(self.padding) or self.groups != 1:
            return super().forward(x)
        return linear(x.flatten(1), self.weight.flatten(1), self.bias, self.onednn)[..., None, None, None]


def accelerate(model: nn.Module, fast_layers: Choice) -> str:
    """Puts the layers above in the place of every nn.Linear and nn.Conv3d inside `model`.

    Args:
        fast_layers: "on" (oneDNN for every product), "off" (transformers' own layers), or "auto": each product by the
            library that proves to be faster.

    Returns:
        What was chosen and why, for records.

    Raises:
        SettingError: no such choice, or this torch has no oneDNN.
    """
    fast_layers = {True: "on", False: "off"}.get(fast_layers, fast_layers)
    if fast_layers not in CHOICES:
        raise SettingError("fast_layers", f"must be one of {', '.join(CHOICES)}, got {fast_layers!r}")
    if fast_layers == "off":
        return "off"
    if not torch.backends.mkldnn.is_available():
        if fast_layers == "on":
            raise SettingError("fast_layers", "must be auto or off where torch was built without oneDNN, got 'on'")
        onednn, said = OneDnn(values=False, weight_gradient=False), "no oneDNN: torch was built without it"
    elif fast_layers == "on":
        onednn, said = OneDnn(values=True, weight_gradient=True), "on"
    else:
        onednn, said = fastest()
    put_in_place(model, nn.Conv3d, PatchLinear, onednn)
    if onednn.values:
        put_in_place(model, nn.Linear, OneDnnLinear, onednn)
    return said


def put_in_place(model: nn.Module, usual: type[nn.Module], fast: type[nn.Module], onednn: OneDnn) -> None:
    """Every `usual` inside `model` becomes a `fast` with the same parameters, attributes and hooks."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is usual:  # a subclass has reasons of its own
                twin = fast.__new__(fast)
                twin.__dict__.update(layer.__dict__)
                twin.onednn = onednn
                setattr(parent, name, twin)


def fastest() -> tuple[OneDnn, str]:
    """The choice for this machine, and the sentence that records it."""
    values, weight_gradient = speedups()
    onednn = OneDnn(values > 1 / CLEARLY, weight_gradient > CLEARLY)
    chosen = ["oneDNN" if chosen else "torch's own" for chosen in (onednn.values, onednn.weight_gradient)]
    return (
        onednn,
        f"{chosen[0]}, weight gradients {chosen[1]}: oneDNN {values:.2f} and {weight_gradient:.2f} times as fast",
    )


@functools.cache
def speedups() -> tuple[float, float]:
    """How many times as fast as torch's own products oneDNN's are here, in float32: values, and weight gradients.

    Measured once and then remembered, in the user's cache folder, for this processor, version of torch and number of
    threads: one choice for all runs, so that they repeat to the last digit. Delete the file to have it measured anew.
    """
    facts = (torch.__version__, platform.node(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "papo" / "fast_layers.json"
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        # Processes that start together: one measures, undisturbed, and the others take its word.
        with FileLock(f"{cache}.lock", timeout=10):
            return remembered(cache, " ".join(map(str, facts)))
    except (OSError, NotImplementedError):  # without a home, or one that knows no locks, every process measures
        return measure()


def remembered(cache: Path, key: str) -> tuple[float, float]:
    """What `cache` says of `key`, measured where it says nothing."""
    known = {}
    with contextlib.suppress(OSError, ValueError):  # none yet, or not ours
        known = json.loads(cache.read_text())
    if key not in known:
        known[key] = measure()
        write_text(cache, json.dumps(known, indent=2) + "\n")
    values, weight_gradient = known[key]
    return values, weight_gradient


def measure() -> tuple[float, float]:
    """`speedups`, in about 25 milliseconds on one thread."""
    # No random numbers: loading a model must not move the seeds that come after it.
    shapes = ((512, 192), (256, 192), (512, 256))
    x, weight, gradient = (torch.full(shape, 0.5, dtype=torch.float32, device="cpu") for shape in shapes)

    def seconds(product: Callable[[Tensor, Tensor], Tensor], *pairs: tuple[Tensor, Tensor]) -> float:
        start = time.perf_counter()
        for pair in pairs:
            product(*pair)
        return time.perf_counter() - start

    def speedup(*pairs: tuple[Tensor, Tensor]) -> float:
        rounds = [(seconds(nn.functional.linear, *pairs), seconds(_product, *pairs)) for _ in range(6)]
        # The fastest of each: whatever else the machine does only ever adds to a time.
        usual, fast = (min(times) for times in zip(*rounds, strict=True))
        return usual / fast

    with torch.no_grad():
        return speedup((x, weight), (gradient, weight.t())), speedup((gradient.t(), x.t()))
