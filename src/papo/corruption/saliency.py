"""The patches that a vision tower attends to most, painted over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.random import Generator
from torch import Tensor

from papo.arguments import Text
from papo.corruption.base import Corruption, Picture, first, one_of
from papo.corruption.patches import FILLS, filled
from papo.errors import SettingError
from papo.types import Images

# For each image, [L] on the CPU: the attention that each of its patches receives.
Look = Callable[[Images], list[Tensor]]


class SaliencyMask(Corruption):
    """Paints over the floor(p * units) units of each image that receive most attention in a vision tower.

    The semantic masking of arXiv 2507.06448 (section on masking strategies), which looks with layers 6-9 of DINOv2: in
    layers of the middle, heads averaged, the attention that each patch receives from all of them. Here the policy's own
    tower looks, with its current weights, so that nothing else has to be loaded. No randomness: seeds choose nothing.
    Patches whose attention is equal to the last digit may change places from one device or batch to another.

    Args:
        mask_ratio, unit: see Corruption; a token receives what its patches receive.
        looking: makes what looks, from the policy that is attached, `layers` and `path`; see papo.policy.saliency.
        fill: see `filled`.
        layers: of the tower, counted from 0; None for the layers of full attention in the middle half of its depth.
        path: another model that looks instead, as in model.path, its weights fixed; None for the policy.
    """

    def __init__(
        self,
        mask_ratio: float,
        looking: Callable[[Any, Sequence[int] | None, str | None], Look],
        fill: str = "black",
        unit: str = "patch",
        layers: Sequence[int] | None = None,
        path: Text | None = None,
    ) -> None:
        super().__init__(mask_ratio, "exact", unit)
        if layers is not None and len(layers) == 0:
            raise SettingError("layers", "must name at least one layer, or be null, got []")
        self.looking = looking
        self.fill = one_of("fill", fill, FILLS)
        self.layers = layers
        self.path = path
        self.look: Look | None = None  # set by `attach`

    def attach(self, policy: Any) -> None:
        """Looks with this policy from now on, or with the model of `path`.

        Raises:
            ConfigError: nothing loadable at `path`, or a tower without the layers that are asked for.
        """
        self.look = self.looking(policy, self.layers, self.path)

    def choose(self, images: Images, seeds: Sequence[int]) -> list[Tensor]:
        if self.look is None:
            raise RuntimeError("SaliencyMask looks with a policy's vision tower: call attach(policy) first")
        looked = zip(self.look(images), self.units_of(images), strict=True)
        received = [patches[units].sum(-1) for patches, units in looked]
        return [first(units.argsort(descending=True, stable=True), self.mask_ratio) for units in received]

    def replacement(self, picture: Picture, mask: Tensor, generator: Generator) -> Tensor:
        return filled(self.fill, picture, generator)
