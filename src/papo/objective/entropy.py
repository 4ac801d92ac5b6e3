"""Double entropy regularisation: keeps the perception term from growing by making either policy random."""

from __future__ import annotations

from torch import Tensor

from papo.objective.aggregation import weighted_sum


def mean_entropy(entropy: Tensor, weights: Tensor) -> Tensor:
    """H[pi] or H[pi_mask], MINIMISED with weights eta_1 and eta_2 (Eq. 5 of arXiv 2507.06448: the loss adds eta * H).

    The entropy is that of the whole next-token distribution. The released code takes -log pi of the sampled token
    instead, whose gradient is zero in expectation for the policy that drew it.

    Args:
        entropy: [B, T] nats; carries the gradient.
        weights: [B, T] from `token_weights`.

    Returns:
        A scalar >= 0, nats.
    """
    return weighted_sum(entropy, weights)
