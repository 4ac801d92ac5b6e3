"""How often a base answers each item without its picture: measured once, read by training (data.guessability)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from papo.errors import ConfigError
from papo.evaluation.answering import BLIND
from papo.evaluation.measure import Examination
from papo.evaluation.records import Record
from papo.evaluation.result_tables import PERCENT, to_markdown
from papo.evaluation.summary import OfItems
from papo.files import write_text
from papo.report import ReportTable
from papo.run_dir import RunDir
from papo.statistics import mean_over_items
from papo.types import name_of_texts

# Blind accuracies for which the table says how many items lie above: what data.max_guessable would leave out.
ABOVE = (0.25, 0.5, 0.75)


def blind_only(examination: Examination, models: Sequence[str]) -> Examination:
    """The same examination of one model, with every patch of every picture black and nothing else.

    Raises:
        ConfigError: several models would answer: an item has the blind accuracy of one base.
    """
    if len(models) > 1:
        raise ConfigError("compare must be [] with guessable=true: the blind accuracy of an item is that of one base")
    return replace(examination, views={"blind": BLIND})


def write_guessability(run: RunDir, of_benchmarks: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """guessability/<benchmark>.jsonl, and guessability.json with the table that is printed.

    A row of the first is {"item", "asked", "picture", "mean", "ci95", "k"}: the share of right answers among k blind
    responses, with the interval of `mean_over_items` over them, and digests of what was asked, by which training tells
    that it is the same row. Of an item that cannot be graded, mean and ci95 are null.

    Returns:
        What is in guessability.json: per benchmark mean, ci95 and n over the items that can be graded, and the share
        of them above some blind accuracies.
    """
    folder = run.path / "guessability"
    folder.mkdir(exist_ok=True)
    for name, records in of_benchmarks.items():
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(row(record)) + "\n" for record in records))
    found = {name: overview(records) for name, records in of_benchmarks.items()}
    run.write("guessability.json", found)
    print(f"\n{to_markdown(table(found))}")
    return found


def row(record: Record) -> dict[str, Any]:
    """An item's line of the file."""
    right = [float(response.correct) for response in record.views["blind"]]
    measured = mean_over_items(right).to_dict() if record.scorable else {}
    named = {"item": record.id, "asked": name_of_texts(record.question, record.answer), "picture": record.picture}
    return named | {"mean": measured.get("mean"), "ci95": measured.get("ci95"), "k": len(right)}


def overview(records: Sequence[Record]) -> dict[str, Any]:
    """One benchmark's part of guessability.json, with "pictures" where several items are about one; only "items" where
    none can be graded."""
    found = OfItems.of(records, lambda record: record.accuracy("blind") if record.scorable else None)
    if not found.values:
        return {"items": len(records)}
    above = {f"{limit:g}": sum(mean > limit for mean in found.values) / len(found.values) for limit in ABOVE}
    return {"items": len(records)} | mean_over_items(found.values, found.pictures).to_dict() | {"above": above}


def table(found: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    rows = []
    for name, of in found.items():
        if "mean" in of:
            mean, low, high = (f"{100 * value:.1f}" for value in (of["mean"], *of["ci95"]))
            about = f", about {of['pictures']} pictures, over which its interval is" if "pictures" in of else ""
            rows.append(
                (name + about, f"{mean} [{low}, {high}]", *(f"{100 * share:.1f}" for share in of["above"].values()))
            )
        else:
            rows.append((name, "no item can be graded", *("" for _ in ABOVE)))
    columns = ("answered blind", "right", *(f"items above {100 * limit:.0f}" for limit in ABOVE))
    return ReportTable("Guessability", columns, tuple(rows), PERCENT)
