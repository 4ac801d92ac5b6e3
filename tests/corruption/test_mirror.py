"""The picture in a mirror."""

import pytest
import torch

from papo.corruption import Mirror
from papo.errors import SettingError

SEEDS = [1, 2, 3, 4]


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_pixels_are_flipped(images, direction, axis):
    view = Mirror(direction)(images, SEEDS)
    for image in range(4):
        torch.testing.assert_close(view.pixels(image), images.pixels(image).flip(axis), rtol=0, atol=1e-6)


def test_twice_is_the_picture(images):
    mirror = Mirror()
    assert torch.equal(mirror(mirror(images, SEEDS), SEEDS).pixel_values, images.pixel_values)


def test_an_impossible_direction_names_its_override():
    with pytest.raises(SettingError, match=r"^direction must be horizontal or vertical, got 'left'"):
        Mirror("left")
