from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw

from papo.figures import encoded, image_grid, token_heat

TOKENS = [["<think>", " red", " =", " 4", "\n", "$x$"], ["iiii", "WWWWWWWW"]]
NATS = [[0.0, 0.5, 0.1, 3.0, 0.2, 1.0], [2.0, 4.0]]


@pytest.fixture(name="heat")
def drawn_heat():
    figure = token_heat(TOKENS, NATS, row_labels=["reward 1", "reward 0"], label="k3, nats")
    FigureCanvasAgg(figure).draw()
    return figure


def cells(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def words(figure):
    """The texts of the cells; the row labels lie left of them."""
    return [text for text in figure.axes[0].texts if text.get_position()[0] >= 0]


def test_images_and_tensors_keep_their_place_and_their_pixels(picture):
    image = picture(8, 4)  # wider than high: a transposed axis shows
    tensor = torch.rand(3, 4, 8)
    grey = image.convert("L")
    figure = image_grid([[image, tensor], [grey]], column_titles=["a", "b"], row_titles=["first", "second"])
    drawn = [axes.images[0].get_array() if axes.images else None for axes in figure.axes]
    assert np.array_equal(drawn[0], np.asarray(image))
    assert np.allclose(drawn[1], tensor.permute(1, 2, 0))
    assert np.array_equal(drawn[2], np.stack([np.asarray(grey)] * 3, axis=-1))  # grey, not a colour map
    assert drawn[3] is None
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["first", "second"]


def test_captions_stay_below_their_own_picture(picture):
    caption = "By how much do the yellow and the red lines differ in length?\nanswer: 1"
    figure = image_grid([[picture(8, 8)] * 2] * 2, [[caption] * 2] * 2)
    FigureCanvasAgg(figure).draw()
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    pictures = [axes.get_window_extent() for axes in figure.axes]
    assert figure.axes[0].get_xlabel().split() == caption.split()  # nothing is cut off
    assert figure.axes[0].get_xlabel().endswith("\nanswer: 1")
    assert pictures[0].width / figure.dpi == pytest.approx(1.6, abs=0.1)  # and takes no room from the picture
    assert boxes[0].x1 < pictures[1].x0
    assert boxes[0].y0 > pictures[2].y1
    assert boxes[3].y0 >= 0


def test_one_cell_per_token_in_reading_order(heat):
    assert [text.get_text() for text in words(heat)] == ["<think>", "red", "=", "4", "_", "$x$", "iiii", "WWWWWWWW"]
    assert not any(text.get_parse_math() for text in words(heat))  # a dollar sign is a dollar sign
    extents = [cell.get_window_extent() for cell in cells(heat)]
    assert len(extents) == 8
    for row in (extents[:6], extents[6:]):
        assert all(left.x1 == pytest.approx(right.x0) for left, right in pairwise(row))
    assert extents[6].y1 < extents[0].y0
    assert extents[6].x0 == pytest.approx(extents[0].x0)


def test_every_token_fits_its_cell(heat):
    for cell, text in zip(cells(heat), words(heat), strict=True):
        inner, outer = text.get_window_extent(), cell.get_window_extent()
        assert outer.x0 + 2 < inner.x0  # pixels: words do not touch
        assert inner.x1 + 2 < outer.x1
        assert outer.y0 <= inner.y0
        assert inner.y1 <= outer.y1


def test_colour_is_linear_from_zero_to_the_largest_value_of_all_rows(heat):
    colours = [cell.get_facecolor() for cell in cells(heat)]
    assert colours == pytest.approx(np.array([colormaps["OrRd"](v / 4) for row in NATS for v in row]), abs=1 / 255)
    bar = heat.axes[1]
    assert bar.get_ylim() == (0, 4)
    assert bar.get_ylabel() == "k3, nats"


def test_text_stands_out_from_its_cell(heat):
    for cell, text in zip(cells(heat), words(heat), strict=True):
        inks = np.array([to_rgba(text.get_color())[:3], cell.get_facecolor()[:3]])
        assert abs(np.diff(inks @ (0.299, 0.587, 0.114))) > 0.45


def test_rows_are_named(heat):
    names = [text for text in heat.axes[0].texts if text.get_position()[0] < 0]
    assert [text.get_text() for text in names] == ["reward 1", "reward 0"]
    assert all(text.get_window_extent().x0 > 0 for text in names)


def test_nothing_but_zeros_is_drawn_too():
    figure = token_heat([["a"]], [[0.0]], row_labels=["r"], label="nats")
    assert cells(figure)[0].get_facecolor() == colormaps["OrRd"](0)


def test_a_value_must_belong_to_each_token():
    with pytest.raises(ValueError, match="shorter"):
        token_heat([["a", "b"]], [[1.0]], row_labels=["r"], label="nats")


@pytest.fixture
def drawing() -> Image.Image:
    image = Image.new("RGB", (120, 60), "white")
    ImageDraw.Draw(image).rectangle((10, 10, 60, 50), fill="red")
    return image


def test_a_drawing_is_encoded_exactly(drawing):
    tensor = torch.from_numpy(np.asarray(drawing) / 255).permute(2, 0, 1)
    for picture in (drawing, tensor, drawing.convert("P")):
        file = encoded(picture, max_side=120)
        assert file.startswith(b"\x89PNG")
        assert np.array_equal(np.asarray(Image.open(BytesIO(file))), np.asarray(drawing))
    assert drawing.size == (120, 60)


def test_a_photograph_is_encoded_as_the_smaller_kind():
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    file = encoded(Image.fromarray(noise), max_side=80)
    assert file.startswith(b"\xff\xd8\xff")
    assert len(file) < noise.size / 2


@pytest.mark.parametrize(("max_side", "size"), [(1000, (120, 60)), (120, (120, 60)), (30, (30, 15))])
def test_large_pictures_are_reduced_and_keep_their_shape(drawing, max_side, size):
    assert Image.open(BytesIO(encoded(drawing, max_side=max_side))).size == size
    assert drawing.size == (120, 60)
