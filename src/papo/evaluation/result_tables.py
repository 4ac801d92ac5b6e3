"""Estimates as tables: for results.md, the terminal and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from papo.lab.mistakes import KINDS
from papo.report import ReportTable
from papo.statistics import Estimate, Power
from papo.visible import line

Estimates = Mapping[str, Estimate]

PERCENT = "%, with 95 % interval over items"
POINTS_SEEN = (1, 2, 5)  # percentage points for which it is said how many items they take
SHORT = 60  # characters of an answer or a prompt in a cell
POINTS = "percentage points, with 95 % interval of the difference paired by item"


def tables(
    name: str,
    models: Mapping[str, Estimates],
    differences: Mapping[str, Estimates],
    powers: Mapping[str, Mapping[str, Power]] | None = None,
    limit: int | None = None,
) -> list[ReportTable]:
    """What one benchmark showed: metrics and breakdown of each model, then the differences between models.

    Args:
        powers: what can be seen of a difference, by pair and metric.
        limit: rows of the benchmark that were asked for, the first ones; None = all.
    """
    first = next(iter(models.values()))
    if not first:
        return [ReportTable(name, ("metric",), (), "no item can be graded")]
    every = dict.fromkeys(
        metric for of_model in models.values() for metric in of_model
    )  # avg@4 of one, avg@1 of another
    overall = [metric for metric in every if "/" not in metric or metric.split("/")[0] in ("masked", "blind")]
    overall = [metric for metric in overall if "=" not in metric]
    note = "; ".join([PERCENT, *_items(first), *([f"of the first {limit} rows alone"] if limit else [])])
    found = [ReportTable(f"{name}: accuracy", ("metric", *models), metric_rows(overall, models), note)]
    groups = [metric.partition("/")[2] for metric in first if metric.startswith("avg@") and "=" in metric]
    if groups:
        found.append(_breakdown(name, groups, models))
    if any(metric.startswith("error/") for of_model in models.values() for metric in of_model):
        errors = [f"error/{kind}" for kind in KINDS]
        found.append(
            ReportTable(
                f"{name}: what went wrong", ("share of responses", *models), metric_rows(errors, models), PERCENT
            )
        )
    if differences:
        of_any = next(iter(differences.values()))
        rows = [metric for metric in of_any if "=" not in metric]
        found.append(
            ReportTable(f"{name}: differences", ("metric", *differences), metric_rows(rows, differences), POINTS)
        )
    if powers:
        found.append(_power(name, powers))
    return found


def metric_rows(metrics: Iterable[str], columns: Mapping[str, Estimates]) -> tuple[tuple[str, ...], ...]:
    """A row for each metric; nothing in the cell of a column that lacks it."""
    return tuple((metric, *(str(of[metric]) if metric in of else "" for of in columns.values())) for metric in metrics)


def _breakdown(name: str, groups: Sequence[str], models: Mapping[str, Estimates]) -> ReportTable:
    first = next(iter(models.values()))
    # Each model's own: of two that answered k and m times one has avg@k, the other avg@m, and not the same views.
    columns = [(model, view) for model, of in models.items() for view in of if "avg@" in view and "=" not in view]
    several = len(models) > 1
    return ReportTable(
        f"{name}: by tag",
        ("group", *(f"{model} {view}" if several else view for model, view in columns), "items"),
        tuple(
            (
                group,
                *(str(models[model].get(f"{view}/{group}", "")) for model, view in columns),
                str(first[f"{columns[0][1]}/{group}"].n),
            )
            for group in groups
        ),
        PERCENT,
    )


def _power(name: str, powers: Mapping[str, Mapping[str, Power]]) -> ReportTable:
    """What can be seen of a difference, and how many items a smaller one takes."""
    rows = [
        (pair, metric, *((f"{100 * of.detectable():.1f}",) if of.known else ("unknown",)), *(
            f"{items:,}" if (items := of.items_for(points / 100)) else "unknown" for points in POINTS_SEEN
        ))
        for pair, metrics in powers.items()
        for metric, of in metrics.items()
    ]  # fmt: skip
    columns = ("difference", "metric", "seen, points", *(f"items for {points}" for points in POINTS_SEEN))
    note = "the smallest true difference that such an interval tells from 0 four times in five, and what others take"
    return ReportTable(f"{name}: what differences can be seen", columns, tuple(rows), note)


def _items(estimates: Estimates) -> list[str]:
    first = next(iter(estimates.values()))
    if first.pictures is None:
        return [f"{first.n} items"]
    return [f"{first.n} items about {first.pictures} pictures, over which intervals are"]


def to_markdown(table: ReportTable) -> str:
    """The table as GitHub renders it, and a terminal; a bar in a cell would end the cell."""
    header, *rows = (
        ["" if cell is None else line(str(cell)).replace("|", "\\|") for cell in row]
        for row in (table.columns, *table.rows)
    )
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def joined(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    body = [joined(header), joined(["-" * width for width in widths]), *map(joined, rows)]
    return "\n".join([f"### {line(table.title)}", "", *body, *(["", f"{table.note}."] if table.note else [])])


def shortened(text: str) -> str:
    """For a cell."""
    return text if len(text) <= SHORT else f"{text[:SHORT]} …"
