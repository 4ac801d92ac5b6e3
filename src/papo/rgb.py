"""Pictures of every mode in RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image

DEPTHS = (8, 12, 16)  # bits of a grey value, of which two bytes may hold fewer


def in_rgb(image: Image.Image) -> Image.Image:
    """The picture in RGB, transparency on white.

    Raises:
        ValueError: grey values whose range does not say what is white.
    """
    if image.mode.startswith("I") or image.mode == "F":  # convert() would clip their values to black and white
        return Image.fromarray(_in_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.load()
    return image.convert("RGB")


def _in_bytes(values: np.ndarray) -> np.ndarray:
    """Grey values of more than a byte, or fractions of 1, as bytes.

    Raises:
        ValueError: their range does not say what is white.
    """
    low, high = (float(value) for value in (values.min(), values.max()))
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(255 * values).astype(np.uint8)
    depth = next((depth for depth in DEPTHS if high < 2**depth), None)
    if not low >= 0 or depth is None or (values.dtype.kind == "f" and depth > 8):  # not >=: NaN
        raise ValueError(f"grey values from {low:g} to {high:g}")
    return np.round(values).astype(np.uint8) if depth == 8 else (values >> (depth - 8)).astype(np.uint8)
