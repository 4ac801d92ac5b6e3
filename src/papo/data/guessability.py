"""What is known of how often each training item is answered without its picture, and which are left out for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

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
        means: blind accuracy by item id; for this source, once known.
    """

    path: Path
    most: float | None = None
    means: dict[str, float] = field(default_factory=dict)

    def part(self, name: str) -> Guessability:
        """What is known of a mixture's source of this name."""
        if self.path.suffix == ".jsonl":
            raise SettingError("guessability", f"must be a folder with {name}.jsonl of the mixture, got {self.path}")
        return replace(self, path=self.path / f"{name}.jsonl")

    def read(self) -> Guessability:
        """With the blind accuracies of the file. An item that could not be graded was never answered right: 0.

        Raises:
            SettingError: there is none, or a line of it is something else.
        """
        try:
            rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            return replace(self, means={row["item"]: row["mean"] or 0.0 for row in rows})
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"must be a file that evaluate.py guessable=true wrote, got {self.path} ({error!r:.100})"
            raise SettingError("guessability", problem) from error

    def known(self, item: Item) -> Item:
        """The item with its blind accuracy.

        Raises:
            TooGuessable: it is above the limit.
            BadRow: the file lacks it, as it does where the evaluation skipped the row; more than a few of them mean
                that other data was measured.
        """
        if item.id not in self.means:
            raise BadRow(item.id, f"not in data.guessability={self.path}; evaluate.py guessable=true measures it")
        mean = self.means[item.id]
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
