"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to restore."""

from __future__ import annotations

import math

SCHEDULES = ("constant", "cosine")


def learning_rate_scale(schedule: str, step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Factor on the learning rate at `step` (from 0), linear from near 0 to 1 over the warm-up.

    constant: 1 (the paper). cosine: from 1 down to 0.02 at `total_steps`.
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    if schedule == "constant":
        return warmup
    progress = min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps))
    floor = 0.02  # the last steps still move
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
