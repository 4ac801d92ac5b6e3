"""What a reward of your own gives, as plain numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from papo.errors import ConfigError
from papo.rewards.grading.verdict import SHOWN
from papo.types import RewardResult

LARGEST = float(torch.finfo(torch.float32).max)


def in_numbers(result: RewardResult, reward: str, item: str) -> RewardResult:
    """A result whose total and parts are floats: they become tensors and lines of JSON.

    Counts, truth values and the numbers without an axis of NumPy and PyTorch are taken as numbers.

    Args:
        result: what the reward said of one response.
        reward: its name, for the message.
        item: the id of the item, for the message.

    Raises:
        ConfigError: it is no RewardResult, or one of them is no finite number: a NaN would spoil its whole group's
            advantages; or its accuracy lies outside of [0, 1], of which 1 alone says that a response is right.
    """
    if not isinstance(result, RewardResult):
        raise ConfigError(f"reward={reward} must return a RewardResult, got {shown(result)} for item {item}")
    values = {"total": result.total, **{f"parts[{name!r}]": value for name, value in result.parts.items()}}
    numbers = {name: number(value) for name, value in values.items()}
    for name, found in numbers.items():
        if found is None:
            raise ConfigError(
                f"reward={reward} must give finite numbers, got {shown(values[name])} as {name} of item {item}"
            )
    total, *of_parts = numbers.values()
    parts = dict(zip(result.parts, of_parts, strict=True))
    if not 0 <= parts.get("accuracy", 0) <= 1:
        raise ConfigError(
            f"reward={reward} must give accuracy in [0, 1], 1 where a response is right, got {parts['accuracy']:g} for "
            f"item {item}; what right ones earn is the total"
        )
    return replace(result, total=total, parts=parts, scorable=bool(result.scorable))


def number(value: Any) -> float | None:
    """None where it is no finite number, or none of float32, in which rewards are compared."""
    if isinstance(value, str | bytes | bytearray) or "complex" in str(getattr(value, "dtype", "")):
        return None  # which float() would take for a number
    try:
        found = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # RuntimeError: a tensor of several
        return None
    return found if abs(found) <= LARGEST else None  # a NaN is not


def shown(value: Any) -> str:
    """In one line, cut off where it is long: a tensor may be large."""
    return " ".join(repr(value).split())[:SHOWN]
