"""Whether what is held out is held out: of two tables, one to train on and one to measure on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Any

from papo.data.order import Mixture
from papo.data.sources.opening import files_of
from papo.data.sources.split import TableSource
from papo.errors import SettingError

WHOLE = [0.0, 1.0]
LOOKED_THROUGH = 20_000  # rows of a table: some seconds


def doubts(train: Mapping[str, Any], val: Mapping[str, Any]) -> list[str]:
    """What a reader of the accuracies must know, in lines; none where either is no table, nor a mixture of them.

    Args:
        train, val: settings of `table_source`, as data.train and data.val have them.
    """
    found = (doubt(key, source, val) for key, source in parts(train).items())
    return [line for line in found if line]


def parts(train: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """By their keys, the tables that data.train has: itself, or those of a mixture."""
    mixed = {f"data.train.sources.{name}": source for name, source in (train.get("sources") or {}).items()}
    return mixed or {"data.train": train}


def trained_on(train: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The key of the part of `train` that may have rows of the table `measured`, with its share; "" where none has.

    Args:
        train: data.train of a run.
        measured: settings of a benchmark.
    """
    for key, source in parts(train).items():
        if overlap(source, measured):
            return "{}.share=[{:g},{:g}]".format(key, *source["share"])
    return ""


def shared(train: Any, val: Any) -> list[str]:
    """How many held-out items show a picture, or stand, among those that are trained on, in a line; none where none do,
    or where looking takes long.

    Args:
        train, val: built and screened: only rows of tables are looked at, the same file or the same bytes are one
            picture.
    """
    each = train.sources.values() if isinstance(train, Mixture) else [train]
    tables = [part for part in each if is_table(part)]
    if not tables or not is_table(val) or max(map(len, (*tables, val))) > LOOKED_THROUGH:
        return []
    trained = {row for part in tables for row in rows_of(part)}
    pictures = {picture for _, shown in trained for picture in shown}
    held_out = list(rows_of(val))
    showing = sum(any(picture in pictures for picture in shown) for _, shown in held_out)
    again = sum(row in trained for row in held_out)
    if not showing and not again:
        return []
    said = f"{showing} of {len(held_out)} held-out rows show a picture that is trained on"
    return [said + (f", {again} ask what is trained on word for word" if again else "")]


def is_table(screened: Any) -> bool:
    return isinstance(getattr(screened, "source", None), TableSource) and hasattr(screened, "rows")


def rows_of(screened: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What each good row asks and shows."""
    for row in screened.rows:
        with suppress(ValueError):  # its picture is gone since
            yield screened.source.seen(row)


def doubt(key: str, train: Mapping[str, Any], val: Mapping[str, Any]) -> str:
    """What is doubtful of one table to train on, with this key; "" where nothing is."""
    if "share" not in train or "share" not in val:
        return ""
    shares = {f"{key}.share": list(train["share"]), "data.val.share": list(val["share"])}
    shown = " ".join(f"{name}=[{low:g},{high:g}]" for name, (low, high) in shares.items())
    if overlap(train, val):
        return f"held-out rows are trained on: one table has {shown}, which overlap"
    if places(train) != places(val) and key == "data.train" and any(share != WHOLE for share in shares.values()):
        whole = "data.train.share=[0,1] data.val.share=[0,1]"
        return f"two tables, of which parts are used: {shown}; {whole} takes both whole"
    return ""


def overlap(train: Mapping[str, Any], val: Mapping[str, Any]) -> bool:
    """Whether both are tables that may have a row in common."""
    if "share" not in train or "share" not in val:
        return False
    (begins, ends), (val_begins, val_ends) = train["share"], val["share"]
    return begins < val_ends and val_begins < ends and alike(train, val)


def places(table: Mapping[str, Any]) -> Set[str]:
    """The files that are read, however they are named; of a hub its id."""
    path = table.get("path") or ""
    place = Path(path).expanduser()
    files = [Path(file) for file in glob(str(place), recursive=True)] if "*" in path else [place]
    if place.is_dir():
        with suppress(SettingError):  # a folder that `save_to_disk` wrote
            files = files_of(place, table.get("split"))
    return {str(file.resolve()) for file in files if file.exists()} or {path}


def alike(train: Mapping[str, Any], val: Mapping[str, Any]) -> bool:
    """Whether both may choose the same rows: what one of them leaves open is all that the other chooses."""
    common = places(train) & places(val)
    if not any(Path(place).is_file() for place in common):  # a file is a split, whatever the setting says
        pairs = [(train.get(name), val.get(name)) for name in ("subset", "split")]
        if not common or any(None not in pair and pair[0] != pair[1] for pair in pairs):
            return False
    tags, val_tags = train.get("tags") or {}, val.get("tags") or {}
    return all({*map(str, tags[tag])} & {*map(str, val_tags[tag])} for tag in tags.keys() & val_tags.keys())
