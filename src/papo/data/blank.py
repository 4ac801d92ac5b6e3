"""Pictures with nothing on them: what training gains without seeing."""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from papo.data.order import Endless
from papo.types import Item


class Blanked:
    """Items whose pictures are black."""

    def __init__(self, items: Endless) -> None:
        self.items = items

    def __getitem__(self, position: int) -> Item:
        return blank(self.items[position])


def blank(item: Item) -> Item:
    """The item with all its pictures black, and so are the others that the same words could be asked about."""
    pictures = tuple(Image.new("RGB", image.size) for image in item.images)
    return replace(item, images=pictures, counterfactual=None if item.counterfactual is None else Black(pictures))


class Black:
    """Item.counterfactual of an item without a picture to see."""

    def __init__(self, pictures: tuple[Image.Image, ...]) -> None:
        self.pictures = pictures

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        return self.pictures
