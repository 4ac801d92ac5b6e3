"""What all formats have in common: a row that was read, and a record on its way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from papo.evaluation.records import Record

OWN = "papo"  # the field that holds our record


@dataclass(frozen=True)
class Foreign:
    """One item's answers as another tool wrote them.

    Args:
        responses: with the item's image.
        id: of the item where the row has one; None = `row` says which it is.
        row: of the data, from 0; None = unknown.
        question, answer: as far as the row has them, to see that it is of the item that it is taken for.
        origin: its format, and as "row" all fields but OWN; what Record.origin is.
        own: our record, where it was exported from here.
    """

    responses: tuple[str, ...]
    id: str | None
    row: int | None
    question: str
    answer: str
    origin: Mapping[str, Any]
    own: Record | None = None


@dataclass(frozen=True)
class Exported:
    """A record with what is known of its item.

    Args:
        row: of the data, from 0.
        choices: the options, (A) first.
    """

    record: Record
    row: int
    choices: tuple[str, ...] = field(default=())

    @property
    def texts(self) -> list[str]:
        """Of the responses with the image."""
        return [response.text for response in self.record.views["image"]]

    def origin(self, format: str) -> dict[str, Any]:
        """The fields that a row of this format came with; none where it did not."""
        came = self.record.origin
        return dict(came["row"]) if came.get("format") == format else {}

    def own(self, format: str) -> dict[str, Any]:
        """The record, without its origin where that is the row itself."""
        fields = asdict(self.record)
        if self.record.origin.get("format") == format:
            del fields["origin"]
        return fields


def own_record(fields: Any, origin: Mapping[str, Any]) -> Record | None:
    """Our record from a row's field; None where it has none.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is damaged.
    """
    if fields is None:
        return None
    record = Record.from_fields({"origin": origin, **fields})
    said = [text for each in record.views.values() for response in each for text in (response.text, response.reason)]
    if not all(isinstance(text, str) for text in (record.id, record.question, record.answer, *said)):
        raise ValueError(f"{OWN} holds what is no text where a text belongs")
    if not record.views.get("image") or not isinstance(record.tags, dict):
        raise ValueError(f"{OWN} holds no answers with the image")
    return record


def text_of(value: Any) -> str:
    """A field of another tool as text; none where it has nothing: null, or the NaN that pandas makes of it."""
    return "" if value is None or value != value else str(value)


def printable(text: str) -> str:
    """The text as UTF-8 can have it: a lone surrogate, which a model may write, by its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
