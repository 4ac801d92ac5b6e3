"""What autocast, where it is on, makes of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def autocasts(device: str) -> bool:
    """Whether products on that kind of device are cast to a lower precision now."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


@contextmanager
def casting_once(device: str) -> Iterator[None]:
    """Where products are cast to a lower precision, casts each trained weight once and not again for each token.

    They are forgotten at the end: after an update they would be the weights of yesterday.
    """
    if not autocasts(device):
        yield
        return
    try:
        with torch.autocast(device, torch.get_autocast_dtype(device), cache_enabled=True):
            yield
    finally:
        torch.clear_autocast_cache()
