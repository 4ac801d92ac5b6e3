"""Bytes that a piece of a model takes, by running it on tensors that have shapes and no memory.

What autograd keeps is not written down here a second time: the very modules run, on torch's fake tensors, and each
storage is counted from its making to its end.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Module = TypeVar("Module", bound=nn.Module)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Cost:
    """Bytes of one piece of a forward pass and of its backward pass; weights and their gradients are not among them."""

    kept: int = 0  # from the forward to the backward pass, what it was given included where it is saved
    forward: int = 0  # most at one time while it runs
    backward: int = 0  # most at one time in its backward pass, beyond `kept`
    logits: bool = False  # whether it is of the vocabulary


class LiveBytes(TorchDispatchMode):
    """Within it, the bytes of the storages that were made within it.

    Attributes:
        now: of those that are still there.
        peak: most at one time; may be set back to `now`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {id(x.untyped_storage()) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in given:
                self.add(tensor.untyped_storage())
        return result

    def add(self, storage: torch.UntypedStorage) -> None:
        if id(storage) not in self.known:
            self.known.add(id(storage))
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.drop, id(storage), storage.nbytes())

    def drop(self, number: int, nbytes: int) -> None:
        self.known.discard(number)
        self.now -= nbytes


class Tracer:
    """Runs pieces on fake tensors of the CPU, whose fused attention keeps what an accelerator's does.

    Args:
        weights: what weights are computed with, None = what they are.
        autocast: what products are cast to, None = they are not.
    """

    def __init__(self, weights: torch.dtype | None = None, autocast: torch.dtype | None = None) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.weights, self.autocast = weights, autocast
        with self.mode:
            self.leaves = {dtype: torch.empty((), dtype=dtype, requires_grad=True) for dtype in DTYPES}

    @contextmanager
    def running(self, *, gradient: bool) -> Iterator[None]:
        cast = torch.autocast("cpu", self.autocast, enabled=self.autocast is not None, cache_enabled=False)
        with self.mode, torch.set_grad_enabled(gradient), cast:
            yield

    def faked(self, module: Module) -> Module:
        """A copy with fake weights that have gradients already: from the second micro-batch on they have."""
        twin = copy.deepcopy(module)
        with self.mode:
            for part in twin.modules():
                for name, parameter in part._parameters.items():
                    if parameter is not None:
                        part._parameters[name] = self.weight(parameter)
                for name, buffer in part._buffers.items():
                    if buffer is not None:
                        part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
        return twin

    def weight(self, parameter: nn.Parameter) -> nn.Parameter:
        fake = nn.Parameter(
            torch.empty(parameter.shape, dtype=self.weights or parameter.dtype), parameter.requires_grad
        )
        if fake.requires_grad:
            fake.grad = torch.empty_like(fake)
        return fake

    def made(self, *shape: int, dtype: torch.dtype, gradient: bool = False) -> Tensor:
        """A fake tensor, to be called while a piece runs; with `gradient` no leaf, which a graph would keep alive."""
        if not gradient:
            return torch.empty(shape, dtype=dtype)
        return self.leaves[dtype].expand(shape).clone()

    def cost(self, run: Callable[[], Any], *, gradient: bool) -> Cost:
        """Of what `run` does, which makes what it is given itself; what it returns belongs to the piece behind it."""
        with self.running(gradient=gradient), LiveBytes() as live:
            results = [x for x in tree_leaves(run()) if isinstance(x, Tensor)]
            forward = live.peak
            roots = [(get_gradient_edge(x), x.shape, x.dtype) for x in results if x.requires_grad]
            del results
            kept = live.now
            live.peak = live.now
            if roots:
                edges, gradients = zip(*((edge, torch.empty(*s, dtype=d)) for edge, s, d in roots), strict=True)
                torch.autograd.backward(edges, gradients)
                del gradients
            return Cost(kept, forward, live.peak - kept)


def peak(pieces: Iterable[Cost]) -> int:
    """Most bytes at one time, forward through the pieces and back again."""
    pieces, level, most = list(pieces), 0, 0
    for piece in pieces:
        most = max(most, level + piece.forward)
        level += piece.kept
    for piece in reversed(pieces):
        most = max(most, level + piece.backward)
        level -= piece.kept
    return most
