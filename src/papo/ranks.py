"""The processes of a run, its ranks: which one this is, and what is counted over all of them.

Prompts are dealt in turns, so that every rank has its share of each stretch of a batch. What is random depends on the
run's seed, the step and the item, never on the rank; what is averaged is averaged with counts over all ranks. So a run
computes the same on any number of them. Alone, everything here hands back what it is given.

All ranks must call each function that exchanges something, as often and in the same order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

Value = TypeVar("Value")
Key = TypeVar("Key", bound=Hashable)

BUCKET_BYTES = 32 * 2**20  # of gradients that are added up in one message


def joined() -> bool:
    """Whether this process has found the others, or has any."""
    return distributed.is_available() and distributed.is_initialized()


def count() -> int:
    return distributed.get_world_size() if joined() else 1


def rank() -> int:
    return distributed.get_rank() if joined() else 0


def is_first() -> bool:
    """Whether this is the rank that writes."""
    return rank() == 0


def dealt(values: Sequence[Value]) -> Sequence[Value]:
    """This rank's share: every `count()`-th, beginning with its own number."""
    return values[rank() :: count()]


def batches(size: int, most: int) -> Sequence[range]:
    """This rank's share of range(size) in batches of at most `most`, smaller where ranks would be left without one."""
    most = min(most, max(1, math.ceil(size / count())))
    return dealt([range(start, min(start + most, size)) for start in range(0, size, most)])


def collected(values: Sequence[Value]) -> list[Value]:
    """What was made of dealt values, all of it, in the order that they were dealt in."""
    turns = itertools.zip_longest(*gathered(list(values)), fillvalue=MISSING)
    return [value for turn in turns for value in turn if value is not MISSING]


MISSING = object()


def gathered(value: Value) -> list[Value]:
    """What each rank gives, which can be pickled, in the order of the ranks."""
    if count() == 1:
        return [value]
    found: list = [None] * count()
    distributed.all_gather_object(found, value)
    return found


def of_first(value: Value) -> Value:
    """What rank 0 gives."""
    return gathered(value)[0]


def anywhere(flag: bool) -> bool:
    """Whether it is so on any rank."""
    return any(gathered(bool(flag)))


def total(value: int) -> int:
    """The sum over the ranks."""
    return sum(gathered(value))


def summed(values: Mapping[Key, float]) -> dict[Key, float]:
    """The sums over the ranks by name, in the order that names first come in; what a rank does not name is 0 there."""
    parts: dict[Key, list[float]] = {}
    for given in gathered(dict(values)):
        for name, value in given.items():
            parts.setdefault(name, []).append(value)
    return {name: sum(of_ranks) for name, of_ranks in parts.items()}


def means(values: Mapping[str, Tensor | Sequence[float]]) -> dict[str, float]:
    """The means over what all ranks have, by name; a name under which nothing stands anywhere has none.

    Args:
        values: one-dimensional, of any length.
    """
    own = {name: torch.as_tensor(of_name, dtype=torch.float64, device="cpu") for name, of_name in values.items()}
    totals = summed({name: of_name.sum().item() for name, of_name in own.items()})
    counts = summed({name: len(of_name) for name, of_name in own.items()})
    return {name: total / counts[name] for name, total in totals.items() if counts[name]}


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Each gradient becomes the sum over the ranks; a parameter that has none on any rank keeps none."""
    if count() == 1:
        return
    used = used_anywhere(parameters)
    fill_gradients(used)
    for gradients in buckets([parameter.grad for parameter in used]):
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        sums = together.split([gradient.numel() for gradient in gradients])
        for gradient, added in zip(gradients, sums, strict=True):
            gradient.copy_(added.view_as(gradient))


def buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in order, as many at a time as one message carries; with a message each, the lab's take 8 times as
    long on two CPU processes."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        full = sum(other.nbytes for other in bucket) + gradient.nbytes > BUCKET_BYTES
        if bucket and (full or gradient.dtype != bucket[0].dtype or gradient.device != bucket[0].device):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket


def used_anywhere(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that have a gradient on any rank."""
    parameters = list(parameters)
    used = set().union(*gathered([n for n, parameter in enumerate(parameters) if parameter.grad is not None]))
    return [parameters[n] for n in sorted(used)]


def fill_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Gives 0 to those that have none here."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
