"""Files that are written whole: whatever interrupts the writing, a reader finds the old file or the new one."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A full disk, a quota, a limit on the size of files: as Python says it, and as libraries in other languages do.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_ROOM_TEXT = re.compile(rf"os error ({'|'.join(map(str, NO_ROOM))})\b|PytorchStreamWriter failed writing")


@contextmanager
def replacing(path: Path, kept: Path | None = None) -> Iterator[Path]:
    """The place beside `path` to write to, which takes the place of `path` at the end, or is gone after an error.

    Args:
        kept: where the old file goes then; None = nowhere. Between the two moves there is no file at `path`.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if kept is not None and path.exists():
        path.replace(kept)
    part.replace(path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def lacks_room(error: BaseException) -> bool:
    """Whether something could not be written because there was no room for it."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return True
    return NO_ROOM_TEXT.search(str(error)) is not None
