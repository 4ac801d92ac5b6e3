"""Tars in WebDataset's layout, through the reader of `datasets`: nothing is unpacked on the disk.

Files that follow one another and are called the same up to the first dot are a row. `7.jpg` is its image, `7.0.png` and
`7.1.png` are its images in this order, and any other name in front of the ending is a column: `7.question.txt`,
`7.counterfactual_image.png`. The fields of `7.json` are columns themselves; where the tar has the row's pictures, what
they say of `image` and `images` is left out: names of these files.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets import Features, Image, Json, Value

from papo.data.sources.copies import place_of_copy
from papo.errors import SettingError

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm")
FIELDS = ("json", "jsn")
# What a file is, by its ending, as `datasets` reads it. Others of its readers are not for what strangers packed.
KINDS = dict.fromkeys(PICTURES, Image()) | dict.fromkeys(FIELDS, Json())
KINDS |= dict.fromkeys(("txt", "text"), Value("string")) | dict.fromkeys(("cls", "id", "index"), Value("int64"))
KEY = "__key__"  # of `datasets`: the name up to the dot
LOOKED_AT = 1000  # values that say of which types the columns are


@dataclass(frozen=True)
class Tars:
    """Which files the rows of tars have, and which columns become of them.

    names: of the files, behind the first dot.
    columns: their types, as far as the first rows tell.
    """

    names: tuple[str, ...]
    columns: pa.Schema

    @staticmethod
    def of(paths: Sequence[Path]) -> Tars:
        """As all of these tars have them. Raises SettingError as `files_of_rows`."""
        names: dict[str, None] = {}
        values: dict[str, list[Any]] = {KEY: [""]}
        for path in paths:
            for name, content in files_of_rows(path, max(0, LOOKED_AT - sum(map(len, values.values())))):
                names[name] = None
                if content is not None:
                    for column, value in columns_of({name: content}).items():
                        values.setdefault(column, []).append(value)
        if not names:
            raise SettingError("path", f"must be tars of files such as 7.jpg and 7.json, got {paths[0]} without any")
        return Tars(tuple(names), pa.schema([(column, type_of(of)) for column, of in values.items()]))

    def opened(self, paths: Sequence[Path], streaming: bool) -> Any:
        """The rows of tars, a column for each file.

        Raises:
            SettingError: one cannot be read.
        """
        features = {name: KINDS[ending(name)] for name in self.names}
        features |= {KEY: Value("string"), "__url__": Value("string")}
        settings = {"data_files": [str(path) for path in paths], "split": "train", "streaming": streaming}
        settings |= {} if streaming else {"cache_dir": place_of_copy(paths)}
        try:
            return datasets.load_dataset("webdataset", features=Features(features), **settings)
        except (datasets.exceptions.DatasetsError, ValueError):
            for path in paths:  # to say which it is, and where
                for _ in files_of_rows(path):
                    pass
            raise

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a row that has one for each file."""
        return {KEY: row[KEY]} | columns_of({name: row[name] for name in self.names if row[name] is not None})


def files_of_rows(path: Path, looked_at: int | None = None) -> Iterator[tuple[str, Any]]:
    """The name behind the first dot and the content of each file that belongs to a row; pictures are left out.

    Args:
        looked_at: files that are read, the first ones; None = all. The content of others is None.

    Raises:
        SettingError: the tar cannot be read, or has a file of another kind.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            found = 0
            for member in archive:
                base = member.name.rpartition("/")[2]
                name = base.partition(".")[2]
                if not member.isfile() or not name or base.startswith((".", "__")):  # what `datasets` passes over
                    continue
                if ending(name) not in KINDS:
                    raise ValueError(f"{member.name} is no picture, .json or .txt")
                read = looked_at is None or found < looked_at
                yield name, content_of(member, archive) if read else None
                found += 1
    except (OSError, EOFError, ValueError, RecursionError, tarfile.TarError) as error:
        raise SettingError("path", f"must be tars that can be read, got {path}: {error}") from error


def content_of(member: tarfile.TarInfo, archive: tarfile.TarFile) -> Any:
    """As `datasets` reads it; of a picture its name alone. Raises ValueError: it is not what its ending says."""
    end = ending(member.name)
    if end in PICTURES:
        return {"bytes": b"", "path": member.name}
    try:
        text = archive.extractfile(member).read().decode()
        return json.loads(text) if end in FIELDS else text if KINDS[end] == Value("string") else int(text)
    except ValueError as error:
        raise ValueError(f"{member.name}: {error}") from error


def columns_of(files: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a row's files make.

    >>> columns_of({"json": {"question": "How many?", "image": "7.jpg"}, "jpg": b"...", "answer.txt": "3"})
    {'question': 'How many?', 'image': b'...', 'answer': '3'}
    """
    found: dict[str, Any] = {}
    for name in FIELDS:
        found |= files[name] if isinstance(files.get(name), dict) else {}
    others = {name: value for name, value in files.items() if name not in FIELDS}
    stems = {name: name.rpartition(".")[0] for name in others}
    shown = [name for name in others if ending(name) in PICTURES and (stems[name].isdecimal() or not stems[name])]
    if shown:
        found = {column: value for column, value in found.items() if column not in ("image", "images")}
        pictures = [others[name] for name in sorted(shown, key=lambda name: int(stems[name] or 0))]
        found |= {"image": pictures[0]} if not stems[shown[0]] and len(shown) == 1 else {"images": pictures}
    return found | {stems[name] or ending(name): value for name, value in others.items() if name not in shown}


def ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def type_of(values: Sequence[Any]) -> pa.DataType:
    """JSON's where they are of several types."""
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError):
        return pa.json_()
