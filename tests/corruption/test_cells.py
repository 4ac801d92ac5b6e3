"""One cell painted over: which pixels, in what colour, and that nothing else changes."""

import pytest
import torch

from papo.corruption import CellMask
from papo.corruption.cells import Cells


def test_cells_are_squares_of_patches_counted_row_by_row():
    cells = Cells(rows=2, columns=6, side=2)
    assert (cells.per_row, cells.count) == (3, 3)
    assert Cells(2, 6, 1).of_patches(1).tolist() == list(range(12))
    # Two by two patches of a visual token are neighbours: 0 1 6 7 come first.
    assert Cells(2, 6, 1).of_patches(2).tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert cells.of_patches(2).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize(("most", "side", "count"), [(1, 12, 1), (4, 3, 8), (5, 3, 8), (12, 1, 72), (99, 1, 72)])
def test_the_longer_side_has_so_many_cells_at_most(make_images, most, side, count):
    (cells,) = CellMask(most).cells_of(make_images([(6, 12)], (1,)))
    assert (cells.side, cells.count) == (side, count)


def test_a_cell_is_painted_in_the_mean_colour_and_nothing_else_changes(prompts):
    """By rectangles of pixels: prompt 1 has a picture of 6 x 12 patches, prompt 3 two of 4 x 4 and 8 x 4."""
    wide, pair = prompts.images.select([1]), prompts.images.select([3])
    for images, number, picture, top, left in [
        (wide, 0, 0, 0, 0),
        (wide, 5, 0, 4, 8),  # the last of two rows of three squares of 4 x 4, the lower ones half as high
        (pair, 3, 0, 2, 2),
        (pair, 4, 1, 0, 0),  # the first of the second picture's
        (pair, 9, 1, 6, 3),
    ]:
        mask = CellMask(3)
        side = mask.cells_of(images)[picture].side
        painted = mask(images, [number])
        for i in range(len(images.grid)):
            before, after = images.pixels(i), painted.pixels(i)
            inside = torch.zeros(before.shape[1:], dtype=torch.bool)
            if i == picture:
                inside[14 * top : 14 * (top + side), 14 * left : 14 * (left + side)] = True
                mean = before.mean((1, 2))[:, None].expand(-1, int(inside.sum()))
                torch.testing.assert_close(after[:, inside], mean, atol=1e-5, rtol=0)
            assert torch.equal(before[:, ~inside], after[:, ~inside])


def test_every_prompt_has_a_cell_of_its_own_and_no_cell_leaves_it_alone(prompts):
    images = prompts.images.select([3, 3, 2, 3])
    painted = CellMask(2)(images, [-1, 2, 0, 0])
    changed = [(before != after).any().item() for before, after in zip(images.parts(), painted.parts(), strict=True)]
    assert changed == [False, False, True, False, True, False]
