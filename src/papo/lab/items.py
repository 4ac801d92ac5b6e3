"""The lab as an endless, reproducible supply of items in three splits that share no picture."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from PIL import Image

from papo.errors import SettingError
from papo.lab.charts import draw_chart, make_chart
from papo.lab.counting import draw_counting, make_counting
from papo.lab.geometry import draw_geometry, make_geometry
from papo.lab.prior import Draw, evenly, favourite, leaning
from papo.lab.questions import Draft, give_away, multiple_choice
from papo.types import Item

SPLITS = {"train": range(8), "val": range(8, 9), "test": range(9, 10)}  # tenths of all pictures
CHOICE_SHARE = 0.25
LOW_DEPENDENCY_SHARE = 0.1


class Family(NamedTuple):
    """A kind of picture: how a scene and a question are thought up, and how a scene is drawn."""

    make: Callable[[random.Random, Draw], Draft]
    draw: Callable[[dict[str, Any]], Image.Image]


@dataclass(frozen=True)
class Redrawn:
    """Item.counterfactual: another picture of the split that the same words could be asked about, all as likely."""

    redraw: Callable[[random.Random], dict[str, Any]]
    draw: Callable[[dict[str, Any]], Image.Image]
    split: str

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        rng = random.Random(seed)
        while split_of(scene := self.redraw(rng)) != self.split:  # the item's own picture is of the split: this ends
            pass
        return (self.draw(scene),)


@dataclass(frozen=True)
class Same:
    """Item.counterfactual where the words say what the picture shows: no other picture fits them."""

    scene: dict[str, Any]
    draw: Callable[[dict[str, Any]], Image.Image]

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        return (self.draw(self.scene),)


_CHARTS, _COUNTING = Family(make_chart, draw_chart), Family(make_counting, draw_counting)
_GEOMETRY = Family(make_geometry, draw_geometry)
_FAMILIES = (_CHARTS, _CHARTS, _COUNTING, _GEOMETRY)  # equally likely: half of all items are charts


def split_of(scene: dict[str, Any]) -> str:
    """The one split that a picture belongs to, whatever is asked about it.

    A function of the scene alone: not of the seed, the share, or the question, so a picture that was trained on
    never returns in a test with another question.
    """
    canonical = json.dumps(scene, sort_keys=True, separators=(",", ":"))
    tenth = int.from_bytes(blake2b(canonical.encode(), digest_size=8).digest(), "big") % 10
    return next(split for split, tenths in SPLITS.items() if tenth in tenths)


def lab_item(seed: int, split: str, index: int, *, guessable_share: float = 0.0, prior_strength: float = 0.0) -> Item:
    """Item `index` of a split: a pure function of its arguments, the same in every process and on every machine.

    With probability `guessable_share` all that the picture shows is what the words suggest (`favourite`), so that one
    who guesses is right; otherwise every value is as likely as any other, or leans towards the favourites as
    `prior_strength` says. Keep both at 0 for what is to measure reading. Raises SettingError for an unknown split, a
    share or a strength outside [0, 1].
    """
    check(split, guessable_share, prior_strength)
    rng = random.Random(f"{seed}/{split}/{index}/{guessable_share:g}/{prior_strength:g}")
    guessable = guessable_share > 0 and rng.random() < guessable_share
    values = favourite if guessable else leaning(rng, prior_strength) if prior_strength else evenly(rng)
    family = rng.choice(_FAMILIES)
    draft = family.make(rng, values)
    while split_of(draft.scene) != split:
        draft = family.make(rng, values)

    low = rng.random() < LOW_DEPENDENCY_SHARE
    question, answer_type, choices = give_away(draft) if low else draft.question, draft.answer_type, ()
    is_choice = rng.random() < CHOICE_SHARE
    if is_choice:
        # The answer is the option's text, as in MathVista. Graders take its letter too, but looking up the letter of an
        # option is a skill that four small layers do not learn here (chance after 3,000 steps), nor the lab's topic.
        options, choices = multiple_choice(rng, draft)
        question, answer_type = question + options, "choice"
    return Item(
        id=f"lab-{split}-{seed}-{index}"
        + (f"-guessable{guessable_share:g}" if guessable_share else "")
        + (f"-prior{prior_strength:g}" if prior_strength else ""),
        question=question,
        images=(family.draw(draft.scene),),
        answer=draft.answer,
        answer_type=answer_type,
        choices=choices,
        rationale=draft.rationale,
        tags={
            "family": draft.family,
            "task": draft.task,
            "vision_dependency": "low" if low else "high",
            "format": "choice" if is_choice else "free",
            "guessable": "yes" if guessable else "no",
        },
        scene=draft.scene,
        guess=None if low else draft.guess,
        counterfactual=Same(draft.scene, family.draw) if low else Redrawn(draft.redraw, family.draw, split),
    )


def check(split: str, guessable_share: float, prior_strength: float) -> None:
    if split not in SPLITS:
        raise SettingError("split", f"must be one of {', '.join(SPLITS)}, got {split!r}")
    for name, share in (("guessable_share", guessable_share), ("prior_strength", prior_strength)):
        if not 0 <= share <= 1:
            raise SettingError(name, f"must lie in [0, 1], got {share}")


class LabDataset:
    """Items `start` to `start + size - 1` of a split, drawn when asked for.

    Raises:
        SettingError: an unknown split, a share outside [0, 1], or no items.
    """

    def __init__(
        self,
        split: str,
        size: int,
        seed: int = 0,
        guessable_share: float = 0.0,
        prior_strength: float = 0.0,
        start: int = 0,
    ) -> None:
        check(split, guessable_share, prior_strength)
        if size < 1:
            raise SettingError("size", f"must be at least 1, got {size}")
        self.split = split
        self.size = size
        self.seed = seed
        self.shares = {"guessable_share": guessable_share, "prior_strength": prior_strength}
        self.start = start

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        """Raises IndexError outside [0, size), so that iteration ends."""
        if not 0 <= index < self.size:
            raise IndexError(f"index must lie in [0, {self.size}), got {index}; give LabDataset a larger size")
        return lab_item(self.seed, self.split, self.start + index, **self.shares)
