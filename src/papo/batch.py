"""Rows side by side: what every carrier of tensors can do, from what its fields say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor


def column(
    *,
    of: str = "row",
    pad: str | None = None,
    fill: int | str = 0,
    mask: bool = False,
    default: Any = MISSING,
    default_factory: Any = MISSING,
) -> Any:
    """A field of a Batch.

    Args:
        of: what its rows are, where a batch holds rows of two kinds; see `Batch.indices`.
        pad: the side of its padding, "left" or "right"; None = its rows are all alike.
        fill: what padding holds: a value, or "pad_token_id".
        mask: whether it says which columns are no padding, for the whole batch.
        default, default_factory: as in dataclasses.
    """
    return field(
        default=default,
        default_factory=default_factory,
        metadata={"of": of, "pad": pad, "fill": fill, "mask": mask},
    )


@dataclass(frozen=True)
class Batch:
    """A carrier whose rows can be chosen, moved and laid behind one another.

    Fields may hold tensors, tuples, other batches, mappings to any of these, None, and constants of the whole batch
    (texts and numbers).
    """

    def select(self, rows: Sequence[int], width: int | None = None) -> Self:
        """The given rows, in the given order, without the columns that are padding in all of them.

        Args:
            width: columns that are left; None for those that the batch's mask says, or all.
        """
        rows = list(rows)
        for mask in (getattr(self, f.name) for f in fields(self) if f.metadata.get("mask")):
            width = max(1, int(mask[rows].sum(-1).max()))
        return replace(
            self,
            **{f.name: self._chosen(getattr(self, f.name), f, rows, width) for f in fields(self)},
        )

    def indices(self, of: str, rows: list[int]) -> list[int]:
        """Which rows of a field, whose rows are `of` something, belong to the given rows of the batch."""
        return rows

    def counted(self, of: str) -> str:
        """What the batch's rows are where it stands in a field whose rows are `of` something."""
        return of

    def _chosen(self, value: Any, f: Field, rows: list[int], width: int | None) -> Any:
        of = f.metadata.get("of", "row")
        if isinstance(value, Tensor):
            value = value[self.indices(of, rows)]
            side = f.metadata.get("pad")
            if side is None or width is None:
                return value
            return value[:, -width:] if side == "left" else value[:, :width]
        if isinstance(value, Batch):
            return value.select(self.indices(value.counted(of), rows), width)
        if isinstance(value, tuple):
            return tuple(value[row] for row in self.indices(of, rows))
        if isinstance(value, Mapping):
            return {name: self._chosen(part, f, rows, width) for name, part in value.items()}
        return value

    def to(self, device: torch.device) -> Self:
        return replace(self, **{f.name: _moved(getattr(self, f.name), device) for f in fields(self)})

    @classmethod
    def concat(cls, parts: Sequence[Self], pad_token_id: int) -> Self:
        """All rows of the parts in order, padded to the widest."""
        return cls(**{f.name: _joined([getattr(part, f.name) for part in parts], f, pad_token_id) for f in fields(cls)})


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    return value.to(device) if isinstance(value, Tensor | Batch) else value


def _joined(values: list[Any], f: Field, pad_token_id: int) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        side, fill = f.metadata.get("pad"), f.metadata.get("fill")
        if side is None:
            return torch.cat(values)
        width = max(value.shape[1] for value in values)
        return torch.cat(
            [_widened(value, width, side, pad_token_id if fill == "pad_token_id" else 0) for value in values]
        )
    if isinstance(first, Batch):
        return type(first).concat(values, pad_token_id)
    if isinstance(first, tuple):
        return tuple(part for value in values for part in value)
    if isinstance(first, Mapping):
        return {name: _joined([value[name] for value in values], f, pad_token_id) for name in first}
    return first


def _widened(value: Tensor, width: int, side: str, fill: int) -> Tensor:
    """[rows, columns, ...] with padding up to `width` columns."""
    missing = width - value.shape[1]
    along = (missing, 0) if side == "left" else (0, missing)
    return pad_tensor(value, (0, 0) * (value.ndim - 2) + along, value=fill)
