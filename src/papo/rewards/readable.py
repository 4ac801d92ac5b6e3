"""Whether a response can be read, right or wrong."""

from __future__ import annotations

from papo.rewards.extraction import last_boxed
from papo.rewards.reward import formatted


def readable(response: str, instruction: str) -> bool:
    r"""Whether a response has the format that was asked for, with something in its \boxed{}.

    Where the instruction asks for <think> tags, that is the format which a reward may pay for; else a complete box.
    """
    if "<think>" in instruction and not formatted(response):
        return False
    return bool(last_boxed(response))
