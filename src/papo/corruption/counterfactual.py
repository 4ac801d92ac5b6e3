"""The data's own other picture for the same words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from papo.corruption.maker import Maker
from papo.errors import ConfigError, SettingError
from papo.types import Images, Item, PromptBatch


class Counterfactual(Maker):
    """Shows what the same words could be asked about as well: I_mask ~ p(I | q), independent of I where the data is
    the lab's, which draws the scene anew, or easy-VQA, which has others with the same question; the one other picture
    of the row where it is a table's.

    Given the words the two pictures are exchangeable: nothing but what they show tells which one is meant. Made where
    the data is loaded, for it draws or decodes and processes a picture.

    Args:
        otherwise: what makes the view of prompts whose data has no other picture, from the pictures alone, one for each
            prompt; None refuses such data.

    Raises:
        SettingError: it is another one for each response, or depends on the policy, which is not there where data is
            loaded.
    """

    early = True

    def __init__(self, otherwise: Maker | None = None) -> None:
        if otherwise is not None and otherwise.per != "prompt":
            raise SettingError("otherwise.per", f"must be prompt, got {otherwise.per!r}")
        if otherwise is not None and type(otherwise).attach is not Maker.attach:
            raise SettingError(
                "otherwise", f"must make a view of the pictures alone, which {type(otherwise).__name__} does not"
            )
        self.otherwise = otherwise
        self.alone = otherwise is None or otherwise.alone
        self.process: Callable[[Sequence[Item]], Images] | None = None  # set by `process_with`

    def process_with(self, process: Callable[[Sequence[Item]], Images]) -> None:
        self.process = process
        if self.otherwise is not None:
            self.otherwise.process_with(process)

    def check(self, item: Item) -> None:
        if self.otherwise is None:
            check_other(item)

    def bound(self, prompts: PromptBatch, key: str) -> str | None:
        """Where no item has another picture, and what makes the view instead is bound to change nothing."""
        if self.otherwise is None or any(item.images and item.counterfactual for item in prompts.items):
            return None
        return self.otherwise.bound(prompts, f"{key}.otherwise")

    def of(self, prompts: PromptBatch, seeds: Sequence[int]) -> Images:
        """Items without a picture have no other one.

        Raises:
            ConfigError: an item has a picture and no other, or its other one takes another number of visual tokens.
        """
        if self.process is None:
            raise RuntimeError("Counterfactual processes pictures as a policy does: call process_with(...) first")
        lacking = [n for n, item in enumerate(prompts.items) if item.images and item.counterfactual is None]
        if lacking and self.otherwise is not None:
            return self.mixed(prompts, seeds, lacking)
        images = self.process([redrawn(item, seed) for item, seed in zip(prompts.items, seeds, strict=True)])
        images = images.to(prompts.images.pixel_values.device)
        if images.counts == prompts.images.counts and torch.equal(images.grid, prompts.images.grid):
            return images
        for n, item in enumerate(prompts.items):
            shown, other = (view.select([n]).grid for view in (prompts.images, images))
            if not torch.equal(shown, other):
                raise ConfigError(
                    f"corruption=counterfactual: the other picture of item {item.id} must take as many visual tokens "
                    f"as its own, in rows and columns of patches {sizes(shown)}, got {sizes(other)}"
                )
        raise AssertionError("grids differ in no item")

    def mixed(self, prompts: PromptBatch, seeds: Sequence[int], lacking: Sequence[int]) -> Images:
        """As `of`, for prompts of which the `lacking` have no other picture."""
        N, rest = len(prompts), [n for n in range(len(prompts)) if n not in lacking]
        parts = [self.otherwise.of(prompts.select(lacking), [seeds[n] for n in lacking])]
        if rest:
            parts.append(self.of(prompts.select(rest), [seeds[n] for n in rest]))
        place = {n: position for position, n in enumerate((*lacking, *rest))}
        return Images.concat(parts).select([place[n] for n in range(N)])


def redrawn(item: Item, seed: int) -> Item:
    """The item about its other pictures.

    Raises:
        ConfigError: it has none.
    """
    check_other(item)
    return replace(item, images=tuple(item.counterfactual(seed))) if item.images else item


def check_other(item: Item) -> None:
    """Raises ConfigError: the item has a picture and no other one."""
    if item.images and item.counterfactual is None:
        raise ConfigError(
            "corruption=counterfactual needs data with a second picture for the same words (data=lab, easy_vqa, or a "
            f"table with a column counterfactual_image), and item {item.id} has none; corruption=patch_shuffle needs "
            "none"
        )


def sizes(grid: torch.Tensor) -> str:
    return ", ".join(f"{rows} x {columns}" for _, rows, columns, *_ in grid.tolist()) or "none"
