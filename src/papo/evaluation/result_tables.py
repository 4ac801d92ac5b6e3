"""Estimates as tables: for results.md, the terminal and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from papo.evaluation.summary import CUT_OFF
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
    missing: Sequence[str] = (),
) -> list[ReportTable]:
    """What one benchmark showed: metrics and breakdown of each model, then the differences between models.

    Args:
        powers: what can be seen of a difference, by pair and metric.
        limit: rows of the benchmark that were asked for, the first ones; None = all.
        missing: what no metric counts, in words.
    """
    first = next(iter(models.values()))
    if not first:
        return [ReportTable(name, ("metric",), (), "no item can be graded")]
    overall = [metric for metric in named(models) if "/" not in metric or metric.split("/")[0] in ("masked", "blind")]
    overall = [metric for metric in overall if metric != CUT_OFF or cuts_off(models)]
    note = "; ".join(
        [
            PERCENT,
            *_items(first),
            *missing,
            *([f"of the first {limit} rows alone"] if limit else []),
        ]
    )
    found = [ReportTable(f"{name}: accuracy", ("metric", *models), metric_rows(overall, models), note)]
    for model, metrics in models.items():  # a table each: side by side they are wider than a terminal
        found += _breakdown(f"{name}: by tag" if len(models) == 1 else f"{name}: by tag, {model}", metrics)
    if any(metric.startswith("error/") for of_model in models.values() for metric in of_model):
        errors = [f"error/{kind}" for kind in KINDS]
        found.append(
            ReportTable(
                f"{name}: what went wrong", ("share of responses", *models), metric_rows(errors, models), PERCENT
            )
        )
    if differences:
        rows = metric_rows([name for name in named(differences) if name != CUT_OFF or cuts_off(models)], differences)
        found.append(ReportTable(f"{name}: differences", ("metric", *differences), rows, POINTS))
    found += [_power(f"{name}: what differences can be seen, {pair}", of) for pair, of in (powers or {}).items()]
    return found


def named(columns: Mapping[str, Estimates]) -> list[str]:
    """The metrics over all items that any column has: of answers that were drawn k and j times, avg@k and avg@j."""
    return list(dict.fromkeys(metric for of in columns.values() for metric in of if "=" not in metric))


def cuts_off(models: Mapping[str, Estimates]) -> bool:
    """Whether any model has responses that were cut off: of none there is nothing to see."""
    return any(CUT_OFF in of_model and of_model[CUT_OFF].mean > 0 for of_model in models.values())


def metric_rows(metrics: Iterable[str], columns: Mapping[str, Estimates]) -> tuple[tuple[str, ...], ...]:
    """A row for each metric; nothing in the cell of a column that lacks it."""
    return tuple((metric, *(str(of[metric]) if metric in of else "" for of in columns.values())) for metric in metrics)


def _breakdown(title: str, metrics: Estimates) -> list[ReportTable]:
    """One model's share of right responses under each view by tag; none where items have no tags."""
    views = [metric for metric in metrics if "avg@" in metric and "=" not in metric]
    groups = [metric.partition("/")[2] for metric in metrics if metric.startswith("avg@") and "=" in metric]
    rows = [
        (group, *(str(metrics[f"{view}/{group}"]) for view in views), str(metrics[f"{views[0]}/{group}"].n))
        for group in groups
    ]
    return [ReportTable(title, ("group", *views, "items"), tuple(rows), PERCENT)] if rows else []


def _power(title: str, powers: Mapping[str, Power]) -> ReportTable:
    """What can be seen of a difference by each metric, and how many items a smaller one takes."""
    rows = [
        (metric, *((f"{100 * of.detectable():.1f}",) if of.known else ("unknown",)), *(
            f"{items:,}" if (items := of.items_for(points / 100)) else "unknown" for points in POINTS_SEEN
        ))
        for metric, of in powers.items()
    ]  # fmt: skip
    columns = ("metric", "seen, points", *(f"items for {points}" for points in POINTS_SEEN))
    note = "the smallest true difference that such an interval tells from 0 four times in five, and what others take"
    return ReportTable(title, columns, tuple(rows), note)


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
