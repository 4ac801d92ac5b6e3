"""The best checkpoint of a run, and an end for one that no longer gets better."""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from lightning import Callback, Trainer

from papo import ranks
from papo.arguments import Count, Must, Text, checked
from papo.errors import ConfigError
from papo.files import replacing
from papo.training.base import PolicyModule
from papo.training.callbacks import write_checkpoint
from papo.training.history import GUESSABLE


class Best(Callback):
    """Writes checkpoints/best.ckpt after each validation in the midst of training that was better than those before.

    A model is made of it with export=<run>/checkpoints/best.ckpt. What was best of many is no measure of how good it
    is: the one after all steps, of all items, is.

    Args:
        run_dir: of the run.
        every: steps between two validations.
        measure: what is to be high; see papo.training.history.
        patience: validations in a row that were no better after which the run ends; None = it goes on.

    Raises:
        SettingError: a setting out of range.
    """

    @checked
    def __init__(
        self,
        run_dir: Text | Path,
        every: Annotated[int, Must("be at least 1 with callbacks=best", lambda steps: steps >= 1)],
        measure: Text,
        patience: Count | None,
    ) -> None:
        self.path = Path(run_dir) / "checkpoints" / "best.ckpt"
        self.measure, self.patience = measure, patience
        self.best, self.step, self.worse = -math.inf, 0, 0

    def setup(self, trainer: Trainer, module: PolicyModule, stage: str) -> None:
        """Before the first validation, which may take minutes."""
        self.check(module.held_out.measures | {GUESSABLE})

    def on_fit_start(self, trainer: Trainer, module: PolicyModule) -> None:
        """Where a run goes on in another folder, what was best so far comes along, or is forgotten if it is gone; or if
        it is of other items, as in an older checkpoint."""
        if trainer.ckpt_path is None or not self.step:
            return
        if not module.history.items_during:
            if ranks.is_first():
                print(
                    f"{trainer.ckpt_path} is of a version that validated on other items in the midst of training: "
                    f"what was best by them, step {self.step}, says nothing here; the best of what follows is kept",
                    flush=True,
                )
            self.best, self.step, self.worse = -math.inf, 0, 0
            return
        before = Path(trainer.ckpt_path).with_name(self.path.name)
        if not ranks.of_first(self.path.is_file() or before.is_file()):
            self.best, self.step, self.worse = -math.inf, 0, 0
            print(f"{before} is gone: the best of what follows is kept", flush=True)
        elif ranks.is_first() and not self.path.is_file():
            with replacing(self.path) as part:
                shutil.copyfile(before, part)

    def check(self, measured: Collection[str]) -> None:
        if self.measure not in measured:
            known = ", ".join(sorted(measured))
            raise ConfigError(f"callbacks.best.measure={self.measure} is not measured; {known} are")

    def on_validation_end(self, trainer: Trainer, module: PolicyModule) -> None:
        if module.idle:
            return
        found = module.history.course[module.step]
        self.check(found)
        if not module.during:
            return
        if found[self.measure] > self.best:
            self.best, self.step, self.worse = found[self.measure], module.step, 0
            write_checkpoint(trainer, self.path)
            return
        self.worse += 1
        if self.patience is not None and self.worse >= self.patience:
            trainer.should_stop, module.ended_by = True, f"callbacks.best.patience={self.patience}"
            print(f"\n{self.measure} was best at step {self.step}: the run ends, {self.path} stays", flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "step": self.step, "worse": self.worse}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.step, self.worse = state["best"], state["step"], state["worse"]
