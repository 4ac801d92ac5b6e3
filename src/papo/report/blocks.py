"""The items as the page's script reads them: a small index to sort and filter, and one block per item and picture.

A block is parsed when it is looked at, so a page of thousands of items opens at once, and no string grows past what a
browser can hold.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from papo.report.content import Drops, GradedResponse, ReportItem
from papo.report.text import LONG, MAX_TOKENS, json_block, number
from papo.visible import shown, visible

# The colour scale ends at this quantile of all tokens: one token that masking makes impossible must not pale the rest.
SATURATION = 0.99
KINDS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))


class Block(NamedTuple):
    """What stands in a <script> element that is read and never run."""

    id: str
    type: str
    content: Markup  # holds nothing that could end the element


class PictureNumbers:
    """Numbers pictures in the order of their first use; the same bytes are the same picture."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}

    def number(self, picture: bytes) -> int:
        """Raises ValueError where the bytes are not PNG, JPEG or WebP."""
        kind(picture)
        return self.numbers.setdefault(picture, len(self.numbers))

    def blocks(self) -> Iterator[Block]:
        for picture, n in self.numbers.items():
            yield Block(f"picture-{n}", "text/plain", data_uri(picture))


def data_uri(picture: bytes) -> Markup:
    """The picture where a page expects an address; raises as `kind`."""
    return Markup(f"data:{kind(picture)};base64,{base64.b64encode(picture).decode()}")


def kind(picture: bytes) -> str:
    """Raises ValueError where the bytes are not PNG, JPEG or WebP."""
    for magic, name in KINDS:
        if picture.startswith(magic):
            return name
    raise ValueError(f"a report's pictures are PNG, JPEG or WebP, got bytes that begin with {picture[:8]!r}")


def item_blocks(items: Sequence[ReportItem]) -> Iterator[Block]:
    """The blocks of all items, one by one: index, items, pictures."""
    pictures = PictureNumbers()
    index = {"top": scale_top(items), "items": [summary(item) for item in items]}
    yield Block("index", "application/json", json_block(index))
    for n, item in enumerate(items):
        yield Block(f"item-{n}", "application/json", json_block(details(item, pictures)))
    yield from pictures.blocks()


def summary(item: ReportItem) -> dict[str, Any]:
    """What the list shows, sorts by and filters on."""
    return {
        "benchmark": shown(item.benchmark),
        "model": shown(item.model),
        "id": shown(item.id),
        "question": shown(item.question, 160),
        "tags": [[shown(name), shown(str(value))] for name, value in item.tags.items()],
        "outcome": outcome(item),
        "verdicts": [response.verdict for response in item.responses],
        "errors": sorted({shown(response.error) for response in item.responses if response.error is not None}),
        "accuracy": number(item.accuracy),
        "masked": number(item.masked_accuracy),
        "blind": number(item.blind_accuracy),
        "dependency": number(item.vision_dependency),
        "kl": number(mean(value for response in item.responses for value in response.kl)),
    }


def outcome(item: ReportItem) -> str:
    """unscorable | all correct | mixed | all wrong | unanswered"""
    if not item.scorable:
        return "unscorable"
    right = [response.verdict == "correct" for response in item.responses]
    if not right:
        return "unanswered"
    return "all correct" if all(right) else "mixed" if any(right) else "all wrong"


def mean(values: Iterator[float]) -> float | None:
    """Over the finite ones; None without any."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None


def details(item: ReportItem, pictures: PictureNumbers) -> dict[str, Any]:
    """What is shown of an item that is chosen."""
    return {
        "question": shown(item.question, LONG),
        "answer": shown(item.answer),
        "choices": [shown(choice) for choice in item.choices],
        "images": [pictures.number(image) for image in item.images],
        "corrupted": [pictures.number(image) for image in item.corrupted],
        "responses": [as_read(response) for response in item.responses],
        "unseen": [[shown(name), [as_read(response) for response in of_view]] for name, of_view in item.unseen.items()],
    }


def as_read(response: GradedResponse) -> dict[str, Any]:
    tokens, left = [], LONG
    for token in response.tokens[:MAX_TOKENS]:
        if left <= 0:
            break
        tokens.append(visible(token[:left]))
        left -= len(token)
    more = len(response.tokens) - len(tokens)
    cut = max(0, len(response.text) - LONG)
    return {
        "text": None if tokens else visible(response.text[:LONG]),
        "tokens": tokens,
        "kl": [number(value, 3) for value in response.kl[: len(tokens)]],
        "mean": number(mean(iter(response.kl)), 3),
        "verdict": response.verdict,
        "answer": None if response.answer is None else shown(response.answer),
        "reason": shown(response.reason),
        "error": None if response.error is None else shown(response.error),
        "drops": None if response.drops is None else drops_as_read(response.drops),
        "left_out": f"{more:,} more tokens" if more > 0 else f"{cut:,} more characters" if cut or left < 0 else "",
    }


def drops_as_read(drops: Drops) -> dict[str, Any]:
    return {
        "pictures": drops.pictures,
        "sums": [shown(name) for name in drops.sums],
        "tokens": drops.tokens,
        "scale": [number(value) or 0.0 for value in drops.scale],
        "levels": drops.levels,
    }


def scale_top(items: Sequence[ReportItem]) -> float:
    """Where the colour scale of the whole page ends, nats: a round number, so that items can be compared."""
    values = [np.asarray(response.kl, dtype=float) for item in items for response in item.responses if response.kl]
    finite = np.concatenate(values) if values else np.empty(0)
    finite = finite[np.isfinite(finite)]
    top = float(np.quantile(finite, SATURATION)) if finite.size else 0.0
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top))
    return float(f"{next(step * power for step in (1, 2, 5, 10) if step * power >= top * (1 - 1e-9)):.1g}")
