"""What is known of how often each training item is answered without its picture, and which are left out for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from papo.data.sources.pictures import Unread
from papo.errors import BadRow, SettingError
from papo.types import Item


class TooGuessable(BadRow):
    """An item that nothing is wrong with, but which is answered blind too often."""


@dataclass(frozen=True)
class Guessability:
    """Gives items their blind accuracy; refuses those above a limit.

    Args:
        path: what `python evaluate.py guessable=true` wrote of the source; of a Mixture the folder of such files, each
            named as its source is.
        most: largest blind accuracy, in [0, 1], of an item that is kept; None = any.
        rows: of the file, by item id; for this source, once known.
    """

    path: Path
    most: float | None = None
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def part(self, name: str) -> Guessability:
        """What is known of a mixture's source of this name."""
        if self.path.suffix == ".jsonl":
            raise SettingError("guessability", f"must be a folder with {name}.jsonl of the mixture, got {self.path}")
        return replace(self, path=self.path / f"{name}.jsonl")

    def read(self) -> Guessability:
        """With the blind accuracies of the file; says so where it does not say of what they are. An item that could not
        be graded was never answered right: 0.

        Raises:
            SettingError: there is none, or a line of it is something else.
        """
        try:
            rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            found = {row["item"]: {**row, "mean": row["mean"] or 0.0} for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"must be a file that evaluate.py guessable=true wrote, got {self.path} ({error!r:.100})"
            raise SettingError("guessability", problem) from error
        if not all("asked" in row for row in rows):
            print(
                f"data.guessability={self.path} is of a version that did not write down which questions and pictures "
                "were answered: whether they are those of these rows cannot be checked"
            )
        return replace(self, rows=found)

    def known(self, item: Item) -> Item:
        """The item with its blind accuracy.

        Raises:
            TooGuessable: it is above the limit.
            BadRow: the file lacks it, as it does where the evaluation skipped the row, or measured another question,
                right answer or picture of this id; more than a few of them mean that other data was measured.
        """
        row, anew = self.rows.get(item.id), "evaluate.py guessable=true measures it"
        if row is None:
            raise BadRow(item.id, f"not in data.guessability={self.path}; {anew}")
        here = {"asked": item.asked}
        if not any(isinstance(image, Unread) for image in item.images):  # a draft has no pixels to tell it by
            here["picture"] = item.picture
        if any(row.get(name) not in (None, value) for name, value in here.items()):
            raise BadRow(item.id, f"asks or shows something else than data.guessability={self.path} measured; {anew}")
        mean = row["mean"]
        if self.most is not None and mean > self.most:
            raise TooGuessable(item.id, f"blind accuracy {mean:g}, more than max_guessable={self.most:g}")
        return replace(item, guessability=mean)


def guessability_of(path: str | None, max_guessable: float | None) -> Guessability | None:
    """What data.guessability and data.max_guessable say together; None where neither is set.

    Raises:
        SettingError: a limit outside [0, 1], or one without a file.
    """
    if max_guessable is not None and not 0 <= max_guessable <= 1:
        raise SettingError("max_guessable", f"must lie in [0, 1] (null = any), got {max_guessable}")
    if max_guessable is not None and path is None:
        raise SettingError(
            "guessability", f"must name the file of blind accuracies that max_guessable={max_guessable:g} is held to"
        )
    return None if path is None else Guessability(Path(path).expanduser(), max_guessable)
