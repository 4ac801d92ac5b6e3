"""easy-VQA: 5,000 pictures of one coloured shape with 48,248 questions, which a package on the Python index carries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from papo.errors import ConfigError, SettingError
from papo.types import Item

COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")

# Split: the package's own folder, and of its pictures those whose number modulo 4 is among these. The package has
# train and test only; a quarter of its test pictures is held out for validation, so that test stays untouched.
SPLITS = {"train": ("train", (0, 1, 2, 3)), "val": ("test", (0,)), "test": ("test", (1, 2, 3))}


class EasyVQA:
    """A split of easy-VQA: all its questions, or `size` of them spread evenly.

    Args:
        split: train (38,575 questions), val or test (together 9,673); no two share a picture.
        size: questions; null = all.
        supervised: whether to keep only questions whose picture is known in full, with that as their rationale.

    Raises:
        SettingError: an unknown split, or a size that the split does not have.
        ConfigError: the package is not installed.
    """

    def __init__(self, split: str, size: int | None = None, supervised: bool = False) -> None:
        if split not in SPLITS:
            raise SettingError("split", f"must be one of {', '.join(SPLITS)}, got {split!r}")
        name, quarters = SPLITS[split]
        self.folder = package_data() / name
        rows = json.loads((self.folder / "questions.json").read_text())
        self.facts = picture_facts(rows)
        rows = [(index, *row) for index, row in enumerate(rows) if row[2] % 4 in quarters]
        if supervised:
            rows = [row for row in rows if len(self.facts[row[3]]) == 2]
        size = len(rows) if size is None else size
        if not 0 < size <= len(rows):
            raise SettingError("size", f"must lie in 1..{len(rows)} (the questions of {split}), got {size}")
        self.rows = [rows[i * len(rows) // size] for i in range(size)]
        self.split, self.supervised = split, supervised

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        row, question, answer, picture = self.rows[index]
        with Image.open(self.folder / "images" / f"{picture}.png") as image:
            pixels = image.convert("RGB")
        return Item(
            id=f"easy_vqa-{self.split}-{row}",
            question=question,
            images=(pixels,),
            answer=answer,
            answer_type="text",
            rationale=" ".join(self.facts[picture]) if self.supervised else None,
            tags={"kind": kind(answer)},
        )


def package_data() -> Path:
    """The folder that the package easy-vqa brings.

    Raises:
        ConfigError: it is not installed.
    """
    spec = find_spec("easy_vqa")  # not imported: that would read every question of both splits
    if spec is None:
        raise ConfigError("data=easy_vqa needs the package easy-vqa: pip install easy-vqa")
    return Path(spec.origin).parent / "data"


def kind(answer: str) -> str:
    """What is asked for: yes_no, shape or colour."""
    return "shape" if answer in SHAPES else "colour" if answer in COLOURS else "yes_no"


def picture_facts(rows: Iterable[tuple[str, str, int]]) -> dict[int, list[str]]:
    """Of each picture what its questions and answers tell for certain: colour, shape, both or neither, in this order.

    >>> picture_facts([("is there not a circle?", "no", 7), ("what color is the shape?", "red", 7)])
    {7: ['red', 'circle']}
    """
    known: dict[int, set[str]] = {}
    for question, answer, picture in rows:
        facts = known.setdefault(picture, set())
        if answer == "yes" or answer == "no":
            # "Is there a ..." with yes and "is there not a ..." with no say that it is there.
            if (answer == "yes") == (not _words(question) & {"not", "no"}):
                facts |= _words(question)
        else:
            facts |= _words(question) | {answer}
    return {picture: [word for word in (*COLOURS, *SHAPES) if word in facts] for picture, facts in known.items()}


@cache
def _words(question: str) -> frozenset[str]:
    return frozenset(re.findall("[a-z]+", question))
