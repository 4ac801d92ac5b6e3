"""Every file of conf/corruption builds what makes a view of what the model reads."""

import inspect
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class, instantiate
from PIL import ImageOps

from papo.corruption import Maker

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(path.stem for path in (CONF / "corruption").glob("*.yaml"))
WHOLE = "whole_image"  # whose share is always all
# Patches that each has changed of the fixture's pictures (of 64, 72, 16, 32 and 16) at a share of a quarter; elsewhere
# it is that share of them.
CHANGED = {
    WHOLE: [64, 72, 16, 32, 16],
    "box_exchange": [0, 0, 4, 0, 4],  # two pictures are of one size, and of two by two tokens
    "channel_permutation": [64, 72, 16, 32, 16],
    "counterfactual": [64, 72, 16, 32, 16],
    "counterfactual_or_shuffled": [64, 72, 16, 32, 16],
    "grid_exchange": [64, 48, 16, 32, 16],  # of 3 x 6 tokens a row is left over
    "mirror": [64, 72, 16, 32, 16],
    "random_patch_by_chance": [19, 17, 4, 8, 8],  # of these seeds
    "swap": [0, 0, 16, 0, 16],
}


def settings(file, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"corruption={file}", *overrides]).corruption


@pytest.mark.parametrize("file", FILES)
def test_it_is_built_attached_and_called(file, policy, processor, items):
    maker = instantiate(settings(file, "mask_ratio=0.25"))
    assert isinstance(maker, Maker)
    maker.attach(policy)
    maker.process_with(lambda items: processor.prompts(items).images)
    prompts = processor.prompts([replace(item, counterfactual=partial(inverted, item)) for item in items])
    images = maker.of(prompts, [1, 2, 3, 4, 5])
    assert torch.equal(images.grid, prompts.images.grid)
    changed = (images.pixel_values != prompts.images.pixel_values).any(-1).split(prompts.images.patches())
    assert [int(patches.sum()) for patches in changed] == CHANGED.get(file, [16, 18, 4, 8, 4])


def inverted(item, seed):
    return tuple(ImageOps.invert(picture) for picture in item.images)


@pytest.mark.parametrize("file", [file for file in FILES if file != WHOLE])
def test_every_setting_can_be_overridden(file):
    """What is not in the file would be refused by name."""
    cfg = settings(file)
    assert set(cfg) - {"_target_"} == set(inspect.signature(get_class(cfg._target_)).parameters)


def test_the_whole_image_is_black(policy, prompts):
    images = instantiate(settings(WHOLE, "mask_ratio=0.25"))(prompts.images, [1, 2, 3, 4, 5])
    assert all(float(images.pixels(image).max()) < 1e-6 for image in range(len(images.grid)))


def test_layers_from_the_command_line(policy, prompts):
    corruption = instantiate(settings("saliency", "corruption.layers=[1]"))
    corruption.attach(policy)
    assert corruption.look.layers == [1]
