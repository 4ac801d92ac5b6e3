"""Exchanged colours: another order of the channels, the same all over a picture."""

from itertools import permutations

import torch

from papo.corruption import ChannelPermutation

SEEDS = [1, 2, 3, 4]


def order_of(before, after) -> tuple[int, ...]:
    """Which channel of `before` each channel of `after` is."""
    (found,) = (p for p in permutations(range(3)) if torch.allclose(before[list(p)], after, rtol=0, atol=1e-5))
    return found


def test_channels_are_permuted_in_pixel_values(images):
    """Not in normalised values, of which each channel has a mean and deviation of its own."""
    view = ChannelPermutation()(images, SEEDS)
    for image in range(4):
        assert order_of(images.pixels(image), view.pixels(image)) != (0, 1, 2)


def test_every_order_but_the_identity_comes_equally_often(make_images):
    images = make_images([(2, 2)], (1,))
    corruption = ChannelPermutation()
    found = [order_of(images.pixels(), corruption(images, [seed]).pixels()) for seed in range(500)]
    shares = [found.count(order) / 500 for order in permutations(range(3))]
    assert shares[0] == 0
    assert max(abs(share - 1 / 5) for share in shares[1:]) < 0.09  # five standard deviations
