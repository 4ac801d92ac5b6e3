"""Randomness as a pure function of what it is for, so that resuming, ranks and workers cannot change it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from papo.types import Item


def derive_seed(*parts: object) -> int:
    """A 63-bit seed for e.g. ("corruption", seed, step, item id); equal on every machine."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def item_seeds(purpose: str, seed: int, step: int, items: Sequence[Item]) -> list[int]:
    """One seed per item of a step's batch, for one purpose."""
    return [derive_seed(purpose, seed, step, item.id) for item in items]
