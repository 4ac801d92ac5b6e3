"""The implicit perception loss: how much the answer depends on the picture."""

from __future__ import annotations

from torch import Tensor

from papo.objective.aggregation import weighted_sum
from papo.objective.kl import k3


def perception_kl(
    logprobs: Tensor, corrupted_logprobs: Tensor, weights: Tensor, *, corrupted_gradient: bool, cap: float
) -> Tensor:
    """KL_prcp = KL(pi(. | q, I) || pi(. | q, I_mask)), estimated by k3 on the sampled tokens; MAXIMISED (Eq. 2).

    The paper prints the inverse ratio inside the same formula, which would estimate chi^2 - KL; its released code and
    this function estimate the KL that the text describes.

    Args:
        logprobs: [B, T] nats, log pi on the image.
        corrupted_logprobs: [B, T] nats, log pi_mask: the same policy on the corrupted image.
        weights: [B, T] from `token_weights`.
        corrupted_gradient: whether the corrupted branch is pushed away too. Without it the estimator's gradient is,
            in expectation, that of KL(pi_mask || pi).
        cap: largest value of a token, nats. Unbounded, one token that pi_mask excludes outweighs the batch.

    Returns:
        A scalar >= 0, nats.
    """
    if not corrupted_gradient:
        corrupted_logprobs = corrupted_logprobs.detach()
    return weighted_sum(k3(logprobs, corrupted_logprobs, cap=cap), weights)
