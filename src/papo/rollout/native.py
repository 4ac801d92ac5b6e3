"""Roll-outs by the policy itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from papo.errors import TrainingDiverged
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.types import Features, PromptBatch, Responses


class NativeEngine:
    """The policy's own `prefill` and `sample`: nothing is copied, so nothing can be stale."""

    def __init__(self) -> None:
        self.policy: Policy | None = None

    def sync(self, policy: Policy, step: int) -> None:
        self.policy = policy

    @torch.no_grad()
    def sample(
        self, prompts: PromptBatch, features: Features, group_size: int, sampling: Sampling, seeds: Sequence[int]
    ) -> Responses:
        assert self.policy is not None, "sync comes first"
        responses = self.policy.sample(self.policy.prefill(prompts, features), group_size, sampling, seeds)
        if not torch.isfinite(responses.logprobs).all():
            raise TrainingDiverged(
                "the policy's log-probabilities are not finite: its weights hold NaN or infinity; "
                "lower optimizer.lr, or use a model.dtype and trainer.precision with more range"
            )
        return responses
