"""How far a run is: a bar in a terminal; a line now and then in a file, where a bar would be all that there is."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar

from papo import ranks
from papo.arguments import Positive, checked
from papo.training.base import PolicyModule

# What a run is followed by: the reward of its roll-outs; the loss where it imitates targets.
GOES_BY = {"reward/mean": "reward", "loss/total": "loss"}


@checked
def make_progress(*, refresh_rate: int, seconds_between_lines: Positive) -> ProgressBar:
    """
    Args:
        refresh_rate: steps between two updates of the bar.
        seconds_between_lines: without a terminal.
    """
    # stdout is what the bar is written to.
    return TQDMProgressBar(refresh_rate) if sys.stdout.isatty() else ProgressLines(seconds_between_lines)


class ProgressLines(ProgressBar):
    """A line every so many seconds: step, reward, accuracy, time that is left; or how much is measured.

    Args:
        every: seconds.
    """

    def __init__(self, every: float) -> None:
        super().__init__()
        self.every = every
        self.last: float | None = None  # when something was said; None = nothing has begun
        self.begun, self.first = 0.0, 0  # when training did, and after which step

    def disable(self) -> None:
        """Lightning's word to ranks that print nothing; those are known."""

    def on_validation_start(self, trainer: Trainer, module: PolicyModule) -> None:
        self.last = time.monotonic() if self.last is None else self.last

    def on_train_start(self, trainer: Trainer, module: PolicyModule) -> None:
        self.begun, self.first = time.monotonic(), module.step
        self.last = self.begun if self.last is None else self.last

    def on_train_batch_end(self, trainer: Trainer, module: PolicyModule, *_: Any) -> None:
        if self.due():
            pace = (time.monotonic() - self.begun) / (module.step - self.first)
            said = [f"step {module.step} of {module.total_steps}"]
            said += [f"{word} {module.metrics[tag]:.3f}" for tag, word in GOES_BY.items() if tag in module.metrics][:1]
            said += accuracy(module)
            said.append(f"{pace * (module.total_steps - module.step):.0f} s of training left")
            print(", ".join(said), flush=True)

    def on_validation_batch_end(
        self, trainer: Trainer, module: PolicyModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not module.idle and self.due():
            done = sum(trainer.num_val_batches[:dataloader_idx]) + batch_idx + 1
            said = f"measuring after step {module.step}: {done} of {sum(trainer.num_val_batches)} batches"
            print(said, flush=True)

    def due(self) -> bool:
        """Whether something is to be said, which then is what was said last."""
        now = time.monotonic()
        if not ranks.is_first() or now < self.last + self.every:
            return False
        self.last = now
        return True


def accuracy(module: PolicyModule) -> list[str]:
    """What was validated last; greedy where that was measured."""
    for step, means in reversed(module.history.course.items()):
        for name in ("greedy", "accuracy"):
            if name in means:
                return [f"{name} {100 * means[name]:.1f} % after step {step}"]
    return []
