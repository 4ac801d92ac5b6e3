"""What makes another view of a prompt's pictures, whichever way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from papo.types import Images, Item, PromptBatch


class Maker:
    """Makes a view: other pictures for the same words, from one seed a prompt.

    What needs no more than the pictures says `__call__`, what needs the items or the rest of the batch says `of`.

    Attributes:
        per: "prompt": the G responses of a prompt share one view; "response": each has its own, at G times the vision
            tower and prompt passes of the branch that looks at it.
        early: whether the view is made where the data is loaded, in its processes, from a seed of the run and the item:
            for makers that draw or decode pictures and need neither a policy nor the rest of the batch.
        alone: whether a prompt's view is made of it alone, and is the same in every batch.
    """

    per = "prompt"
    early = False
    alone = True

    def attach(self, policy: Any) -> None:
        """Shows the maker the policy that it is for, before its first view; most have no use for it.

        Nothing here knows what a policy is: a maker that wants to look with one is handed what can.

        Raises:
            ConfigError: the maker cannot work with this policy.
        """

    def process_with(self, process: Callable[[Sequence[Item]], Images]) -> None:
        """Hands the maker what turns the pictures of items into what the policy reads; most have no use for it."""

    def check(self, item: Item) -> None:
        """Looks, without drawing or decoding, whether a view can be made of the item; most can of any.

        Raises:
            ConfigError: the item has no such view.
        """

    def bound(self, prompts: PromptBatch, key: str) -> str | None:
        """Why a view of these prompts is bound to be their very pictures, all of them, as far as that is known from
        their grids, and what mends it; None where it can differ.

        Args:
            key: of the maker in the configuration.
        """
        return None

    def of(self, prompts: PromptBatch, seeds: Sequence[int]) -> Images:
        """The view of the prompts' pictures, of the same grid, without gradient; the prompts stay as they are.

        Args:
            seeds: one per prompt; the view of a prompt is made from its own seed.

        Raises:
            ConfigError: the data has no such view.
        """
        return self(prompts.images, seeds)

    def __call__(self, images: Images, seeds: Sequence[int]) -> Images:
        """As `of`, from the pictures alone."""
        raise NotImplementedError(f"{type(self).__name__} needs more than pictures: ask it for a view `of` prompts")
