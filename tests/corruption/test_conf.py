"""Every file of conf/corruption builds a corruption that works on what the model reads."""

import inspect
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class, instantiate

from papo.corruption import Corruption

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(path.stem for path in (CONF / "corruption").glob("*.yaml"))
WHOLE = "whole_image"  # the one that has no share


def settings(file, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"corruption={file}", *overrides]).corruption


@pytest.mark.parametrize("file", FILES)
def test_it_is_built_attached_and_called(file, policy, prompts):
    corruption = instantiate(settings(file, "mask_ratio=0.25"))
    assert isinstance(corruption, Corruption)
    assert corruption.mask_ratio == (1.0 if file == WHOLE else 0.25)
    corruption.attach(policy)
    images = corruption(prompts.images, [1, 2, 3, 4, 5])
    changed = (images.pixel_values != prompts.images.pixel_values).any(-1).split(prompts.images.patches())
    expected = prompts.images.patches() if file == WHOLE else [16, 18, 4, 8, 4]
    assert [int(patches.sum()) for patches in changed] == expected


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
