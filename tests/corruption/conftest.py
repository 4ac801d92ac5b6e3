"""The same pictures in either layout, and every corruption ready to be called."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from papo.corruption import Corruption, GaussianBlur, GaussianNoise, PatchShuffle, RandomPatchMask, SaliencyMask
from papo.policy.loading import save_policy
from papo.policy.saliency import VisionAttention, vision_attention
from papo.types import Images, PixelLayout

MAKE = {
    "black": RandomPatchMask,
    "mean": lambda ratio, **settings: RandomPatchMask(ratio, fill="mean", **settings),
    "noise": lambda ratio, **settings: RandomPatchMask(ratio, fill="noise", **settings),
    "gaussian_noise": lambda ratio, **settings: GaussianNoise(ratio, std=0.3, **settings),
    "gaussian_blur": lambda ratio, **settings: GaussianBlur(ratio, sigma=3.0, **settings),
    "patch_shuffle": PatchShuffle,
    "saliency": lambda ratio, **settings: SaliencyMask(ratio, vision_attention, **settings),
}


@pytest.fixture(params=MAKE)
def name(request) -> str:
    return request.param


@pytest.fixture(params=[name for name in MAKE if name != "saliency"])
def random_name(request) -> str:
    """Of a corruption that chooses its units at random."""
    return request.param


@pytest.fixture(params=["patch", "token"])
def unit(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def saved_model(policy, image_text_processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("saliency_model")
    save_policy(policy, image_text_processor, folder)
    return str(folder)


@pytest.fixture(scope="session")
def make(policy, processor) -> Callable[..., Corruption]:
    """A corruption by name; saliency looks with the tiny policy, whatever the layout of the images."""

    def make(name: str, ratio: float, **settings) -> Corruption:
        corruption = MAKE[name](ratio, **settings)
        if name == "saliency":
            corruption.look = VisionAttention(policy, layout=processor.layout)
        return corruption

    return make


@pytest.fixture(scope="session")
def pictures(picture) -> list:
    """Of one size, as a pixel grid needs them: 6 x 8 patches, 3 x 4 tokens."""
    return [picture(112, 84, seed) for seed in (11, 12, 13, 14)]


@pytest.fixture(scope="session")
def flattened(processor, item, pictures) -> Images:
    """Prompts with one, two, no and one picture."""
    a, b, c, d = pictures
    return processor.prompts([item("a", "?", a), item("b", "?", b, c), item("c", "?"), item("d", "?", d)]).images


@pytest.fixture(scope="session")
def pixel_grid(flattened, pictures) -> Images:
    """The same as [images, channels, height, width]."""
    mean, std = (np.array(values) for values in (flattened.layout.image_mean, flattened.layout.image_std))
    values = [((np.asarray(picture) / 255 - mean) / std).transpose(2, 0, 1) for picture in pictures]
    layout = PixelLayout(flattened.layout.image_mean, flattened.layout.image_std, patch_size=14, merge_size=2)
    pixel_values = torch.tensor(np.stack(values), dtype=torch.float32)
    return Images(pixel_values, flattened.grid, flattened.counts, layout)


@pytest.fixture(params=["flattened", "pixel_grid"])
def images(request) -> Images:
    return request.getfixturevalue(request.param)
