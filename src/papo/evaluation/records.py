"""What a policy answered to an item, as a line of JSON: the state of an evaluation, and the matter of its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from papo.report import Drops, GradedResponse


@dataclass(frozen=True)
class Record:
    """One item with its k responses under each view: "image", "masked", "blind".

    Args:
        picture: the same for all items about one picture; None = unknown.
        origin: where another tool wrote the responses, its "format" and "row", see papo.evaluation.exchange.
    """

    id: str
    question: str
    answer: str
    tags: Mapping[str, str]
    views: Mapping[str, tuple[GradedResponse, ...]] = field(default_factory=dict)
    picture: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scorable(self) -> bool:
        """False where the item itself cannot be graded."""
        return all(response.verdict != "unscorable" for responses in self.views.values() for response in responses)

    @property
    def responses(self) -> int:
        """How many, under all views."""
        return sum(map(len, self.views.values()))

    def accuracy(self, view: str) -> float:
        return sum(response.correct for response in self.views[view]) / len(self.views[view])

    def with_first(self, measured: Sequence[Mapping[str, Any]]) -> Record:
        """With what was measured of the first responses to the item with its image, as fields of GradedResponse."""
        responses = self.views["image"]
        first = tuple(replace(response, **fields) for response, fields in zip(responses, measured, strict=False))
        return replace(self, views={**self.views, "image": (*first, *responses[len(first) :])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))  # ASCII: a lone surrogate that a model wrote stays readable

    @staticmethod
    def from_json(line: str | bytes) -> Record:
        return Record.from_fields(json.loads(line))

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> Record:
        """From what dataclasses.asdict makes of it, by way of JSON."""
        views = {view: tuple(map(_response, responses)) for view, responses in fields["views"].items()}
        return Record(**{**fields, "views": views})


def _response(fields: dict[str, Any]) -> GradedResponse:
    # Records of before have no drops.
    drops = Drops.of(fields.get("drops"))
    return GradedResponse(**fields | {"tokens": tuple(fields["tokens"]), "kl": tuple(fields["kl"]), "drops": drops})


class RecordFile:
    """Records of one model on one benchmark, in the order of its items; grows by whole batches.

    Args:
        path: of the JSON lines; nothing is written before the first `append`.
        batch_size: records per batch. What an interrupted run left of a batch is dropped, so that every batch is
            answered in one piece, and with the same padding, as in an uninterrupted run.
        total: records of a finished file, whose last batch may be smaller.

    Attributes:
        found: records that the file had, those that were dropped included.
    """

    def __init__(self, path: Path, batch_size: int, total: int) -> None:
        self.path = path
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        lines = [line for line in lines if line.endswith(b"\n")]
        self.found = len(lines)
        kept = lines if len(lines) == total else lines[: len(lines) // batch_size * batch_size]
        self.size = sum(map(len, kept))  # bytes of the file that stay
        self.records = [Record.from_json(line) for line in kept]

    def append(self, records: Sequence[Record]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.truncate(self.size)
            file.writelines(f"{record.to_json()}\n".encode() for record in records)
            self.size = file.tell()
        self.records += records
