"""Where the processor time of a step goes, with the arguments of papo_step.py:

    python experiments/step_cost/parts.py --model DIR --vision trained --threads 1 --steps 5

Processor time, so that what else the machine does matters little. A part's time is its own, without the parts that it
calls; "with gradient" says that the call recorded a graph. Medians over the steps.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from statistics import median
from typing import Any

import papo_step
import torch
from lightning import Callback, Trainer

from papo.data.module import PromptData
from papo.policy import vlm
from papo.training.papo import PapoModule

VERBS = ("encode", "prefill", "sample", "score")


class Parts(Callback):
    """Seconds of each watched function, step by step."""

    def __init__(self) -> None:
        self.now: dict[str, float] = defaultdict(float)
        self.inside: list[float] = []  # time of the calls within each call that is running
        self.steps: list[dict[str, float]] = []
        self.start: float | None = None

    def watch(self, owner: Any, method: str, name: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        @wraps(inner)
        def timed(*args, **kwargs):
            part = f"{name}, with gradient" if torch.is_grad_enabled() and name != "step, the rest" else name
            self.inside.append(0.0)
            start = time.process_time()
            try:
                return inner(*args, **kwargs)
            finally:
                seconds = time.process_time() - start
                self.now[part] += seconds - self.inside.pop()
                if self.inside:
                    self.inside[-1] += seconds

        setattr(owner, method, timed)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        end = time.process_time()
        if self.start is not None:  # the first step warms up
            self.steps.append({**self.now, "whole step": end - self.start})
        self.now.clear()
        self.start = time.process_time()


def watched(module: PapoModule) -> Parts:
    parts = Parts()
    for verb in VERBS:
        parts.watch(module.policy, verb, verb)
    if module.reference is not None:
        for verb in ("encode", "prefill", "score"):
            parts.watch(module.reference, verb, f"reference: {verb}")
    parts.watch(vlm, "token_scores", "vocabulary")
    parts.watch(module, "manual_backward", "backward")
    parts.watch(module, "apply_gradient", "optimizer")
    parts.watch(module, "collate", "processing")
    parts.watch(module.views, "make", "corruption")
    parts.watch(module, "training_step", "step, the rest")
    return parts


def main() -> None:
    arguments = papo_step.ARGUMENTS
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    module = papo_step.build_module()
    parts = watched(module)
    source = papo_step.Prompts(arguments.prompts, arguments.image_size, arguments.seed)
    sizes = {"batch_size": arguments.prompts, "val_batch_size": 1, "val_items": 1, "num_workers": 0}
    data = PromptData(source, source, collate=module.collate, val_collate=module.collate, seed=arguments.seed, **sizes)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=arguments.steps + 1,
        limit_val_batches=0,
        callbacks=[parts],
        **dict.fromkeys(quiet, False),
    )
    trainer.fit(module, data)
    names = {name for step in parts.steps for name in step}
    seconds = {name: median(step.get(name, 0.0) for step in parts.steps) for name in names}
    ordered = dict(sorted(seconds.items(), key=lambda part: -part[1]))
    print(json.dumps(ordered, indent=2), file=papo_step.STDOUT)


if __name__ == "__main__":
    main()
