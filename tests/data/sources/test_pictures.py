"""Pictures from bytes that nobody vouches for."""

import base64
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from papo.data.sources.pictures import OtherPictures, read_header, read_picture

MANY = 10_000_000


def saved(image: Image.Image, format: str, **settings) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def claims(width: int, height: int) -> bytes:
    """A PNG of 100 bytes whose header announces any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(30))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_bytes_dicts_and_paths_are_one(format, tmp_path):
    data = saved(NOISE, format, **({"lossless": True} if format == "WEBP" else {}))
    (tmp_path / "picture").write_bytes(data)
    for encoded in (data, {"bytes": data, "path": "nowhere"}, {"bytes": None, "path": "picture"}, "picture"):
        image = read_picture(encoded, [tmp_path / "empty", tmp_path], MANY)
        assert (image.mode, image.tobytes()) == ("RGB", NOISE.tobytes())
        assert read_header(encoded, [tmp_path / "empty", tmp_path], MANY) == (30, 20)


@pytest.fixture
def folder(tmp_path):
    """A data folder, and a picture beside it that is nobody's business."""
    NOISE.save(tmp_path / "private.png")
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    NOISE.save(folder / "pictures" / "a.png")
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    (folder / "up").symlink_to(tmp_path)
    (folder / "inner.png").symlink_to(folder / "pictures" / "a.png")
    (tmp_path / "way").symlink_to(folder)
    return folder


@pytest.mark.parametrize(
    "path", ["{}/private.png", "../private.png", "pictures/../../private.png", "link.png", "up/private.png"]
)
def test_a_path_does_not_lead_out_of_the_data_unless_it_may(folder, path):
    path = path.format(folder.parent)
    for root in (folder, folder.parent / "way"):
        for read in (read_header, read_picture):
            with pytest.raises(ValueError, match="lies outside of the data's folder; allow_outside=true"):
                read(path, [root], MANY)
    assert read_header(path, [folder], MANY, outside=True) == (30, 20)
    assert OtherPictures((path,), (folder,), MANY, outside=True)(0)[0].size == (30, 20)
    with pytest.raises(ValueError, match="outside"):
        OtherPictures((path,), (folder,), MANY)(0)


def test_a_path_may_be_absolute_or_a_link_inside_the_data(folder):
    for path in (str(folder / "pictures" / "a.png"), "inner.png", "pictures/../inner.png", "./pictures/a.png"):
        assert read_header(path, [folder], MANY) == (30, 20)
        assert read_header(path, [folder.parent / "way"], MANY) == (30, 20)  # the folder may be a link itself
    with pytest.raises(ValueError, match="does not exist"):
        read_header(str(folder / "inner.png"), [], MANY)  # a hub's row names no file of this machine


def test_a_picture_may_be_text(tmp_path):
    for format in ("PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG"):
        data = saved(NOISE, format)
        text = base64.b64encode(data).decode()
        broken = "\n".join(text[i : i + 76] for i in range(0, len(text), 76))
        for encoded in (text, broken, f"data:image/png;base64,{text}", {"bytes": None, "path": text}):
            for roots in ([], [tmp_path]):
                assert read_header(encoded, roots, MANY) == (30, 20), format
        assert read_picture(text, [], MANY).tobytes() == read_picture(data, [], MANY).tobytes()


def test_a_path_may_be_a_uri_or_have_backslashes(folder):
    NOISE.save(folder / "pictures" / "a b.png")
    absolute = f"file://{folder}/pictures/a%20b.png"
    for path in (absolute, absolute.replace("//", "//localhost", 1), "file://pictures/a.png", "pictures\\a.png"):
        assert read_header(path, [folder], MANY) == (30, 20), path
    for path in (f"file://{folder.parent}/private.png", "..\\private.png", "file://../private.png", "file://link.png"):
        with pytest.raises(ValueError, match="outside"):
            read_header(path, [folder], MANY)
        assert read_header(path, [folder], MANY, outside=True) == (30, 20)


def pixels(encoded: bytes) -> list[list[int]]:
    """Those of the first row."""
    return np.asarray(read_picture(encoded, [], MANY))[0].tolist()


def test_transparency_is_white():
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    assert pixels(saved(image, "PNG")) == [[255, 0, 0], [255, 255, 255]]
    palette = Image.new("P", (1, 1))
    palette.putpalette([0, 0, 0])
    assert pixels(saved(palette, "PNG", transparency=0)) == [[255, 255, 255]]


def test_sixteen_bits_keep_their_grey():
    image = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert pixels(saved(image, "PNG")) == [[0] * 3, [128] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        (np.array([[0, 2048, 4095]], np.uint16), [0, 128, 255]),  # twelve bits in sixteen, as scanners write them
        (np.array([[0, 128, 255]], np.uint16), [0, 128, 255]),
        (np.array([[0, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 127.6, 255]], np.float32), [0, 128, 255]),
    ],
)
def test_other_grey_values_keep_their_grey(values, grey):
    format = "TIFF" if values.dtype.kind == "f" or values.dtype.itemsize > 2 else "PNG"
    assert pixels(saved(Image.fromarray(values), format)) == [[value] * 3 for value in grey]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 300]], np.float32),
        np.array([[-1, 1]], np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, 70_000]], np.int32),
        np.array([[-1, 5]], np.int32),
    ],
)
def test_grey_values_of_an_unknown_range_are_refused(values):
    with pytest.raises(ValueError, match="grey values from"):
        pixels(saved(Image.fromarray(values), "TIFF"))


def test_a_photograph_is_turned_the_right_way_up():
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    photograph = saved(NOISE, "JPEG", quality=95, exif=exif)
    turned = read_picture(photograph, [], MANY)
    assert turned.size == read_header(photograph, [], MANY) == (20, 30)
    upright = np.asarray(NOISE.rotate(-90, expand=True), int)
    assert np.abs(np.asarray(turned, int) - upright).mean() < np.abs(np.asarray(turned, int)[::-1] - upright).mean()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_of_a_turned_tiff_says_its_size(orientation):
    for compression in (None, "tiff_lzw"):
        photograph = saved(NOISE, "TIFF", tiffinfo={0x0112: orientation}, compression=compression)
        assert read_header(photograph, [], MANY) == read_picture(photograph, [], MANY).size
        assert read_header(photograph, [], MANY) == ((30, 20) if orientation < 5 else (20, 30))


@pytest.mark.parametrize("read", [read_header, read_picture])
@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (None, "picture is missing"),
        ({"bytes": None, "path": None}, "picture is missing"),
        ("", "picture is missing"),
        (7, "picture is missing"),
        (b"", "cannot be read"),
        (b"GIF89a", "cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "cannot be read"),
        ("nowhere.png", "'nowhere.png' does not exist"),
        ("a\0b.png", "does not exist"),
        ("x" * 5000, "does not exist"),
        ("iVBORw0KGgo=", "cannot be read"),
        ("data:image/png;base64,a.png", "picture is no base64"),
        ("data:", "cannot be read"),
        ("file://", "does not exist"),
        ("file:///etc/hostname", "outside of the data's folder"),
        ("https://host/a.png", "nothing is fetched; download it into the data's folder"),
        ({"bytes": None, "path": "http://host/a.png"}, "nothing is fetched"),
        (claims(100_000, 100_000), "cannot be read.*DecompressionBomb"),
        (claims(10_000, 10_000), "10000 x 10000 pixels, more than max_image_pixels=10000000"),
    ],
    ids=str,
)
def test_what_is_no_picture_is_told_why(read, encoded, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        read(encoded, [tmp_path], MANY)


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening one for reading would wait for ever
    with pytest.raises(ValueError, match="does not exist"):
        read_header("pipe", [tmp_path], MANY)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF"])
def test_half_a_file_has_a_header_but_no_pixels(format):
    data = saved(NOISE, format)
    data = data[: len(data) * 9 // 10]
    assert read_header(data, [], MANY) == (30, 20)
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_picture(data, [], MANY)


def test_the_bound_is_inclusive():
    assert read_header(saved(NOISE, "PNG"), [], 600) == (30, 20)
    with pytest.raises(ValueError, match="30 x 20 pixels, more than max_image_pixels=599"):
        read_header(saved(NOISE, "PNG"), [], 599)
