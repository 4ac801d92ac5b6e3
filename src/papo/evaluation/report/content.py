"""What a report shows. Any string may hold anything: the page escapes, shortens and makes visible what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from papo.evaluation.records import Response


@dataclass(frozen=True)
class ReportItem:
    """One item as one model answered it. Accuracies are shares in [0, 1] over the item's responses."""

    benchmark: str
    model: str
    id: str
    question: str
    answer: str
    choices: tuple[str, ...]
    tags: Mapping[str, str]
    scorable: bool  # false where the item cannot be graded and counts nowhere
    images: tuple[bytes, ...]  # PNG, JPEG or WebP
    corrupted: tuple[bytes, ...]  # the same images as the corrupted branch saw them; may be empty
    responses: tuple[Response, ...]
    accuracy: float
    masked_accuracy: float | None = None
    blind_accuracy: float | None = None
    vision_dependency: float | None = None


@dataclass(frozen=True)
class Table:
    """Numbers sort as numbers, and so do texts that all begin with one, such as "43.8 [40.1, 47.6]"."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]  # None = no value
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r} has {len(self.columns)} columns, got a row of {len(row)}")


@dataclass(frozen=True)
class PlotRow:
    """An estimate and its 95 % interval."""

    label: str
    series: str  # e.g. "with image", "masked 60 %", "blind", or a model
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Plot:
    """Estimates beside each other: one block per label, one dot with its interval per series."""

    title: str
    rows: tuple[PlotRow, ...]
    axis: str = ""  # the quantity and its unit, in which the rows are
    note: str = ""


@dataclass(frozen=True)
class Report:
    title: str
    subtitle: str = ""
    facts: tuple[tuple[str, str], ...] = ()  # name and value: model, k, temperature, seed, commit, machine
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    items: tuple[ReportItem, ...] = field(default=(), repr=False)
