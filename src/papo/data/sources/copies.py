"""Where `datasets` keeps its copy of the rows of local files: elsewhere for other contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import datasets
from datasets import Dataset

BLOCK, BLOCKS = 2**16, 16  # bytes that are read at one place of a file, and places: a megabyte of each


def place_of_copy(files: Sequence[Path]) -> str:
    """A folder of its own for these contents, in the cache of `datasets`.

    By itself `datasets` takes a file for the same while its path and the time of its last change are the same, as they
    are where a copy with its time (`cp -p`, `rsync -t`) took its place. Here the size counts besides, and what stands
    at BLOCKS places: all of a small file. The time of a change of status would notice more, also a mere chmod.
    """
    digest = blake2b(b"with lengths" if len(files) > 1 else b"", digest_size=8)  # earlier copies have none
    for file in files:
        size = file.stat().st_size
        digest.update(f"{size} ".encode())
        with file.open("rb") as content:
            for start in sorted({max(0, size - BLOCK) * n // (BLOCKS - 1) for n in range(BLOCKS)}):
                content.seek(start)
                digest.update(content.read(BLOCK))
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "papo" / digest.hexdigest())


@contextmanager
def lengths_kept() -> Iterator[None]:
    """Within it `datasets` writes down how many rows each of a copy's files has, which it otherwise forgets."""
    before = datasets.config.SAVE_ORIGINAL_SHARD_LENGTHS
    datasets.config.SAVE_ORIGINAL_SHARD_LENGTHS = True
    try:
        yield
    finally:
        datasets.config.SAVE_ORIGINAL_SHARD_LENGTHS = before


def lengths_of(data: Dataset, files: int) -> tuple[int, ...]:
    """Rows of each of the files that were read with their lengths kept; empty ones at the end are not written down."""
    known = data.info.splits[str(data.split)].original_shard_lengths or [len(data)]  # none of them but the first
    lengths = (*known, *[0] * (files - len(known)))
    assert sum(lengths) == len(data), f"{lengths} are not the {len(data)} rows of {files} files"
    return lengths
