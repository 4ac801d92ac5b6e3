"""Linear layers through oneDNN where that is the faster library: float32 on an x86 processor.

torch hands float32 products to MKL, which on AMD leaves AVX-512 unused. oneDNN, also part of torch, does not, and runs
them at about twice the speed there (experiments/step_cost). The numbers agree to float32 rounding. Its switch is
torch's own: `torch.backends.mkldnn.flags(enabled=False)`.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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


class OneDnnLinear(nn.Linear):
    """nn.Linear, computed by oneDNN where it can."""

    def forward(self, x: Tensor) -> Tensor:
        if (
            x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and x.dim() > 1
            and x.numel() > 0
            and torch.backends.mkldnn.enabled
            and not torch.is_autocast_enabled("cpu")
        ):
            if torch.is_grad_enabled():
                return _Product.apply(x, self.weight, self.bias)
            return _product(x, self.weight, self.bias)
        return super().forward(x)


def use_onednn(model: nn.Module) -> None:
    """Turns every nn.Linear of `model` into a OneDnnLinear, in place; weights, names and state dict stay the same."""
    if AVAILABLE:
        for module in model.modules():
            if type(module) is nn.Linear:
                module.__class__ = OneDnnLinear
