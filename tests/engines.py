"""An engine that is another program than the policy, or nearly."""

import torch

from papo.rollout import NativeEngine


class Drifting(NativeEngine):
    """Draws what the policy draws, and says of each token a log-probability that is off by up to 0.5 nats."""

    is_policy = False

    def sample(self, prompts, features, group_size, sampling, seeds):
        responses = super().sample(prompts, features, group_size, sampling, seeds)
        responses.logprobs.add_(drift(responses))
        return responses


def drift(responses) -> torch.Tensor:
    """[B, T] nats, by the tokens."""
    return 0.5 * torch.sin(responses.response_ids.float()) * responses.response_mask
