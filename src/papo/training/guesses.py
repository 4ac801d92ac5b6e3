"""Rolled-out views: what the policy says where the picture is not the right one is unlearnt as far as it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from papo import ranks
from papo.errors import SettingError
from papo.objective import Denominators, Objective, Over, group_advantages
from papo.objective.branch import CLEAN, check_other_view
from papo.rewards.readable import readable
from papo.rollout.collect import Collector
from papo.seeding import item_seeds
from papo.training.scoring import Scoring, denominators, divided
from papo.training.views import Views, differing
from papo.types import RewardResult, Rollouts


@dataclass(frozen=True)
class BlindGuess:
    """The settings of `Guesses`.

    Attributes:
        coef: lambda, weight of the loss on guesses; 0 = off, nothing is drawn.
        group_size: G', responses drawn on the view of each prompt, at least 2.
        view: what they are drawn on and trained on.
        objective: what they are trained with: a clipped surrogate, by the aggregation of the other responses.

    Raises:
        SettingError: a setting out of range.
    """

    coef: float = 0.0
    group_size: int = 4
    view: str = "corrupted"
    objective: Objective | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.coef < float("inf"):
            raise SettingError("coef", f"must be 0 (off) or positive, got {self.coef}")
        if self.group_size < 2:
            raise SettingError(
                "group_size", f"must be at least 2 (advantages compare within a group), got {self.group_size}"
            )
        check_other_view(self.view)
        if self.coef and self.objective is None:
            raise SettingError("objective", "must be set where coef is positive, got null")


class Guesses:
    """Responses to a view of each prompt's pictures, trained so that they can be read and are wrong.

        o'_1 .. o'_G' ~ pi_old(. | q, I_view),   R'_i = readable(o'_i) (1 - right(o'_i)) in {0, 1},
        A'_i = (R'_i - mean R') / (std R' + 1e-6) within the group,   r'_t = pi / pi_old (o'_t | o'_<t, q, I_view),
        loss += -lambda sum_i,t w_t min(r'_t A'_i, clip(r'_t, 1 - eps_l, 1 + eps_h) A'_i).

    Who is right without seeing guesses; that pathway is shared with what is said to the picture. What cannot be read
    earns nothing either, so that there is no way out by writing nonsense. Nothing is learnt from an item that cannot be
    graded, nor from one whose view is the picture itself: it has none, or no other one was found, nor from a prompt
    whose other responses all were left out as cut off.

    Args:
        settings: see BlindGuess.
        collector: what draws and grades the other responses.
        views: makes the view, the same as for terms that look at it.
        scoring: scores the guesses as the other responses.
        normalize_std: see `group_advantages`.
        overlong_filter: whether guesses that were cut off are left out of the loss.
        single_update: whether a step has one update.
    """

    def __init__(
        self,
        settings: BlindGuess,
        collector: Collector,
        views: Views,
        scoring: Scoring,
        *,
        normalize_std: bool,
        overlong_filter: bool,
        single_update: bool,
    ) -> None:
        self.settings, self.objective = settings, settings.objective
        self.collector, self.views, self.scoring = collector, views, scoring
        self.normalize_std, self.overlong_filter = normalize_std, overlong_filter
        passes = settings.objective.passes() if settings.coef else {}
        self.before, self.every = divided(passes, single_update=single_update)

    def __call__(self, rollouts: Rollouts | None, step: int) -> tuple[Rollouts | None, dict[str, float]]:
        """The roll-outs with guesses at their prompts, and metrics of those on all ranks; as they are where that is
        off, or where this rank has none."""
        if not self.settings.coef:
            return rollouts, {}
        if rollouts is None:
            return None, ranks.means({})
        guesses, learning = self.roll_out(rollouts, step)
        right, read = (
            torch.tensor(list(values))[learning] for values in zip(*map(verdict, guesses.rewards), strict=True)
        )
        found = ranks.means({"blind_guess/correct": right, "blind_guess/readable": read})
        return replace(rollouts, guesses=guesses), found

    @torch.no_grad()
    def roll_out(self, rollouts: Rollouts, step: int) -> tuple[Rollouts, Tensor]:
        """G' graded responses to the view of each prompt, "clean" for them, and which are learnt from [N * G'] bool."""
        collector, G = self.collector, self.settings.group_size
        view, clean = rollouts.views.get(self.settings.view), rollouts.prompts.images
        if view is None or view.per == "response":
            view = replace(self.views.make(self.settings.view, rollouts.prompts, 1, step), per="prompt")
        prompts = replace(rollouts.prompts, images=view.images)
        features = collector.policy.encode(view.images) if view.features is None else view.features
        seeds = item_seeds("blind-guess", collector.seed, step, prompts)
        responses = collector.engine.sample(prompts, features, G, collector.sampling, seeds)
        texts = tuple(collector.processor.decode(responses))
        graded = collector.graded(prompts, texts)
        rewards = tuple(self.paid(result, text) for result, text in zip(graded, texts, strict=True))
        guesses = Rollouts(prompts, responses, texts, rewards, views={CLEAN: view})
        learning = (guesses.scorable & torch.tensor(differing(clean, view.images))).repeat_interleave(G)
        advantages = group_advantages(guesses.totals, G, normalize_std=self.normalize_std) * learning
        device = responses.response_ids.device
        trained = responses.response_mask & learning.to(device)[:, None]
        if self.overlong_filter:
            trained = trained & responses.finished[:, None]
        return replace(guesses, advantages=advantages.to(device), loss_mask=trained), learning

    def paid(self, graded: RewardResult, text: str) -> RewardResult:
        """What a guess earns."""
        right = graded.parts["accuracy"] == 1
        read = readable(text, self.collector.processor.instruction)
        parts = {"accuracy": float(right), "readable": float(read)}
        wrong = not right and not graded.failed  # of an answer that no grader could read nobody knows
        return replace(graded, total=float(read and wrong), parts=parts)

    def all_once(self, parts: Sequence[Rollouts | None]) -> list[Rollouts | None]:
        """Each of these with what is to be known of their guesses before the first update; see Scoring."""
        scored = self.scoring.all_once([part and part.guesses for part in parts], self.before)
        return [part and replace(part, guesses=guesses) for part, guesses in zip(parts, scored, strict=True)]

    def denominators(self, rollouts: Rollouts | None) -> Mapping[Over, Denominators]:
        """Counts over a whole update, on all ranks; none where guesses are off."""
        if not self.settings.coef:
            return {}
        guesses = None if rollouts is None else rollouts.guesses
        return denominators(self.objective, guesses, horizon=self.collector.sampling.max_new_tokens)

    def loss(self, guesses: Rollouts, counts: Mapping[Over, Denominators]) -> tuple[Tensor, dict[str, Tensor]]:
        """Their part of the loss on one micro-batch, with gradient, and metrics."""
        loss, _ = self.objective(self.scoring.evidence(guesses, self.every), counts)
        loss = self.settings.coef * loss
        return loss, {"blind_guess/loss": loss.detach(), "loss/total": loss.detach()}


def verdict(result: RewardResult) -> tuple[float, float]:
    return result.parts["accuracy"], result.parts["readable"]
