"""Published figures beside ours, with what differs in how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from papo.arguments import Count, Must, NotNegative, Text
from papo.evaluation.result_tables import shortened
from papo.report import ReportTable
from papo.settings import leaves, lies_in

Percent = Annotated[float, Must("lie in [0, 100]", lambda value: 0 <= value <= 100)]
UNKNOWN = "not known"
SAME = "the same protocol"
ABSENT = "absent"
# What decides answers besides the model, its seed and what a Protocol has.
DECIDES = ("rollout", "corruption", "engine", "model.dtype", "model.attention")
CAUTION = "figures of different protocols do not compare models: prompt, pixels and grader alone move them by points"


@dataclass(frozen=True)
class Protocol:
    """How answers were asked for and graded; None = not known.

    Args:
        prompt: that followed the question.
        pixels: fewest and most of a picture.
        grader: who said what is right.
        temperature: of the answers; 0 = greedy.
    """

    prompt: str | None = None
    pixels: tuple[int, int] | None = None
    grader: str | None = None
    temperature: float | None = None

    def cells(self) -> tuple[str, ...]:
        pixels = f"{self.pixels[0]:,} to {self.pixels[1]:,}" if self.pixels else UNKNOWN
        temperature = UNKNOWN if self.temperature is None else f"{self.temperature:g}"
        prompt = UNKNOWN if self.prompt is None else shortened(self.prompt)
        return prompt, pixels, self.grader or UNKNOWN, temperature

    def compared(self, other: Protocol) -> dict[str, list[str]]:
        """Which parts are others, and of which that cannot be said."""
        names = [part.name for part in fields(Protocol)]
        unknown = [name for name in names if None in (getattr(self, name), getattr(other, name))]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names if name not in unknown}
        return {"differs": [name for name, (a, b) in pairs.items() if a != b], "unknown": unknown}


@dataclass(frozen=True)
class Card:
    """Figures of one source, and their protocol as far as the source says it.

    Args:
        source: who says so.
        measured: what was measured, which a benchmark here may be a part of.
        figures: accuracy in %, by model; several of one model as [lowest, highest].
        prompt, pixels, grader, temperature: as in Protocol.
    """

    source: Text
    measured: Text
    figures: Mapping[str, Percent | tuple[Percent, Percent]]
    prompt: Text | None
    pixels: tuple[Count, Count] | None
    grader: Text | None
    temperature: NotNegative | None

    @property
    def protocol(self) -> Protocol:
        pixels = None if self.pixels is None else (self.pixels[0], self.pixels[1])
        return Protocol(self.prompt, pixels, self.grader, self.temperature)


def protocol_of(settings: Mapping[str, Any], grader: str, temperature: float | None) -> Protocol:
    """Of an evaluation with these settings, in plain types; what they do not say is not known."""
    model = settings.get("model", {})
    pixels = (model.get("min_pixels"), model.get("max_pixels"))
    return Protocol(settings["prompt"]["instruction"] or None, None if None in pixels else pixels, grader, temperature)


def protocol_tables(name: str, protocols: Mapping[str, Protocol]) -> list[ReportTable]:
    """Of models that are compared, how each was asked and graded; none where all were in one known way.

    Args:
        protocols: by model, that first which the others are subtracted from.
    """
    first = next(iter(protocols.values()))
    against = {model: first.compared(protocol) for model, protocol in protocols.items()}
    if len(protocols) == 1 or all(said(compared, part=False) == SAME for compared in against.values()):
        return []
    rows = [(model, *protocol.cells(), said(against[model], part=False)) for model, protocol in protocols.items()]
    columns = ("model", "prompt", "pixels", "grader", "temperature", "against the first")
    return [ReportTable(f"{name}: how they were asked", columns, tuple(rows), CAUTION)]


def settings_tables(settings: Mapping[str, Mapping[str, Any]]) -> list[ReportTable]:
    """With which other settings models were answered than the first was; none where all were alike.

    Args:
        settings: of their evaluations by model, in plain types; without those of a rollout they are not known.
    """
    known = {
        model: {key: value for key, value in leaves(dict(of)) if lies_in(key, DECIDES)}
        for model, of in settings.items()
        if "rollout" in of
    }
    first = known.get(next(iter(settings)), {})
    rows = [
        (model, key, *(str(had.get(key, ABSENT)) for had in (of, first)))
        for model, of in known.items()
        for key in sorted(of.keys() | first.keys())
        if of.get(key, ABSENT) != first.get(key, ABSENT)
    ]
    columns = ("model", "setting", "its own", "of the first")
    note = "what one policy answers moves with these; another corruption makes other masked answers"
    return [ReportTable("Answered with other settings", columns, tuple(rows), note)] if first and rows else []


def published_results(cards: Mapping[str, Card], ours: Protocol) -> dict[str, Any]:
    """What results.json has of one benchmark: our protocol, and each card with what differs and what is not known."""
    return {"ours": asdict(ours), **{name: asdict(card) | ours.compared(card.protocol) for name, card in cards.items()}}


def published_table(
    name: str, cards: Mapping[str, Card], protocols: Mapping[str, Protocol], found: Mapping[str, str], part: bool
) -> ReportTable:
    """Our figures of a benchmark, then the published ones, against how our first model was asked.

    Args:
        cards: by name.
        protocols: by model.
        found: our accuracy by model, written with its interval.
        part: whether we measured a part of the rows.
    """
    measured = f"{name}, a part of its rows" if part else name
    rows = [(model, accuracy, measured, *protocols[model].cells(), "here", "") for model, accuracy in found.items()]
    ours = next(iter(protocols.values()))
    for card in cards.values():
        compared = ours.compared(card.protocol)
        for model, figure in card.figures.items():
            written = f"{figure:.1f}" if isinstance(figure, int | float) else f"{figure[0]:.1f} to {figure[1]:.1f}"
            rows.append((model, written, card.measured, *card.protocol.cells(), card.source, said(compared, part)))
    columns = ("model", "%", "measured", "prompt", "pixels", "grader", "temperature", "source", "against ours")
    return ReportTable(f"{name}: published figures", columns, tuple(rows), CAUTION)


def said(compared: Mapping[str, list[str]], part: bool) -> str:
    """What differs, in words."""
    differs = [*compared["differs"], *(["rows"] if part else [])]
    words = [f"another {', '.join(differs)}"] if differs else []
    words += [f"{UNKNOWN}: {', '.join(compared['unknown'])}"] if compared["unknown"] else []
    return "; ".join(words) or SAME
