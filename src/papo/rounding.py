"""Float32 numbers as bfloat16 ones, by chance: what is smaller than the gap between two of them is not lost."""

from __future__ import annotations

import torch
from torch import Tensor

# Bits of a float32 that a bfloat16 has no room for.
DROPPED_BITS = 16


def round_by_chance(x: Tensor, generator: torch.Generator) -> Tensor:
    """x to one of the two bfloat16 numbers around it, the nearer the likelier: its mean is x (arXiv 2010.06192).

    What is a bfloat16 number already stays as it is.

    Args:
        x: float32, finite.
    """
    # The bits of a float32 count up its magnitude: noise below the last bit that is kept carries into it as often as
    # the part that is dropped is large.
    noise = torch.randint(1 << DROPPED_BITS, x.shape, generator=generator, device=x.device, dtype=torch.int32)
    bits = (x.contiguous().view(torch.int32) + noise) & -(1 << DROPPED_BITS)
    return bits.view(torch.float32).to(torch.bfloat16)
