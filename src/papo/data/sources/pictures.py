"""Pictures out of untrusted bytes: header first, then pixels; what is wrong with one is a ValueError with a reason."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from PIL import ExifTags, Image, ImageOps

from papo.rgb import in_rgb

# What data sets hold. Pillow knows many more; some run other programs (EPS), none is worth the risk here.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
LONGEST_PATH = 4096  # characters; a longer text is base64
# How files of these formats begin, by which base64 is told from a name.
BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")


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
    outside: bool = False

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        return tuple(read_picture(each, self.roots, self.max_pixels, self.outside) for each in self.encoded)


def read_header(encoded: Any, roots: Sequence[Path], max_pixels: int, outside: bool = False) -> Unread:
    """Width and height, without decoding a pixel.

    Args:
        encoded: bytes, {"bytes": ..., "path": ...} as `datasets` stores a picture, base64 text, a data: URI, or a path
            or file:// URI relative to one of `roots`.
        roots: where relative paths start, the first that has the file; none for a hub, whose rows hold the bytes.
        max_pixels: a header that announces more is refused: a few kilobytes can unfold to gigabytes.
        outside: whether a path may lead out of all `roots`: data of others could show any file of this machine in a
            report otherwise.

    Raises:
        ValueError: no such file, one outside, no picture, or one that is too large.
    """
    with _opened(encoded, roots, max_pixels, outside) as image:
        size = image.size
        return Unread(*(size[::-1] if _on_its_side(image) else size))


def file_of(encoded: Any) -> str:
    """The name of the file that a row says its picture lies in; "" where the row itself holds the picture."""
    path = encoded
    if isinstance(encoded, Mapping):
        path = encoded.get("path") if encoded.get("bytes") is None else None
    named = isinstance(path, str) and len(path) <= LONGEST_PATH and not path.startswith("data:")
    return path if named and _in_base64(path) is None else ""


def name_of(encoded: Any, roots: Sequence[Path], max_pixels: int, outside: bool = False) -> str:
    """What tells a picture from others without decoding it: its file, else a digest of its bytes. As `read_header`."""
    source = _source(encoded, roots, outside)
    return str(source.resolve()) if isinstance(source, Path) else blake2b(source.getvalue(), digest_size=16).hexdigest()


def read_picture(encoded: Any, roots: Sequence[Path], max_pixels: int, outside: bool = False) -> Image.Image:
    """The picture in RGB, the right way up, transparency on white. Arguments and errors as in `read_header`."""
    with _opened(encoded, roots, max_pixels, outside) as image:
        try:
            return in_rgb(ImageOps.exif_transpose(image))
        except Exception as error:  # decoders of broken files raise anything at all; it is the file's fault
            raise ValueError(f"picture cannot be decoded ({_reason(error)})") from error


def _on_its_side(image: Image.Image) -> bool:
    """Whether `exif_transpose` exchanges width and height; a broken tag turns nothing here, decoding will say so.

    A TIFF's size is that of the turned picture from the start: Pillow turns it itself.
    """
    if image.format == "TIFF":
        return False
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:
        return False


def _opened(encoded: Any, roots: Sequence[Path], max_pixels: int, outside: bool) -> Image.Image:
    source = _source(encoded, roots, outside)
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


def _source(encoded: Any, roots: Sequence[Path], outside: bool) -> io.BytesIO | Path:
    """The bytes of a picture, or its file."""
    path = encoded
    if isinstance(encoded, Mapping):
        path = encoded.get("path") if encoded.get("bytes") is None else encoded["bytes"]
    if isinstance(path, bytes):
        return io.BytesIO(path)
    if not isinstance(path, str) or not path:
        raise ValueError("picture is missing")
    if path.startswith(("http://", "https://")):
        raise ValueError(
            f"picture {path!r:.200} lies on the network, and nothing is fetched; download it into the data's folder, "
            "with wget -i for a list, and name the file in the row"
        )
    if path.startswith("data:"):
        return io.BytesIO(_decoded(path.partition(",")[2]))
    if path.startswith("file://"):
        path = unquote(path.removeprefix("file://").removeprefix("localhost"))
    found = _file(path, roots, outside) or _file(path.replace("\\", "/"), roots, outside)
    if found is not None:
        return found
    data = _in_base64(path)
    if data is not None:
        return io.BytesIO(data)
    raise ValueError(f"picture file {path!r:.200} does not exist")


def _in_base64(text: str) -> bytes | None:
    """The bytes of a picture in base64; None of a text that is something else, such as a name."""
    with contextlib.suppress(ValueError):
        data = _decoded(text)
        return data if data.startswith(BEGINNINGS) else None
    return None


def _decoded(text: str) -> bytes:
    """The bytes of base64 text, with or without line breaks."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("picture is no base64") from error


def _file(path: str, roots: Sequence[Path], outside: bool) -> Path | None:
    """The file of that name under the first root that has it; None where none does.

    Raises:
        ValueError: it lies outside of all roots and may not.
    """
    inside = [root.resolve() for root in roots]
    for root in roots:
        with contextlib.suppress(OSError):  # a name that no file can have
            if not _is_file(root / path):
                continue
            # Links are followed: where the file lies counts, not where the row says that it does.
            if outside or any((root / path).resolve().is_relative_to(folder) for folder in inside):
                return root / path
            raise ValueError(
                f"picture file {path!r:.200} lies outside of the data's folder; allow_outside=true lets it in"
            )
    return None


def _is_file(path: Path) -> bool:
    """Whether it is one, and no device or pipe, which may never end."""
    try:
        return path.is_file()
    except ValueError:  # a name that no file can have
        return False


def _reason(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, Image.UnidentifiedImageError) else f"{error!r:.200}"
