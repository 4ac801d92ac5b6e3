"""What a policy answered to an item, as a line of JSON: the state of an evaluation, and the matter of its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

VERDICTS = ("correct", "wrong", "unscorable")


@dataclass(frozen=True)
class Response:
    """One sampled response with its grade, token by token where the perception KL was computed.

    Raises:
        ValueError: an unknown verdict, or a `kl` that is neither empty nor one value per token.
    """

    text: str
    verdict: str  # one of VERDICTS
    answer: str | None  # what was read out of the response
    reason: str  # why it got its verdict
    tokens: tuple[str, ...] = ()  # each as text
    kl: tuple[float, ...] = ()  # KL(pi || pi_mask) at each token over the vocabulary, nats; not finite = unknown
    error: str | None = None  # of a wrong answer to a lab item, see papo.data.lab.errors

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {', '.join(VERDICTS)}, got {self.verdict!r}")
        if self.kl and len(self.kl) != len(self.tokens):
            raise ValueError(f"kl must have one value per token, got {len(self.kl)} for {len(self.tokens)} tokens")

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"


@dataclass(frozen=True)
class Record:
    """One item with its k responses under each view: "image", "masked", "blind"."""

    id: str
    question: str
    answer: str
    tags: Mapping[str, str]
    views: Mapping[str, tuple[Response, ...]] = field(default_factory=dict)

    @property
    def scorable(self) -> bool:
        """False where the item itself cannot be graded."""
        return all(response.verdict != "unscorable" for responses in self.views.values() for response in responses)

    def accuracy(self, view: str) -> float:
        return sum(response.correct for response in self.views[view]) / len(self.views[view])

    def to_json(self) -> str:
        return json.dumps(asdict(self))  # ASCII: a lone surrogate that a model wrote stays readable

    @staticmethod
    def from_json(line: str) -> Record:
        fields = json.loads(line)
        fields["views"] = {
            view: tuple(Response(**r | {"tokens": tuple(r["tokens"]), "kl": tuple(r["kl"])}) for r in responses)
            for view, responses in fields["views"].items()
        }
        return Record(**fields)


class RecordFile:
    """Records of one model on one benchmark, in the order of its items; grows by whole batches.

    Args:
        path: of the JSON lines; created where missing.
        batch_size: records per batch. What an interrupted run left of a batch is dropped, so that every batch is
            answered in one piece, and with the same padding, as in an uninterrupted run.
        total: records of a finished file, whose last batch may be smaller.
    """

    def __init__(self, path: Path, batch_size: int, total: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        lines = [line for line in lines if line.endswith("\n")]
        kept = lines if len(lines) == total else lines[: len(lines) // batch_size * batch_size]
        path.write_text("".join(kept))
        self.records = [Record.from_json(line) for line in kept]

    def append(self, records: Sequence[Record]) -> None:
        with self.path.open("a") as file:
            file.writelines(record.to_json() + "\n" for record in records)
        self.records += records
