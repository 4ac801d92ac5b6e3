"""Randomness as a pure function of what it is for, so that resuming, ranks and workers cannot change it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from papo.types import PromptBatch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed for e.g. ("corruption", seed, step, item id); equal on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def item_seeds(purpose: str, seed: int, step: int, prompts: PromptBatch) -> list[int]:
    """One seed per item of a step's batch, for one purpose; an item that comes again gets another one."""
    before = repeats([item.id for item in prompts.items]) if prompts.repeats is None else prompts.repeats
    return [
        derive_seed(purpose, seed, step, item.id, *((times,) if times else ()))
        for item, times in zip(prompts.items, before, strict=True)
    ]


def repeats(ids: Sequence[str]) -> list[int]:
    """How often each has come before.

    >>> repeats(["a", "b", "a", "a"])
    [0, 0, 1, 2]
    """
    seen: Counter[str] = Counter()
    found = []
    for id in ids:
        found.append(seen[id])
        seen[id] += 1
    return found


def generator(seed: int) -> np.random.Generator:
    """Randomness from all bits of a seed; torch's CPU generator keeps the lower 32."""
    return np.random.Generator(np.random.Philox(key=seed))


def uniform(seed: int, *shape: int) -> Tensor:
    """Numbers in [0, 1), float32, on the CPU."""
    return torch.from_numpy(generator(seed).random(shape, dtype=np.float32))
