"""Gradient checkpointing: a block's activations are made again in the backward pass instead of being kept.

transformers' own takes the cache away from every layer, and with it the prompt that responses share. Here a layer keeps
it: what a layer puts into the cache carries its gradient, and what it reads from it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputed:
    """A block's forward that keeps only its inputs; within the module's call, so hooks around it run once."""

    def __init__(self, block: nn.Module) -> None:
        self.forward = block.forward
        configs = {id(part.config): part.config for part in block.modules() if hasattr(part, "config")}
        self.configs = [config for config in configs.values() if hasattr(config, "_attn_implementation")]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*args, **kwargs)
        return checkpoint(self.forward, *args, use_reentrant=False, context_fn=self.contexts, **kwargs)

    def contexts(self) -> tuple[AbstractContextManager, AbstractContextManager]:
        """Of the forward pass and of its repetition, which attends in the same way whatever is the way by then."""
        return nullcontext(), attending_as(self.configs, [config._attn_implementation for config in self.configs])


@contextmanager
def attending_as(configs: list[Any], names: list[str]) -> Iterator[None]:
    usual = [config._attn_implementation for config in configs]
    try:
        for config, name in zip(configs, names, strict=True):
            config._attn_implementation = name
        yield
    finally:
        for config, name in zip(configs, usual, strict=True):
            config._attn_implementation = name


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Checkpoints each block, in place; values and gradients stay, time is about a third more."""
    for block in blocks:
        block.forward = Recomputed(block)
