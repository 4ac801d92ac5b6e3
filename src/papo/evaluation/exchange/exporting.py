"""Records in the files of other tools, under exports/ of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from papo.evaluation.exchange import lmms_eval, vlmevalkit
from papo.evaluation.exchange.foreign import Exported
from papo.evaluation.records import Record
from papo.evaluation.results import slug


class Format(NamedTuple):
    write: Callable[[Path, Sequence[Exported]], Any]  # returns how many rows lost something, or nothing
    file: str  # its name, as the tool calls its own


FORMATS = {
    "lmms_eval": Format(lmms_eval.write, "papo_samples_{benchmark}.jsonl"),
    "vlmevalkit": Format(vlmevalkit.write, "{model}_{benchmark}.tsv"),
    "vlmevalkit_xlsx": Format(vlmevalkit.write, "{model}_{benchmark}.xlsx"),
}


def write_exports(
    run: Path,
    formats: Sequence[str],
    records: Mapping[str, Mapping[str, Sequence[Record]]],
    about: Mapping[str, Mapping[str, tuple[int, tuple[str, ...]]]],
) -> None:
    """exports/<format>/<model>/<file> for each benchmark.

    Args:
        run: the folder.
        formats: names of FORMATS.
        records: by benchmark and model.
        about: by benchmark and item, its row in the data and its choices.

    Raises:
        OSError: a file cannot be written.
    """
    for format in formats:
        for benchmark, of_models in records.items():
            for number, (model, of_model) in enumerate(of_models.items()):
                name = f"{number}_{slug(model)}"
                file = FORMATS[format].file.format(model=name, benchmark=benchmark)
                path = run / "exports" / format / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                exported = [Exported(record, *about[benchmark][record.id]) for record in of_model]
                lost = FORMATS[format].write(path, exported)
                if lost:
                    print(
                        f"{path}: {lost} rows have more than the 32,767 characters that a cell of XLSX holds and were "
                        "cut off; export=[vlmevalkit], a TSV, keeps them"
                    )
