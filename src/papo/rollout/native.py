"""Roll-outs by the policy itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from papo.errors import SettingError, TrainingDiverged
from papo.policy.capturing import can_capture
from papo.policy.casting import casting_once
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.types import Features, PromptBatch, Responses


class NativeEngine:
    """The policy's own `prefill` and `sample`: nothing is copied, so nothing can be stale.

    Args:
        prompts_at_once: prompts whose keys and values exist at one time; None = all. Changes memory, not the responses.
        captured: whether a token's step is captured as a CUDA graph where that can be done: on a CUDA device, weights
            not sharded. The same numbers up to rounding, sooner.

    Raises:
        SettingError: no prompt at one time.
    """

    is_policy = True

    def __init__(self, prompts_at_once: int | None = None, captured: bool = True) -> None:
        if prompts_at_once is not None and prompts_at_once < 1:
            raise SettingError("prompts_at_once", f"must be null (all) or at least 1, got {prompts_at_once}")
        self.prompts_at_once = prompts_at_once
        self.captured = captured
        self.policy: Policy | None = None

    def attach(self, policy: Policy) -> None:
        """It draws with any."""

    def sync(self, policy: Policy, step: int) -> None:
        self.policy = policy

    @torch.no_grad()
    def sample(
        self, prompts: PromptBatch, features: Features, group_size: int, sampling: Sampling, seeds: Sequence[int]
    ) -> Responses:
        assert self.policy is not None, "sync comes first"
        size = self.prompts_at_once or len(prompts)
        captured = self.captured and can_capture(self.policy)
        parts = []
        with casting_once(self.policy.device.type):
            for start in range(0, len(prompts), size):
                rows = range(start, min(start + size, len(prompts)))
                part = prompts if len(rows) == len(prompts) else prompts.select(rows)
                context = self.policy.prefill(part, [features[row] for row in rows])
                of_rows = [seeds[row] for row in rows]
                parts.append(self.policy.sample(context, group_size, sampling, of_rows, captured=captured))
        responses = Responses.concat(parts, self.policy.pad_token_id)
        if not torch.isfinite(responses.logprobs).all():
            raise TrainingDiverged(
                "the policy's log-probabilities are not finite: its weights hold NaN or infinity; "
                "lower optimizer.lr, or use a model.dtype and trainer.precision with more range"
            )
        return responses
