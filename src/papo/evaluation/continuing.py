"""Whether the answers that a folder holds are to the items and of the weights that an evaluation goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from papo.data.module import Source
from papo.errors import ConfigError
from papo.evaluation.records import Record, RecordFile
from papo.evaluation.results import records_file
from papo.files import write_text
from papo.types import Item
from papo.visible import line

SHOWN = 80  # characters of a value that a message shows


def record_files(
    folder: Path, sources: Mapping[str, Source], models: Sequence[str], batch_size: int
) -> dict[str, dict[str, RecordFile]]:
    """What was answered of each benchmark by each model, to go on with; nothing is written. Raises as `check_items`."""
    files = {
        name: {
            model: RecordFile(records_file(folder, number, model, name), batch_size, len(source))
            for number, model in enumerate(models)
        }
        for name, source in sources.items()
    }
    for name, source in sources.items():
        check_items(folder, name, source, list(files[name].values()))
    return files


def check_items(folder: Path, name: str, source: Source, files: Sequence[RecordFile]) -> None:
    """Looks at the items of a benchmark that were answered, with their pictures; further ones may have come behind.

    Args:
        folder: of the evaluation.
        name: of the benchmark.
        files: of its records, one for each model.

    Raises:
        ConfigError: the data is not what was answered any more.
    """
    most = max(file.found for file in files)
    way_out = "go on with the data that was answered, or choose another folder"
    if most > len(source):
        raise ConfigError(
            f"hydra.run.dir={folder} holds answers to {most} items of benchmarks.{name}, which has {len(source)} now; "
            f"{way_out}"
        )
    for index in range(max(len(file.records) for file in files)):
        item = source[index]
        for file in files:
            found = change(file.records[index], item) if index < len(file.records) else None
            if found is not None:
                what, then, now = found
                raise ConfigError(
                    f"hydra.run.dir={folder} holds answers to other items than benchmarks.{name} has now: item "
                    f"{index + 1} has the {what} {line(now, SHOWN)!r}, and {line(then, SHOWN)!r} when it was answered; "
                    f"{way_out}"
                )


def change(record: Record, item: Item) -> tuple[str, str, str] | None:
    """What is another one in the item than in its record, then and now; None where nothing is."""
    pairs = (
        ("id", record.id, item.id),
        ("question", record.question, item.question),
        ("right answer", record.answer, item.answer),
        ("tags", dict(record.tags), dict(item.tags)),
        ("picture", record.picture or item.picture, item.picture),  # records of before do not know it
    )
    return next(((what, str(then), str(now)) for what, then, now in pairs if then != now), None)


def check_weights(folder: Path, setting: str, digest: str, files: Sequence[RecordFile]) -> None:
    """Keeps the digest of the weights that answer beside their records, or holds it against the one that is there.

    Args:
        folder: of the evaluation.
        setting: that names the model, for messages.
        digest: as `digest_of_policy` has it.
        files: of the model's records.

    Raises:
        ConfigError: the records are answers of other weights.
    """
    path = files[0].path.with_name("weights.json")
    begun = any(file.records for file in files)
    then = json.loads(path.read_text())["digest"] if path.exists() else None
    if begun and then is None:
        print(f"{folder} does not say which weights gave the answers in it: those of {setting} now are taken for them")
    elif begun and then != digest:
        raise ConfigError(
            f"hydra.run.dir={folder} holds answers of other weights than {setting} has now; put those back, or choose "
            "another folder"
        )
    if then != digest:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"digest": digest}) + "\n")
