"""One decoding step as a captured CUDA graph.

A step for one token of each row is hundreds of small kernels. Launching them one by one from Python takes several times
as long as they run; a graph of them is launched at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from papo.policy.caches import FixedDecodeCache

Step = Callable[[Tensor, Tensor, FixedDecodeCache], Tensor]


class CapturedStep:
    """Runs a step as it is when the cache's layout is new, captures it the second time, and replays it from then on.

    Args:
        step: tokens [b], positions [b] and a cache to [b, H]; without anything that waits for the device.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.layout: int | None = None
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, tokens: Tensor, positions: Tensor, cache: FixedDecodeCache) -> Tensor:
        """[b, H], to be read before the next call."""
        if cache.layout != self.layout:
            self.layout, self.graph = cache.layout, None  # the memory of the old one is free for the new one
            return self.step(tokens, positions, cache)
        if self.graph is None:
            self.tokens, self.positions = tokens.clone(), positions.clone()
            self.graph = torch.cuda.CUDAGraph()
            # Other threads (one that pins memory, NCCL's watchdog) call CUDA meanwhile, and may.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.hidden = self.step(self.tokens, self.positions, cache)
        self.tokens.copy_(tokens)
        self.positions.copy_(positions)
        self.graph.replay()
        return self.hidden


def can_capture(policy: nn.Module) -> bool:
    """Whether its steps are kernels of a CUDA device alone; sharded weights come by other ways in between."""
    device = next(policy.parameters()).device
    return device.type == "cuda" and not isinstance(policy, FSDPModule)
