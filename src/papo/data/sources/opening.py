"""Finds what a path or a hub id names, and opens it through `datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from datasets import Dataset, DatasetDict, Features, IterableDataset, Value

from papo.data.sources.copies import lengths_kept, lengths_of, place_of_copy
from papo.data.sources.json_rows import JsonText, opened
from papo.data.sources.tables import Table
from papo.data.sources.tars import Tars
from papo.errors import SettingError

# Which reader of `datasets` a file's ending stands for.
READERS = {".parquet": "parquet", ".arrow": "arrow", ".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
READERS |= {".tar": "webdataset"}
# How cells are read. Only an empty one is nothing: an option may be "None" or "NA".
CSV = {"keep_default_na": False, "na_values": [""]}
CELLS = {"csv": CSV, "tsv": CSV | {"sep": "\t"}}


def open_table(path: str, split: str | None, subset: str | None, columns: dict[str, str], streaming: bool) -> Table:
    """Opens a hub id or a local path; arguments as in `table_source`.

    Raises:
        SettingError: nothing there, nothing readable, no such split, or no such column.
    """
    place = Path(path).expanduser()
    try:
        if place.exists() or "*" in path:
            found = _local(place, split, streaming)
        elif path.startswith(("/", ".", "~")) or place.suffix in READERS:
            raise SettingError("path", f"must exist, got {path}")
        else:
            found = Table(datasets.load_dataset(path, subset, split=split, streaming=streaming), (), {})
        data = _one_split(found.data, path, split)
        if streaming and isinstance(data, Dataset):
            data = data.to_iterable_dataset()
        if data.features is None:
            data = data._resolve_features()  # a stream whose files do not say: of its first rows
    except SettingError:
        raise
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        because = error.__cause__ or error
        raise SettingError(
            "path", f"must be data that can be read, got {path} (split {split}): {str(because).strip():.500}"
        ) from error
    found = replace(found, data=data)
    known = found.schema.names
    missing = sorted(set(columns.values()) - set(known))
    if missing:
        raise SettingError("columns", f"must name columns of {path} ({', '.join(known)}), got {missing[0]!r}")
    return replace(found, data=data.with_format("arrow"), columns=columns)


def _local(place: Path, split: str | None, streaming: bool) -> Table:
    """Rows of a file, of files by a pattern, of a folder that `save_to_disk` wrote (which may be of several splits), or
    of a folder of files."""
    if place.is_dir() and any((place / name).is_file() for name in ("state.json", "dataset_dict.json")):
        data = datasets.load_from_disk(str(place))
        return Table(data[split] if isinstance(data, DatasetDict) and split in data else data, (place,), {})
    given = place.exists()
    if given:
        files = [place] if place.is_file() else files_of(place, split)
    else:
        files = [Path(file) for file in sorted(glob(str(place), recursive=True))]
        if not files:
            raise SettingError("path", f"must match files, got {place}, which matches none")
        place = files[0].parent  # not the pattern's own beginning, which may be the whole disk
    reader = READERS.get(files[0].suffix)
    if reader is None or any(READERS.get(file.suffix) != reader for file in files):
        endings = ", ".join(sorted({file.suffix or file.name for file in files}))
        raise SettingError("path", f"must hold files of one of {', '.join(READERS)}, got {place} with {endings}")
    beside = {file.parent for file in files}
    if files[0].stem == "metadata" and len(beside) > 1:
        raise SettingError(
            "path", f"must have one folder of metadata, got {place} with {len(beside)}; choose by split or path"
        )
    packed: Tars | JsonText | None = None
    with lengths_kept():
        if reader == "webdataset":
            packed = Tars.of(files[:1] if streaming else files)  # all are read, or there may be too many
            data = packed.opened(files, streaming)
        elif reader == "json":
            data, text = opened(files, streaming)
            packed = text.renamed(_names_of_files(text.columns.names))
        else:
            data = _read(reader, files, streaming)
            data = data.rename_columns(_names_of_files(data.features or ()))
    lengths = lengths_of(data, len(files)) if len(files) > 1 and not streaming else ()
    return Table(data, (place,) if given else (), {}, packed, tuple(files), lengths)


def _read(reader: str, files: Sequence[Path], streaming: bool) -> Dataset | IterableDataset:
    """The rows of files that a reader of `datasets` reads as it is."""
    settings = {"data_files": [str(file) for file in files], "split": "train", "streaming": streaming}
    if reader in CELLS:
        for file in files:
            check_cells(file, CELLS[reader])
        settings |= CELLS[reader] | {"features": as_texts(files[0], CELLS[reader])}
    if not streaming:
        settings["cache_dir"] = place_of_copy(files)
    return datasets.load_dataset("csv" if reader in CELLS else reader, **settings)


def check_cells(file: Path, cells: Mapping[str, Any]) -> None:
    """Raises SettingError where rows have more cells than the header, the first of which pandas takes for an index: an
    unquoted comma moves all others by one."""
    if not isinstance(pd.read_csv(file, nrows=1, dtype=object, **cells).index, pd.RangeIndex):
        raise SettingError(
            "path",
            f"must have a name for every cell, got {file} with more of them than its header has; "
            "put cells with commas in quotes, or give the first column a name",
        )


def as_texts(file: Path, cells: Mapping[str, Any]) -> Features:
    """The columns of a CSV or TSV file, all of them text, for that is what was written.

    By its values a column of 007 and 1.50 would be numbers, one of True and False neither, and one row more could make
    another kind of it.
    """
    header = pd.read_csv(file, nrows=0, dtype=object, **cells)
    return Features({name: Value("large_string") for name in header.columns})  # base64 pictures may be gigabytes


def files_of(folder: Path, split: str | None) -> list[Path]:
    """The folder's data files that belong to a split: whose path inside the folder has the split's name as a word.

    An image folder is described by a file metadata.jsonl (or .csv, .parquet) beside its pictures. What is hidden is no
    data, as for `datasets` itself: .ipynb_checkpoints has older copies of the same rows.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in READERS)
    files = [path for path in files if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)]
    metadata = [path for path in files if path.stem == "metadata"]
    files = metadata or [path for path in files if path.name not in ("dataset_info.json", "dataset_infos.json")]
    if not files:
        raise SettingError("path", f"must hold files of {', '.join(READERS)}, got {folder} without any")
    if split is None:
        return files
    word = re.compile(rf"(?<![a-z0-9]){re.escape(split.lower())}(?![a-z0-9])")
    chosen = [path for path in files if word.search(str(path.relative_to(folder)).lower())]
    if not chosen:
        names = ", ".join(str(path.relative_to(folder)) for path in files[:10])
        raise SettingError("split", f"must be in the name of a file of {folder} ({names}), got {split}; null takes all")
    return chosen


def _names_of_files(columns: Iterable[str]) -> dict[str, str]:
    """Other names for columns: an image folder's file_name is the `image` of its row, file_names are `images`,
    x_file_name is `x`."""
    names = {"file_name": "image", "file_names": "images"}
    found = {name: names.get(name, name.removesuffix("_file_name")) for name in columns}
    return {old: new for old, new in found.items() if old != new and new not in found}


def _one_split(data: Any, path: str, split: str | None) -> Any:
    if not isinstance(data, dict):
        return data
    if split is None and len(data) == 1:
        return next(iter(data.values()))
    raise SettingError("split", f"must be one of {', '.join(data)} (the splits of {path}), got {split}")
