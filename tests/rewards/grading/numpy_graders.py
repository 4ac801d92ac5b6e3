"""Graders that say true and false as NumPy does."""

import numpy as np


def close(item, response):
    return np.isclose(float(response), float(item.answer))


def each(item, response):
    return np.array([True])
