"""What share of a run's own training questions its base answers without their pictures."""

from __future__ import annotations

from typing import Any

from lightning import Callback, Trainer

from papo import ranks
from papo.arguments import Count, CountOrOff, checked
from papo.evaluation.answering import answer, blinded
from papo.policy.sampling import Sampling
from papo.seeding import derive_seed
from papo.statistics import Estimate, mean_over_items
from papo.training.base import PolicyModule


class TrainingBlind(Callback):
    """Measures it once, with the validation before the first step; goes with the checkpoints.

    Args:
        items: training items, the first of the run; 0 = off.
        samples: blind responses to each.
        sampling: how they are drawn.

    Attributes:
        estimate: the mean over the items that can be graded; None where it was not measured.

    Raises:
        SettingError: a negative number of items.
    """

    @checked
    def __init__(self, items: CountOrOff, samples: Count, sampling: Sampling) -> None:
        self.items, self.samples, self.sampling = items, samples, sampling
        self.estimate: Estimate | None = None

    def on_validation_end(self, trainer: Trainer, module: PolicyModule) -> None:
        if self.items == 0 or module.step > 0 or self.estimate is not None:
            return
        items, size = trainer.datamodule.first(self.items), trainer.datamodule.val_batch_size
        found = []  # of each of this rank's batches
        # Other draws than evaluate.py guessable=true has by the same seed: by those items may have been chosen.
        seed = derive_seed("training-blind", module.seed)
        settings = {"k": self.samples, "sampling": self.sampling, "seed": seed}
        with trainer.precision_plugin.forward_context():  # outside of which callbacks run
            for batch in ranks.batches(len(items), size):
                prompts = blinded(module.processor.prompts([items[n] for n in batch]).to(module.device))
                answered, _ = answer(module.policy, module.engine, module.processor, prompts, **settings)
                found.append([item.accuracy for item in answered if item.scorable])
        means = [accuracy for of_batch in ranks.collected(found) for accuracy in of_batch]
        self.estimate = mean_over_items(means) if means else None

    def state_dict(self) -> dict[str, Any]:
        return {"estimate": None if self.estimate is None else self.estimate.to_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        found = state["estimate"]
        self.estimate = None if found is None else Estimate(found["mean"], tuple(found["ci95"]), found["n"])


def training_blind(trainer: Trainer) -> Estimate | None:
    """What a run measured; None where it did not."""
    found = [callback.estimate for callback in trainer.callbacks if isinstance(callback, TrainingBlind)]
    return found[0] if found else None


def training_lines(measured: dict[str, Any] | None) -> list[str]:
    """What a run's last table says of it, from its entry in metrics.json; nothing where it was not measured."""
    if measured is None:
        return []
    percent = Estimate(measured["mean"], tuple(measured["ci95"]), measured["n"])
    return [f"training questions answered blind by the base: {percent} % ({percent.n} items)"]
