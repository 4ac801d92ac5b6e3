"""Group-relative advantages: how much better a response is than the others to the same prompt."""

from __future__ import annotations

from torch import Tensor

# Below this a group's spread is rounding, not signal. Added to the standard deviation as in the released code.
STD_EPSILON = 1e-6


def group_advantages(rewards: Tensor, group_size: int, *, normalize_std: bool = True) -> Tensor:
    """A_i = (R_i - mean R) / (std R + 1e-6) within each group (unbiased std); arXiv 2402.03300, section 4.1.2.

    Args:
        rewards: [B], rows of a group side by side. Not modified.
        group_size: G >= 2.
        normalize_std: whether to divide by the standard deviation; Dr. GRPO does not, because the division weighs up
            questions that are almost always or almost never answered (arXiv 2503.20783).

    Returns:
        [B], zero throughout a group whose rewards are all equal.
    """
    groups = rewards.unflatten(0, (-1, group_size))  # [N, G]
    advantages = groups - groups.mean(-1, keepdim=True)
    if normalize_std:
        advantages = advantages / (groups.std(-1, keepdim=True) + STD_EPSILON)
    # Equal rewards such as 0.9 can leave a mean that is off by one rounding: divided by 1e-6 that would be a signal.
    return advantages.masked_fill(zero_std_groups(rewards, group_size)[:, None], 0.0).flatten()


def zero_std_groups(rewards: Tensor, group_size: int) -> Tensor:
    """[N] bool, groups whose responses all got the same reward and thus teach nothing."""
    groups = rewards.unflatten(0, (-1, group_size))
    return (groups == groups[:, :1]).all(-1)
