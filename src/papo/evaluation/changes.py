"""Two graders on the same responses: which verdicts differ, and what that makes of the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from papo.evaluation.records import Record
from papo.evaluation.result_tables import POINTS, metric_rows, shortened
from papo.evaluation.summary import differences
from papo.report import GradedResponse, ReportTable
from papo.statistics import Estimate

FIRST = 20  # changed responses that a table shows; changes.jsonl has all


@dataclass(frozen=True)
class Change:
    """A response with another verdict than before."""

    item: str
    gold: str  # that it is compared with now
    view: str
    number: int  # of the response, from 0
    before: GradedResponse
    now: GradedResponse

    @property
    def kind(self) -> str:
        return f"{self.before.verdict} to {self.now.verdict}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "item": self.item,
            "view": self.view,
            "response": self.number,
            "right": self.gold,
            **{
                when: {"verdict": of.verdict, "answer": of.answer, "reason": of.reason}
                for when, of in (("before", self.before), ("now", self.now))
            },
            "text": self.now.text,
        }


def changes(before: Sequence[Record], now: Sequence[Record]) -> Iterator[Change]:
    """Those of the same responses, in their order."""
    for old, new in zip(before, now, strict=True):
        for view, responses in new.views.items():
            for number, (first, second) in enumerate(zip(old.views[view], responses, strict=True)):
                if first.verdict != second.verdict:
                    yield Change(new.id, new.answer, view, number, first, second)


@dataclass(frozen=True)
class Regraded:
    """One model's responses to one benchmark under two graders."""

    responses: int  # of all views
    changes: tuple[Change, ...]
    differences: Mapping[str, Estimate]  # of each metric, now - before, paired by item

    @staticmethod
    def of(before: Sequence[Record], now: Sequence[Record]) -> Regraded:
        responses = sum(record.responses for record in now)
        return Regraded(responses, tuple(changes(before, now)), differences(before, now))

    def counts(self) -> dict[str, dict[str, int]]:
        """{"wrong to correct": {"responses", "items"}}, the commonest first."""
        kinds = Counter(change.kind for change in self.changes)
        items = Counter(kind for kind, _ in {(change.kind, change.item) for change in self.changes})
        return {kind: {"responses": count, "items": items[kind]} for kind, count in kinds.most_common()}

    def to_dict(self) -> dict[str, Any]:
        return {
            "responses": self.responses,
            "changes": self.counts(),
            "differences": {name: estimate.to_dict() for name, estimate in self.differences.items()},
        }


def change_tables(name: str, models: Mapping[str, Regraded]) -> list[ReportTable]:
    """What another grader changed on one benchmark: verdicts, metrics, and the first responses."""
    counts = {model: of.counts() for model, of in models.items()}
    kinds = list(dict.fromkeys(kind for of_model in counts.values() for kind in of_model))
    rows = [("all verdicts", *(f"{of.responses} responses" for of in models.values()))]
    for kind in kinds:
        of_kind = [of_model.get(kind, {"responses": 0, "items": 0}) for of_model in counts.values()]
        rows.append((kind, *(f"{count['responses']} of {count['items']} items" for count in of_kind)))
    found = [
        ReportTable(
            f"{name}: verdicts before and now",
            ("before to now", *models),
            tuple(rows),
            "responses in all views; the others kept theirs" if kinds else "in all views; none changed",
        )
    ]
    if not kinds:
        return found
    compared = {model: of.differences for model, of in models.items()}
    metrics = dict.fromkeys(metric for of_model in compared.values() for metric in of_model if "=" not in metric)
    found.append(ReportTable(f"{name}: now less before", ("metric", *models), metric_rows(metrics, compared), POINTS))
    every = [(model, change) for model, of in models.items() for change in of.changes]
    found.append(
        ReportTable(
            f"{name}: the first that changed",
            ("item", *(("model",) if len(models) > 1 else ()), "view", "right", "read before", "read now", "verdict"),
            tuple(
                (
                    change.item,
                    *((model,) if len(models) > 1 else ()),
                    f"{change.view} {change.number}",
                    *(shortened(text or "") for text in (change.gold, change.before.answer, change.now.answer)),
                    change.kind,
                )
                for model, change in every[:FIRST]
            ),
            f"{min(FIRST, len(every))} of {len(every)}; all, with their texts, are in changes.jsonl",
        )
    )
    return found
