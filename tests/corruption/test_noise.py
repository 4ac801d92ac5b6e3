"""Gaussian noise: as strong as said, in pixel values, clipped to what a pixel can be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from papo.corruption import GaussianNoise
from papo.errors import SettingError
from papo.layouts import to_pixels
from papo.seeding import derive_seed, generator


def grey(images, value):
    """The same images in one grey: each channel's value after normalisation."""
    mean, std = (torch.tensor(values) for values in (images.layout.image_mean, images.layout.image_std))
    channels = (value - mean) / std
    if images.pixel_values.ndim == 4:
        pixel_values = channels[:, None, None].expand_as(images.pixel_values)
    else:
        pixel_values = channels.repeat_interleave(images.pixel_values.shape[1] // 3).expand_as(images.pixel_values)
    return replace(images, pixel_values=pixel_values.clone())


@pytest.mark.parametrize("std", [0.02, 0.1])
def test_the_noise_has_the_standard_deviation(images, std):
    """In pixel values; grey, so that nothing is clipped (five standard deviations from either end)."""
    noisy = GaussianNoise(1.0, std)(grey(images, 0.5), [1, 2, 3, 4])
    values = torch.cat([(noisy.pixels(image) - 0.5).flatten() for image in range(4)])
    n = len(values)  # 112,896
    assert values.std().item() == pytest.approx(std, rel=5 / (2 * n) ** 0.5)
    assert abs(values.mean().item()) < 5 * std / n**0.5
    neighbours = torch.corrcoef(torch.stack([values[:-1], values[1:]]))[0, 1]
    assert abs(neighbours.item()) < 5 / n**0.5  # each value by itself


def test_the_noise_is_drawn_from_the_prompts_seed(images):
    """To the number: another sign or order changes every published run."""
    noisy, image = GaussianNoise(1.0, 0.1)(images, [1, 2, 3, 4]), 0
    for count, seed in zip(images.counts, [1, 2, 3, 4], strict=True):
        draw = generator(derive_seed("replacement", seed))
        for _ in range(count):
            patches = torch.from_numpy(draw.standard_normal((48, 3, 14, 14), dtype=np.float32))
            noise = to_pixels(patches, 6, 8, images.layout.merge_size)
            expected = (images.pixels(image) + 0.1 * noise).clamp(0, 1)
            torch.testing.assert_close(noisy.pixels(image), expected, rtol=0, atol=1e-5)
            image += 1


def test_channels_are_normalised_each_by_its_own_std(make_images):
    images = grey(make_images([(40, 40)], (1,)), 0.5)
    noisy = GaussianNoise(1.0, 0.05)(images, [0]).pixel_values - images.pixel_values
    per_channel = noisy.view(-1, 3, 4).transpose(0, 1).flatten(1).std(-1)  # 6,400 values each
    torch.testing.assert_close(per_channel, 0.05 / torch.tensor([0.2, 0.25, 0.3]), rtol=5 / 12800**0.5, atol=0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_clipped_to_what_a_pixel_can_be(images, value):
    noisy = GaussianNoise(1.0, 0.5)(grey(images, value), [1, 2, 3, 4])
    mean, std = (torch.tensor(values) for values in (images.layout.image_mean, images.layout.image_std))
    assert noisy.pixel_values.min() >= ((0 - mean) / std).min() - 1e-6
    assert noisy.pixel_values.max() <= ((1 - mean) / std).max() + 1e-6
    unmoved = torch.cat([(noisy.pixels(image) - value).abs().flatten() for image in range(4)]) < 1e-6
    assert unmoved.float().mean().item() == pytest.approx(0.5, abs=0.01)  # half of the noise points outwards


@pytest.mark.parametrize("std", [0, -0.1, float("inf"), float("nan")])
def test_an_impossible_std_names_its_override(std):
    with pytest.raises(SettingError, match=rf"^std must be positive and finite, got {std}"):
        GaussianNoise(0.5, std)
