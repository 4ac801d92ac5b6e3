"""Pictures out of untrusted bytes: header first, then pixels; what is wrong with one is a ValueError with a reason."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

# What data sets hold. Pillow knows many more; some run other programs (EPS), none is worth the risk here.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


class Unread(NamedTuple):
    """A picture of which only the header was read: enough to count its tokens."""

    width: int  # pixels
    height: int


@dataclass(frozen=True)
class OtherPictures:
    """What a row has besides its own pictures, decoded when it is asked for; the same for every seed."""

    encoded: tuple[Any, ...]
    roots: tuple[Path, ...]
    max_pixels: int

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        return tuple(read_picture(each, self.roots, self.max_pixels) for each in self.encoded)


def read_header(encoded: Any, roots: Sequence[Path], max_pixels: int) -> Unread:
    """Width and height, without decoding a pixel.

    Args:
        encoded: bytes, {"bytes": ..., "path": ...} as `datasets` stores a picture, or a path relative to one of
            `roots`.
        roots: where relative paths start, the first that has the file; none for a hub, whose rows hold the bytes.
        max_pixels: a header that announces more is refused: a few kilobytes can unfold to gigabytes.

    Raises:
        ValueError: no such file, no picture, or one that is too large.
    """
    with _opened(encoded, roots, max_pixels) as image:
        size = image.size
        return Unread(*(size[::-1] if _on_its_side(image) else size))


def read_picture(encoded: Any, roots: Sequence[Path], max_pixels: int) -> Image.Image:
    """The picture in RGB, the right way up, transparency on white. Arguments and errors as in `read_header`."""
    with _opened(encoded, roots, max_pixels) as image:
        try:
            return _in_rgb(ImageOps.exif_transpose(image))
        except Exception as error:  # decoders of broken files raise anything at all; it is the file's fault
            raise ValueError(f"picture cannot be decoded ({_reason(error)})") from error


def _on_its_side(image: Image.Image) -> bool:
    """Whether `exif_transpose` exchanges width and height; a broken tag turns nothing here, decoding will say so."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:
        return False


def _opened(encoded: Any, roots: Sequence[Path], max_pixels: int) -> Image.Image:
    source = _source(encoded, roots)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is below
            image = Image.open(source, formats=FORMATS)
    except Exception as error:
        raise ValueError(f"picture cannot be read ({_reason(error)})") from error
    if image.width * image.height > max_pixels:
        image.close()
        raise ValueError(f"picture of {image.width} x {image.height} pixels, more than max_image_pixels={max_pixels}")
    return image


def _source(encoded: Any, roots: Sequence[Path]) -> io.BytesIO | Path:
    """The bytes of a picture, or its file."""
    path = encoded
    if isinstance(encoded, Mapping):
        path = encoded.get("path") if encoded.get("bytes") is None else encoded["bytes"]
    if isinstance(path, bytes):
        return io.BytesIO(path)
    if not isinstance(path, str) or not path:
        raise ValueError("picture is missing")
    for root in roots:
        with contextlib.suppress(ValueError, OSError):  # a name that no file can have
            if (root / path).is_file():  # no device or pipe, which may never end
                return root / path
    raise ValueError(f"picture file {path!r:.200} does not exist")


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # convert() would clip all but the darkest 1/256 of its values to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.load()
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, Image.UnidentifiedImageError) else f"{error!r:.200}"
