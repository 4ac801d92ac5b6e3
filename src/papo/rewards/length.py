"""The soft overlong punishment."""

from __future__ import annotations


def overlong_penalty(length: int, max_tokens: int, buffer: int) -> float:
    """0 up to max_tokens - buffer, then linearly down to -1 at max_tokens (arXiv 2503.14476, Eq. 13).

    >>> [overlong_penalty(n, 40, 10) for n in (0, 30, 35, 40)]
    [0.0, 0.0, -0.5, -1.0]

    Args:
        length: of the response, in tokens.
        max_tokens: longest possible response.
        buffer: tokens over which the penalty grows; 0 = no penalty.
    """
    over = length - (max_tokens - buffer)
    return -min(1.0, over / buffer) if buffer > 0 and over > 0 else 0.0
