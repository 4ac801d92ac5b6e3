"""A device that is not the CPU, on a machine that has no other: a tensor that was forgotten on the CPU is found.

Tensors say that they are on the device "meta", but have values, which lie on the CPU unseen. An operation that mixes
them with the CPU's fails as it would on any accelerator. The device knows no float64, as MPS, and no running sum of
floats where algorithms are to be deterministic, as CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
# Moves, and indexing, where an index may lie on the CPU.
MIXING = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor, aten.index_put.default, aten.index_put_.default}


class Elsewhere(Tensor):
    """A tensor on the other device."""

    @staticmethod
    def __new__(cls, value: Tensor) -> Elsewhere:
        return Tensor._make_wrapper_subclass(
            cls, value.shape, value.stride(), value.storage_offset(), dtype=value.dtype, device=DEVICE
        )

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Elsewhere({self.value})"

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(with_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(with_tensors(index), value)

    def tolist(self) -> list:  # torch refuses it to subclasses
        return self.value.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def with_tensors(index: Any) -> Any:
    """An index whose lists are tensors on the CPU: torch would make them on the device, without values."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(torch.tensor(part, dtype=torch.long) if isinstance(part, list) else part for part in parts)


class OtherDevice(TorchDispatchMode):
    """Within it the device can be made tensors on, and moved to and from."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Constants(TorchFunctionMode):
    """torch.tensor(..., device=DEVICE) would make a tensor without values and ask no other mode."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None and torch.device(kwargs["device"]) == DEVICE:
            values = tree_map(lambda x: x.value if isinstance(x, Elsewhere) else x, args)
            return Elsewhere(func(*values, **kwargs | {"device": "cpu"}))
        return func(*args, **kwargs)


def run(func: Any, args: tuple, kwargs: dict) -> Any:
    found: list[Tensor] = []
    tree_map(lambda x: found.append(x) if isinstance(x, Tensor) else None, (args, kwargs))
    there = [x for x in found if isinstance(x, Elsewhere)]
    target = kwargs.get("device")
    if func not in MIXING and there and any(type(x) is not Elsewhere and x.dim() > 0 for x in found):
        shapes = [f"{x.device.type} {tuple(x.shape)}" for x in found]
        raise RuntimeError(f"Expected all tensors to be on the same device in {func}, but found {', '.join(shapes)}")
    if func is aten.cumsum.default and there and found[0].is_floating_point():
        assert not torch.are_deterministic_algorithms_enabled(), "this device has no deterministic cumsum"
    elsewhere = bool(there) if target is None else torch.device(target) == DEVICE
    values = tree_map(lambda x: x.value if isinstance(x, Elsewhere) else x, (args, kwargs))
    if target is not None:
        values[1]["device"] = torch.device("cpu")
    result = func(*values[0], **values[1])
    if func._schema.is_mutable:
        return args[0] if isinstance(args[0], Tensor) else result  # in place: what is mutated is first
    if func is aten._local_scalar_dense.default or not elsewhere:
        return result
    made: list[Tensor] = []
    tree_map(lambda x: made.append(x) if isinstance(x, Tensor) else None, result)
    assert not any(x.dtype == torch.float64 for x in made), f"this device has no float64: {func}"
    return tree_map(lambda x: Elsewhere(x) if isinstance(x, Tensor) else x, result)


def move(module: nn.Module) -> nn.Module:
    """The module on the other device, in place; parameters that are shared stay so."""
    places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            places.setdefault(parameter, []).append((owner, name))
    module._apply(lambda tensor: Elsewhere(tensor.detach().clone()))
    for (first, name), *others in places.values():
        for owner, other in others:
            setattr(owner, other, getattr(first, name))
    return module


def back(tensor: Tensor) -> Tensor:
    """The values of a tensor on any device, on the CPU."""
    return tensor.value if isinstance(tensor, Elsewhere) else tensor.cpu()
