"""Figures of what is hard to see in numbers: images with words beside them, and tokens coloured by a quantity.

Figures are made without pyplot: nothing is registered globally, so nothing is shown twice or kept alive.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

DPI = 110  # sharp at the width of a page; a notebook keeps every figure as PNG
FONT_SIZE = 8  # points
CHAR_WIDTH = 0.602 * FONT_SIZE / 72  # inches; every glyph of DejaVu Sans Mono is 0.602 em wide
ROW_HEIGHT = 0.24  # inches, of a row of tokens
CHARS_PER_INCH = 16  # of FONT_SIZE in the proportional face, for wrapping; wide words may run over by a letter
DARK = 0.5  # luminance in [0, 1] below which a cell's text is white
JPEG_QUALITY = 85  # of photographs; no difference shows beside the original at the size of a page


def image_grid(
    pictures: Sequence[Sequence[Image.Image | Tensor]],
    captions: Sequence[Sequence[str]] | None = None,
    *,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    size: float = 1.6,
) -> Figure:
    """Pictures in rows; rows may differ in length.

    Args:
        pictures: PIL images, or tensors [3, height, width] in [0, 1] such as `Images.pixels()` gives.
        captions: words below each picture, wrapped to its width line by line; shaped as `pictures`.
        row_titles: one per row, at its left.
        column_titles: one per column, above the first row.
        size: side of a picture, inches.
    """
    columns = max(map(len, pictures))
    chars = int(size * CHARS_PER_INCH)
    texts = [[_wrapped(text, chars) for text in row] for row in captions or ()]
    lines = sum(max(text.count("\n") + 1 for text in row) for row in texts)
    height = len(pictures) * (size + 0.25) + lines * 1.25 * FONT_SIZE / 72 + 0.25 * bool(column_titles)
    width = columns * (size + 0.15) + 0.3 * bool(row_titles)
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(h_pad=0.07)  # inches; the layout's last step may be a pixel or two off
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for r, row in enumerate(pictures):
        for c, axes in enumerate(grid[r]):
            axes.set(xticks=[], yticks=[])
            if c >= len(row):
                axes.set_axis_off()
                continue
            axes.imshow(_array(row[c]), interpolation="nearest")
            if texts:
                axes.set_xlabel(texts[r][c], loc="left", fontsize=FONT_SIZE, parse_math=False)
            if column_titles and r == 0:
                axes.set_title(column_titles[c], fontsize=FONT_SIZE + 1)
        if row_titles:
            grid[r, 0].set_ylabel(row_titles[r], fontsize=FONT_SIZE + 1)
    return figure


def token_heat(
    tokens: Sequence[Sequence[str]], values: Sequence[Sequence[float]], *, row_labels: Sequence[str], label: str
) -> Figure:
    """Each response as a row of cells, one per token, coloured by a non-negative quantity of the token.

    Args:
        tokens: the tokens of each response as text; a token of nothing but white space is drawn as "_".
        values: one per token, in the unit that `label` names; shaped as `tokens`.
        row_labels: one per response, at its left.
        label: of the colour bar, whose scale is linear from 0 to the largest value.

    Raises:
        ValueError: rows of `tokens` and `values` that differ in length.
    """
    cells = [[" ".join(text.split()) or "_" for text in row] for row in tokens]
    starts = [np.cumsum([0, *(len(text) + 1 for text in row)]) for row in cells]  # characters from the left
    chars, rows = max(start[-1] for start in starts), len(cells)
    left, bar, above = (max(map(len, row_labels)) + 2) * CHAR_WIDTH, 0.13, 0.1  # inches
    width, height = chars * CHAR_WIDTH, rows * ROW_HEIGHT
    total_width, total_height = left + width + 0.15 + bar + 0.6, height + 2 * above

    figure = Figure(figsize=(total_width, total_height), dpi=DPI)
    bottom, share = above / total_height, height / total_height
    axes = figure.add_axes((left / total_width, bottom, width / total_width, share))
    axes.set(xlim=(0, chars), ylim=(rows, 0))
    axes.set_axis_off()
    font = {"fontsize": FONT_SIZE, "family": "monospace", "va": "center", "parse_math": False}
    colours = ScalarMappable(Normalize(0, max(max(row) for row in values)), colormaps["OrRd"])
    for r, (texts, start, of_row, name) in enumerate(zip(cells, starts, values, row_labels, strict=True)):
        axes.text(-1, r + 0.5, name, ha="right", **font)
        for text, x, following, value in zip(texts, start[:-1], start[1:], of_row, strict=True):
            rgba = colours.to_rgba(value)
            ink = "white" if np.dot(rgba[:3], (0.299, 0.587, 0.114)) < DARK else "black"
            axes.add_patch(Rectangle((x, r + 0.06), following - x, 0.88, facecolor=rgba, edgecolor="0.85", lw=0.5))
            axes.text((x + following) / 2, r + 0.52, text, ha="center", color=ink, **font)
    beside = figure.add_axes(((left + width + 0.15) / total_width, bottom, bar / total_width, share))
    figure.colorbar(colours, cax=beside).set_label(label, fontsize=FONT_SIZE)
    beside.tick_params(labelsize=FONT_SIZE)
    return figure


def encoded(picture: Image.Image | Tensor, *, max_side: int) -> bytes:
    """A picture for a page that carries many: PNG or JPEG, whichever is smaller.

    A drawing stays exact as PNG; a photograph is several times smaller as JPEG.

    Args:
        picture: a PIL image, or a tensor [3, height, width] in [0, 1] such as `Images.pixels()` gives.
        max_side: width and height are reduced to it where larger, pixels.
    """
    if isinstance(picture, Tensor):
        picture = Image.fromarray(picture.mul(255).round().byte().permute(1, 2, 0).numpy())
    picture = picture.convert("RGB")
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    files = []
    for settings in ({"format": "PNG", "optimize": True}, {"format": "JPEG", "quality": JPEG_QUALITY}):
        file = BytesIO()
        picture.save(file, **settings)
        files.append(file.getvalue())
    return min(files, key=len)


def _array(picture: Image.Image | Tensor) -> np.ndarray:
    """As matplotlib takes it: [height, width, 3]."""
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    return picture.permute(1, 2, 0).numpy()


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())
