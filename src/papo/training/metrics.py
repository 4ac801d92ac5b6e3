"""What a step and a validation measure, as torchmetrics, which add up over micro-batches and batches.

Over ranks papo.ranks adds up: torchmetrics would wait for names that one of them does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from papo.objective.branch import CLEAN
from papo.ranks import means
from papo.training.views import differing
from papo.types import Rollouts


class Sums(Metric):
    """Sums by name over the micro-batches of an update; names are those that came since the last reset."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.names: dict[str, None] = {}  # in order

    def update(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            if name not in self._defaults:
                self.add_state(name, torch.zeros((), device=value.device), dist_reduce_fx="sum")
            self.names[name] = None
            setattr(self, name, getattr(self, name) + value)

    def compute(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.names}

    def reset(self) -> None:
        super().reset()
        self.names = {}


class ItemMeans(Metric):
    """Values of each item by name, e.g. its share of right answers, over the batches of a validation."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)

    def update(self, values: Mapping[str, Sequence[float]]) -> None:
        for name, of_items in values.items():
            if name not in self._defaults:
                self.add_state(name, [], dist_reduce_fx="cat")
            getattr(self, name).append(torch.tensor(of_items, dtype=torch.float32, device=self.device))

    def compute(self) -> dict[str, list[float]]:
        """What was measured of any item, in the order of the items."""
        states = {name: getattr(self, name) for name in self._defaults}
        return {name: dim_zero_cat(state).tolist() for name, state in states.items() if len(state)}


def rollout_metrics(rollouts: Rollouts | None) -> dict[str, float]:
    """Metrics that need no gradient, of the responses on all ranks.

    Args:
        rollouts: of this rank; None where it has none.
    """
    if rollouts is None:
        return means({})
    rewards, responses = rollouts.rewards, rollouts.responses
    values = {
        "reward/mean": rollouts.totals,
        "response/length_mean": responses.response_mask.sum(-1),
        "response/frac_unfinished": ~responses.finished,
        "reward/frac_unscorable": [not result.scorable for result in rewards],
        "reward/frac_failed": [result.failed for result in rewards],
    }
    values |= {f"reward/{part}": [result.parts[part] for result in rewards] for part in rewards[0].parts}
    return means(values | {f"views/same_{name}": same for name, same in unchanged(rollouts).items()})


def unchanged(rollouts: Rollouts) -> dict[str, list[bool]]:
    """By the name of each other view, of the prompts with pictures, or of their responses where each has its own view:
    whether it is these very pictures."""
    clean, found = rollouts.prompts.images, {}
    for name, view in rollouts.views.items():
        if name != CLEAN:
            differ = zip(view.images.counts, differing(clean, view.images), strict=True)
            found[name] = [not differs for count, differs in differ if count]
    return found
