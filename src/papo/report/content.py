"""What a report shows. Any string may hold anything: the page escapes, shortens and makes visible what it is given."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = ("correct", "wrong", "unscorable")


@dataclass(frozen=True)
class Drops:
    """What a response's log-probability loses, nats, when a cell of its item's pictures is painted over: some maps.

    Raises:
        ValueError: scale has not one value per map, or levels have not one byte per map and cell.
    """

    pictures: tuple[tuple[int, int, int], ...]  # of each: rows and columns of patches, patches along a cell's side
    sums: tuple[str, ...]  # what each of the first maps is the sum of
    tokens: tuple[int, ...]  # the place in the response of the token that each of the others is of, ascending
    scale: tuple[float, ...]  # of each map, what the level 127 stands for, nats
    levels: str  # base64 of int8 [maps, cells], the cells of several pictures behind one another

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.sums) + len(self.tokens):
            raise ValueError(f"scale must have one value per map, got {len(self.scale)}")
        cells = sum(-(-rows // side) * -(-columns // side) for rows, columns, side in self.pictures)
        found = len(base64.b64decode(self.levels))
        if found != len(self.scale) * cells:
            raise ValueError(f"levels must be {cells} cells of each of {len(self.scale)} maps, got {found} bytes")

    @staticmethod
    def of(fields: Mapping[str, Any] | None) -> Drops | None:
        """From what dataclasses.asdict makes of it, by way of JSON."""
        if fields is None:
            return None
        values = {name: tuple(fields[name]) for name in ("sums", "tokens", "scale")}
        return Drops(tuple(map(tuple, fields["pictures"])), levels=fields["levels"], **values)


@dataclass(frozen=True)
class GradedResponse:
    """One sampled response with its grade, token by token where it was looked into.

    Raises:
        ValueError: an unknown verdict, or a `kl` that is neither empty nor one value per token.
    """

    text: str
    verdict: str  # one of VERDICTS
    answer: str | None  # what was read out of the response
    reason: str  # why it got its verdict
    tokens: tuple[str, ...] = ()  # each as text
    kl: tuple[float, ...] = ()  # KL(pi || pi_mask) at each token over the vocabulary, nats; not finite = unknown
    error: str | None = None  # of a wrong answer to a lab item, see papo.lab.mistakes
    readable: bool | None = None  # see papo.rewards.readable; None = not looked at
    guessed: bool | None = None  # see papo.lab.guessed; None = the words suggest nothing
    looked: bool | None = None  # likewise; None where it cannot be told
    drops: Drops | None = None  # see papo.evaluation.looking; None = not looked into
    finished: bool | None = None  # false where rollout.max_new_tokens cut it off; None = not known

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {', '.join(VERDICTS)}, got {self.verdict!r}")
        if self.kl and len(self.kl) != len(self.tokens):
            raise ValueError(f"kl must have one value per token, got {len(self.kl)} for {len(self.tokens)} tokens")

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"


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
    responses: tuple[GradedResponse, ...]
    accuracy: float
    masked_accuracy: float | None = None
    blind_accuracy: float | None = None
    vision_dependency: float | None = None
    unseen: Mapping[str, tuple[GradedResponse, ...]] = field(default_factory=dict)  # those to other views, by its name


@dataclass(frozen=True)
class ReportTable:
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
class ReportPicture:
    """A figure that was drawn elsewhere; what it shows must be in a table too."""

    title: str
    picture: bytes  # PNG, JPEG or WebP
    note: str = ""


@dataclass(frozen=True)
class Report:
    """One page. Without items it has no room for them."""

    title: str
    subtitle: str = ""
    facts: tuple[tuple[str, str], ...] = ()  # name and value: model, k, temperature, seed, commit, machine
    tables: tuple[ReportTable, ...] = ()
    plots: tuple[Plot, ...] = ()
    items: tuple[ReportItem, ...] = field(default=(), repr=False)
    pictures: tuple[ReportPicture, ...] = field(default=(), repr=False)
