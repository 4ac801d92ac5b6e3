"""VLMEvalKit's predictions: <model>_<data set>.tsv, .xlsx or .json, by its PRED_FORMAT.

The columns of the data set but for `image`, and `prediction`; with its SPLIT_THINK a column `thinking` besides. Rows
are told apart by `index`. One prediction per item is all that it knows: of k responses it sees the first.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from papo.evaluation.exchange import xlsx
from papo.evaluation.exchange.foreign import OWN, Exported, Foreign, own_record, printable, text_of
from papo.files import write_text
from papo.rewards.grading.options import plain_letter

FORMAT = "vlmevalkit"
LONGEST_FIELD = 2**31 - 1  # characters; csv's own limit of 131,072 is less than a record may have


def read(path: Path) -> Iterator[Foreign]:
    """The rows of a file of predictions.

    Raises:
        ValueError: it is none, or a row of it is damaged.
    """
    for number, row in enumerate(rows_of(path), 1):
        try:
            yield foreign(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"row {number} is no prediction of VLMEvalKit: {type(error).__name__}: {error}") from error


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Each row by column, cells that are empty left out."""
    if path.suffix == ".json":
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, list):
            raise ValueError("it is no list of rows")
        return table
    if path.suffix == ".xlsx":
        header, *rows = xlsx.read(path) or [[]]
    else:
        limit = csv.field_size_limit(LONGEST_FIELD)
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:  # a line feed may stand in a cell
                header, *rows = [*csv.reader(lines, delimiter="\t")] or [[]]
        except csv.Error as error:
            raise ValueError(str(error)) from error
        finally:
            csv.field_size_limit(limit)
    return [{name: cell for name, cell in zip(header, row, strict=False) if cell not in ("", None)} for row in rows]


def foreign(row: dict[str, Any]) -> Foreign:
    origin = {name: value for name, value in row.items() if name != OWN}
    index = str(origin["index"])
    own = json.loads(row[OWN]) if OWN in row else None
    said, thought = (text_of(origin.get(name)) for name in ("prediction", "thinking"))
    return Foreign(
        responses=(f"<think>{thought}</think>{said}" if thought else said,),
        id=index,
        row=int(index) if index.isdecimal() else None,
        question=text_of(origin.get("question")),
        answer=text_of(origin.get("answer")),
        origin={"format": FORMAT, "row": origin},
        own=own_record(own, {"format": FORMAT, "row": origin}),
    )


def write(path: Path, exported: Sequence[Exported]) -> int:
    """Writes TSV or XLSX, by the ending.

    Returns:
        How many rows lost something: a cell of XLSX holds 32,767 characters, and our own record is left out where it
        has more.

    Raises:
        OSError: the file cannot be written.
    """
    rows = [prediction(each) for each in exported]
    header = [*dict.fromkeys(name for row in rows for name in row if name != OWN), OWN]
    table = [[cell_of(row.get(name)) for name in header] for row in rows]
    if path.suffix != ".xlsx":
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([header, *(["" if cell is None else cell for cell in row] for row in table)])
        write_text(path, printable(text.getvalue()))
        return 0
    cut = 0
    for row in table:
        long = [isinstance(cell, str) and len(cell) > xlsx.LONGEST for cell in row]
        if any(long):
            cut += 1
            row[:] = [cell[: xlsx.LONGEST] if of else cell for cell, of in zip(row, long, strict=True)]
            row[-1] = None if long[-1] else row[-1]
    xlsx.write(path, [header, *table])
    return cut


def cell_of(value: Any) -> str | int | float | None:
    """A field as pandas writes it, by which that tool does: NaN is empty, and what is no scalar its repr, which the
    tool evaluates where it looks for a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def prediction(each: Exported) -> dict[str, Any]:
    """A row that came from there goes back as it was, with our record beside."""
    record, letters = each.record, dict(zip(each.choices, ascii_uppercase, strict=False))
    row = each.origin(FORMAT) or {
        "index": record.id,
        "question": record.question,
        **{letter: choice for choice, letter in letters.items()},
        "answer": letters.get(record.answer, plain_letter(record.answer, each.choices)),
        "prediction": each.texts[0],
    }
    return row | {OWN: json.dumps(each.own(FORMAT))}
