"""From records to the report: which items it shows, with their pictures, and the plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from papo.data.module import Source
from papo.evaluation.measure import Examination
from papo.evaluation.records import Record
from papo.figures import encoded
from papo.policy.processing import PromptProcessor
from papo.report import Plot, PlotRow, Report, ReportItem, ReportTable
from papo.types import Images, Item

# Longest side of a picture, in pixels; a page of full photographs would be gigabytes.
MAX_SIDE = 640

# Items of a group that is plotted; the intervals of smaller ones span the axis, and the table has them.
PLOT_ITEMS = 20


# What the names on a page mean, for one who has only the page.
DEFINITIONS = (
    ("avg@k", "share of right ones among k responses, over items"),
    ("masked, blind", "the same with the image corrupted, and with every patch black"),
    ("vision dependency", "avg@k less blind avg@k, over items with a picture"),
    ("perception KL", "KL(\u03c0 \u2016 \u03c0_mask) of a token over the vocabulary, nats"),
    ("lost without a cell", "log-probability on the image less that with the cell in the image's mean colour, nats"),
)


def report_of(
    results: Mapping[str, Any],
    tables: Sequence[ReportTable],
    items: Sequence[ReportItem],
    made: Sequence[tuple[str, str]] = (),
) -> Report:
    """The report of what is in results.json, with the items that it shows.

    Args:
        made: further facts, name and value.
    """
    return Report(
        title="Evaluation",
        subtitle=", ".join(results["models"]),
        facts=(
            ("models", ", ".join(results["models"])),
            ("benchmarks", ", ".join(f"{name} ({of['items']} items)" for name, of in results["benchmarks"].items())),
            ("responses per item", str(results["k"])),
            ("temperature", str(results["temperature"])),
            ("seed", str(results["seed"])),
            *made,
            *DEFINITIONS,
        ),
        tables=tuple(tables),
        plots=tuple(plot(name, of["models"]) for name, of in results["benchmarks"].items()),
        items=tuple(items),
    )


def report_items(
    benchmark: str,
    model: str,
    source: Source,
    records: Sequence[Record],
    processor: PromptProcessor,
    examination: Examination,
    device: torch.device,
) -> list[ReportItem]:
    """The first items of a benchmark as one model saw and answered them."""
    shown = []
    masked = examination.views.get("masked")
    for start in range(0, min(examination.token_items, len(records)), examination.batch_size):
        # In the batches that were answered, for a view may depend on the batch.
        items = [source[i] for i in range(start, min(start + examination.batch_size, len(source)))]
        prompts = processor.prompts(items).to(device)
        view = None if masked is None else masked.of(prompts, examination.view_seeds(items))
        for n, record in enumerate(records[start : start + len(items)]):
            corrupted = () if view is None else pictures(view.select([n]))
            shown.append(
                report_item(benchmark, model, items[n], record, pictures(prompts.images.select([n])), corrupted)
            )
    return shown[: examination.token_items]


def plot(benchmark: str, models: Mapping[str, Mapping[str, Any]]) -> Plot:
    """Accuracy under each view, overall and of each tag with enough items."""
    rows = []
    for model, metrics in models.items():
        for metric, estimate in metrics.items():
            view, _, rest = metric.rpartition("avg@")
            if "avg@" in metric and ("=" not in rest or estimate["n"] >= PLOT_ITEMS):
                series = {"": "with image"}.get(view, view.strip("/"))
                label = rest.partition("/")[2] or "all items"
                percent = [100 * value for value in (estimate["mean"], *estimate["ci95"])]
                rows.append(PlotRow(label, series if len(models) == 1 else f"{model}, {series}", *percent))
    return Plot(f"{benchmark}: accuracy", tuple(rows), axis="%, with 95 % interval over items")


def pictures(images: Images) -> tuple[bytes, ...]:
    """Each image as the model gets it, as a file."""
    return tuple(encoded(images.pixels(i), max_side=MAX_SIDE) for i in range(len(images.grid)))


def report_item(
    benchmark: str, model: str, item: Item, record: Record, images: tuple[bytes, ...], corrupted: tuple[bytes, ...]
) -> ReportItem:
    accuracy = {view: record.accuracy(view) for view in record.views}
    blind = accuracy.get("blind")
    return ReportItem(
        benchmark=benchmark,
        model=model,
        id=record.id,
        question=record.question,
        answer=record.answer,
        choices=item.choices,
        tags=record.tags,
        scorable=record.scorable,
        images=images,
        corrupted=corrupted,
        responses=record.views["image"],
        accuracy=accuracy["image"],
        masked_accuracy=accuracy.get("masked"),
        blind_accuracy=blind,
        vision_dependency=None if blind is None else accuracy["image"] - blind,
        unseen={view: responses for view, responses in record.views.items() if view != "image"},
    )
