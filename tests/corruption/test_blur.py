"""Gaussian blur: of the whole picture, seen in the chosen units."""

import math
from dataclasses import replace

import pytest
import torch

from papo.corruption import GaussianBlur
from papo.corruption.blur import gaussian
from papo.errors import SettingError


def slow(line, sigma):
    """The blurred line, pixel by pixel."""
    radius, result = math.ceil(3 * sigma), []
    for i in range(len(line)):
        total = weights = 0.0
        for offset in range(-radius, radius + 1):
            weight = math.exp(-(offset**2) / (2 * sigma**2))
            total += weight * line[min(max(i + offset, 0), len(line) - 1)]
            weights += weight
        result.append(total / weights)
    return result


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5, 30.0])
def test_weights_of_a_line(sigma):
    line = torch.rand(17, generator=torch.Generator().manual_seed(0))
    expected = torch.tensor(slow(line.tolist(), sigma))
    torch.testing.assert_close(gaussian(17, sigma) @ line, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.8, 3.0])
def test_rows_and_columns_of_the_picture_are_blurred(images, sigma):
    """Across patch borders: the blurred picture, not blurred patches."""
    blurred = GaussianBlur(1.0, sigma)(images, [1, 2, 3, 4])
    for image in range(4):
        plane = images.pixels(image)[1]  # of the second channel
        plane = torch.tensor([slow(row, sigma) for row in plane.tolist()])
        plane = torch.tensor([slow(column, sigma) for column in plane.T.tolist()]).T
        torch.testing.assert_close(blurred.pixels(image)[1], plane, rtol=0, atol=1e-5)


def test_chosen_units_are_taken_from_the_blurred_picture(images, unit):
    blurred, partly = (GaussianBlur(ratio, 3.0, unit=unit)(images, [1, 2, 3, 4]) for ratio in (1.0, 0.5))
    for image in range(4):
        a, b, c = (version.pixels(image) for version in (images, blurred, partly))
        assert torch.equal(torch.where((a != c).any(0), b, a), c)


@pytest.mark.parametrize("sigma", [0.3, 3.0, 100.0])
def test_one_colour_stays(images, sigma):
    constant = replace(images, pixel_values=torch.full_like(images.pixel_values, 0.37))
    blurred = GaussianBlur(1.0, sigma)(constant, [1, 2, 3, 4])
    torch.testing.assert_close(blurred.pixel_values, constant.pixel_values, rtol=0, atol=1e-5)


def test_brightness_stays_away_from_the_edges():
    weights = gaussian(200, 4.0)
    torch.testing.assert_close(weights.sum(1), torch.ones(200))
    torch.testing.assert_close(weights.sum(0)[20:-20], torch.ones(160))
    assert (weights >= 0).all()


@pytest.mark.parametrize("sigma", [0, -1, float("inf"), float("nan")])
def test_an_impossible_sigma_names_its_override(sigma):
    with pytest.raises(SettingError, match=rf"^sigma must be positive and finite, got {sigma}"):
        GaussianBlur(0.5, sigma)
