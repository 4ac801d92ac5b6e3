"""What a run takes, all its sessions together: one that goes on adds to what its checkpoint says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from papo import ranks
from papo.run_dir import peak_memory_gib


class Cost:
    """Time and memory of a run.

    Attributes:
        began: by time.perf_counter, when this session did.
        step_seconds: of each step, in this process; those of earlier sessions in the first one.
    """

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.before = {"seconds": 0.0, "peak_memory_gib": 0.0}  # of earlier sessions, up to their checkpoint
        self.step_seconds: list[float] = []

    def total(self) -> dict[str, float]:
        """Seconds, and the peak of the process that took most; all ranks have to ask."""
        return {
            "seconds": self.before["seconds"] + time.perf_counter() - self.began,
            "peak_memory_gib": max(self.before["peak_memory_gib"], *ranks.gathered(peak_memory_gib())),
        }

    def to_dict(self) -> dict[str, Any]:
        return self.total() | {"step_seconds": self.step_seconds}

    def load(self, saved: Mapping[str, Any]) -> None:
        self.before = {name: saved[name] for name in self.before}
        self.step_seconds = list(saved["step_seconds"])
