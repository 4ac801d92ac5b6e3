"""The same layers by faster library calls; weights, names and state dict stay as transformers has them.

On a CPU torch hands float32 products to MKL. oneDNN, also part of torch, has its own, and which is faster depends on
the processor: on some with AVX-512 oneDNN by a factor of two, on others they are level, on some with AVX2 alone MKL by
1.2 to 1.4. So both are timed once per process. The numbers agree to float32 rounding. torch's own switch works too:
`torch.backends.mkldnn.flags(enabled=False)`.

The vision tower's patch embedding is a convolution whose kernel covers the whole patch: one product per patch, which as
a linear layer takes a fifth of the time on a CPU.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from papo.errors import SettingError

CHOICES = ("auto", "on", "off")

# oneDNN is chosen unless MKL is clearly faster. Where they are level, noise would choose, and a run would not repeat to
# the last digit on one machine; where one is faster at all, it is so by more than this.
TIE = 0.85


class _Product(torch.autograd.Function):
    """x W^T + b. oneDNN's operator knows no gradient, so it is written out; each of its parts is a product again."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        return (
            _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None,
            _product(rows.t(), x.flatten(0, -2).t()) if ctx.needs_input_grad[1] else None,
            rows.sum(0) if ctx.needs_input_grad[2] else None,
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


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b by oneDNN, with gradient where it is wanted."""
    return _Product.apply(x, weight, bias) if torch.is_grad_enabled() else _product(x, weight, bias)


class OneDnnLinear(nn.Linear):
    """nn.Linear, computed by oneDNN where it can."""

    def forward(self, x: Tensor) -> Tensor:
        return multiply(x, self.weight, self.bias) if eligible(x, self.weight) else super().forward(x)


class PatchLinear(nn.Conv3d):
    """nn.Conv3d, computed as a linear layer where the kernel covers the input."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != self.kernel_size or any(self.padding) or self.groups != 1:
            return super().forward(x)
        weight = self.weight.flatten(1)
        if eligible(x, weight):
            return multiply(x.flatten(1), weight, self.bias)[..., None, None, None]
        return nn.functional.linear(x.flatten(1), weight, self.bias)[..., None, None, None]


def accelerate(model: nn.Module, fast_layers: str) -> str:
    """Puts the layers above in the place of every nn.Linear and nn.Conv3d inside `model`.

    Args:
        fast_layers: "on", "off" (transformers' own layers), or "auto": the convolutions, and the linear layers where
            oneDNN proves to be no slower.

    Returns:
        What was chosen and why, for records.

    Raises:
        SettingError: no such choice, or this torch has no oneDNN.
    """
    fast_layers = {True: "on", False: "off"}.get(fast_layers, fast_layers)  # what YAML makes of a bare on and off
    if fast_layers not in CHOICES:
        raise SettingError("fast_layers", f"must be one of {', '.join(CHOICES)}, got {fast_layers!r}")
    available = torch.backends.mkldnn.is_available()
    if fast_layers == "on" and not available:
        raise SettingError("fast_layers", "must be auto or off where torch was built without oneDNN, got 'on'")
    if fast_layers == "off":
        return "off"
    put_in_place(model, nn.Conv3d, PatchLinear)
    if not available:
        return "patch embedding only: torch was built without oneDNN"
    if fast_layers == "auto" and speedup() < TIE:
        return f"patch embedding only: oneDNN's products are {speedup():.2f} times as fast as torch's own"
    put_in_place(model, nn.Linear, OneDnnLinear)
    return "on" if fast_layers == "on" else f"on: oneDNN's products are {speedup():.2f} times as fast as torch's own"


def put_in_place(model: nn.Module, usual: type[nn.Module], fast: type[nn.Module]) -> None:
    """Every `usual` inside `model` becomes a `fast` with the same parameters, attributes and hooks."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is usual:  # a subclass has reasons of its own
                twin = fast.__new__(fast)
                twin.__dict__.update(layer.__dict__)
                setattr(parent, name, twin)


@functools.cache
def speedup() -> float:
    """How many times as fast as torch's own products oneDNN's are here: a layer forward and backward, in float32.

    Measured once per process, in about 25 milliseconds on one thread: one choice for all that it loads.
    """
    # No random numbers: loading a model must not move the seeds that come after it.
    x, weight, gradient = (torch.full(shape, 0.5) for shape in ((512, 192), (256, 192), (512, 256)))
    pairs = ((x, weight), (gradient, weight.t()), (gradient.t(), x.t()))  # the three products of _Product

    def seconds(product: Callable[[Tensor, Tensor], Tensor]) -> float:
        start = time.perf_counter()
        for pair in pairs:
            product(*pair)
        return time.perf_counter() - start

    with torch.no_grad():
        rounds = [(seconds(nn.functional.linear), seconds(_product)) for _ in range(6)]
    # The fastest of each: whatever else the machine does only ever adds to a time.
    usual, fast = (min(times) for times in zip(*rounds, strict=True))
    return usual / fast
