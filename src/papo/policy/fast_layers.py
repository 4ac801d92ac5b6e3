"""The same layers by faster library calls; weights, names and state dict stay as transformers has them.

Linear layers go through oneDNN where that is the faster library: float32 on an x86 processor.

torch hands float32 products to MKL, which on AMD leaves AVX-512 unused. oneDNN, also part of torch, does not, and runs
them at about twice the speed there (experiments/step_cost). The numbers agree to float32 rounding. Its switch is
torch's own: `torch.backends.mkldnn.flags(enabled=False)`.

The vision tower's patch embedding is a convolution whose kernel covers the whole patch: one product per patch, which as
a linear layer takes a fifth of the time on a CPU.
"""

from __future__ import annotations

import os
import platform

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# oneDNN, and torch in front of it, keep what they compiled for each shape of a product: 0.4 MB each, for the last 1,024
# shapes unless told otherwise. Where lengths differ from step to step, that grows to half a gigabyte in a fragmented
# heap; compiling a shape again takes 0.3 ms (experiments/dynamic_sampling). Both read this at their first product.
for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(variable, "256")

AVAILABLE = platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()


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
        AVAILABLE
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


def accelerate(model: nn.Module) -> None:
    """Turns every nn.Linear and nn.Conv3d of `model` into the layers above, in place."""
    for module in model.modules():
        if type(module) is nn.Linear and AVAILABLE:
            module.__class__ = OneDnnLinear
        elif type(module) is nn.Conv3d:
            module.__class__ = PatchLinear
