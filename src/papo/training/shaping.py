"""From what a text earned to what a response is trained with: the whole reward, the advantages, the trained tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from papo.errors import SettingError
from papo.objective import RewardPart, group_advantages, zero_std_groups
from papo.objective.branch import Passes, merged
from papo.rewards.length import overlong_penalty
from papo.types import Item, RewardResult, Rollouts


class Shaping:
    """Completes the rewards of roll-outs.

    Args:
        reward: graded the texts; a part of it may depend on scores.
        parts: what further the responses are paid for.
        normalize_std: see `group_advantages`.
        max_new_tokens: longest possible response.
        overlong_buffer: see `overlong_penalty`.
        overlong_filter: whether responses that were cut off are left out of the loss.

    Raises:
        SettingError: the buffer is longer than a response.
    """

    def __init__(
        self,
        reward: Callable[[Item, str], RewardResult],
        parts: Sequence[RewardPart],
        *,
        normalize_std: bool,
        max_new_tokens: int,
        overlong_buffer: int,
        overlong_filter: bool,
    ) -> None:
        if not 0 <= overlong_buffer <= max_new_tokens:
            raise SettingError(
                "overlong_buffer", f"must lie in 0..{max_new_tokens} (max_new_tokens), got {overlong_buffer}"
            )
        self.before = [reward] if isinstance(reward, RewardPart) else []
        self.after = list(parts)
        self.normalize_std = normalize_std
        self.max_new_tokens = max_new_tokens
        self.overlong_buffer, self.overlong_filter = overlong_buffer, overlong_filter

    def passes(self) -> Passes:
        """The branches that rewards depend on."""
        return merged(part.passes() for part in (*self.before, *self.after))

    def __call__(self, rollouts: Rollouts) -> Rollouts:
        """The roll-outs with everything that a response is rewarded for, its advantage, and the tokens it trains.

        Nothing is learnt, by any term, from the group of an item that cannot be graded.
        """
        responses = rollouts.responses
        rewards = self.paid(rollouts, list(rollouts.rewards), self.before)
        if self.overlong_buffer:
            penalties = [
                overlong_penalty(length, self.max_new_tokens, self.overlong_buffer)
                for length in responses.response_mask.sum(-1).tolist()
            ]
            rewards = [add_part(*pair, "overlong", 1.0) for pair in zip(rewards, penalties, strict=True)]
        rewards = self.paid(rollouts, rewards, self.after)
        rollouts = replace(rollouts, rewards=tuple(rewards))
        device = responses.response_ids.device
        scorable = rollouts.scorable.repeat_interleave(rollouts.group_size).to(device)
        trained = responses.response_mask & scorable[:, None]
        if self.overlong_filter:
            trained = trained & responses.finished[:, None]
        advantages = group_advantages(rollouts.totals, rollouts.group_size, normalize_std=self.normalize_std)
        return replace(rollouts, advantages=advantages.to(device) * scorable, loss_mask=trained)

    def paid(self, rollouts: Rollouts, rewards: list[RewardResult], parts: Sequence[RewardPart]) -> list[RewardResult]:
        """The rewards with what the given parts pay."""
        for part in parts:
            mask = rollouts.responses.response_mask
            values = part.values(rollouts.scores, mask, rollouts.correct.to(mask.device)).tolist()
            rewards = [add_part(*pair, part.name, part.weight) for pair in zip(rewards, values, strict=True)]
        return rewards


def add_part(result: RewardResult, value: float, name: str, weight: float) -> RewardResult:
    """`result` with one more part."""
    return replace(result, total=result.total + weight * value, parts={**result.parts, name: value})


def alive(rollouts: Rollouts) -> list[int]:
    """The prompts whose group has a gradient: rewards differ, the item can be graded, and something is trained on."""
    living = ~zero_std_groups(rollouts.totals, rollouts.group_size) & rollouts.scorable
    return [n for n in rollouts.learning() if living[n]]
