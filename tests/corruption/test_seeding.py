"""Seeds are a pure function of what they are for, on every machine."""

import torch

from papo.seeding import derive_seed


def test_pinned():
    """blake2b of "corruption/0/3/item-7", halved; a change of this number changes every published run."""
    assert derive_seed("corruption", 0, 3, "item-7") == 7231397536147012519


def test_every_part_counts():
    seeds = {
        derive_seed(purpose, seed, step, item)
        for purpose in ("rollout", "corruption")
        for seed in (0, 1, 11)
        for step in (0, 1, 10, 11)
        for item in ("a", "b", "1")
    }
    assert len(seeds) == 2 * 3 * 4 * 3


def test_torch_takes_every_seed():
    seeds = [derive_seed(i) for i in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**61  # the range is used
    for seed in seeds:
        torch.Generator().manual_seed(seed)
