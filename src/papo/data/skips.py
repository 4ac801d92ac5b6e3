"""The list of rows that were left out, which all processes of a run share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from papo.errors import BadRow


class Skips:
    """Rows that were left out, by any process: each once, listed in a file (skipped.jsonl) once it has a place."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[str, str], str] = {}  # (source, id) -> reason
        self.path: Path | None = None
        self.read = 0  # bytes of the file that are known here

    def add(self, source: str, bad: BadRow) -> None:
        if (source, bad.id) not in self.reasons:
            self.reasons[source, bad.id] = bad.reason
            self._list([(source, bad.id)])

    def log_to(self, path: Path) -> None:
        """From here on every skip is in the file. What an earlier part of the run left there stays."""
        self.path, self.read = path, 0
        self._list(list(self.reasons))

    def count(self, within: str = "") -> int:
        """Skipped rows so far, those that other processes found included.

        Args:
            within: a place in the configuration, whose parts count too; "" = everywhere.
        """
        if self.path is not None and self.path.exists():
            with self.path.open("rb") as file:
                self._read(file)
        return sum(f"{source}.".startswith(f"{within}." if within else "") for source, _ in self.reasons)

    def _list(self, keys: list[tuple[str, str]]) -> None:
        """Appends the rows that no other process has listed."""
        if self.path is None or not keys:
            return
        with FileLock(self.path.with_name(f".{self.path.name}.lock")), self.path.open("a+b", buffering=0) as file:
            listed = self._read(file)
            rows = [
                {"source": source, "id": id, "reason": self.reasons[source, id]}
                for source, id in keys
                if (source, id) not in listed
            ]
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())

    def _read(self, file: BinaryIO) -> set[tuple[str, str]]:
        """What the file lists that was not read yet, whole lines only."""
        file.seek(self.read)
        whole, end, _ = file.read().rpartition(b"\n")
        self.read += len(whole + end)
        rows = [json.loads(line) for line in whole.splitlines()]
        for row in rows:
            self.reasons.setdefault((row["source"], row["id"]), row["reason"])
        return {(row["source"], row["id"]) for row in rows}
