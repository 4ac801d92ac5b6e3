"""What a report says of how it came about."""

from types import SimpleNamespace

import pytest

from papo.corruption import RandomPatchMask, Swap
from papo.evaluation.run import made


@pytest.mark.parametrize(
    ("corruption", "said"),
    [
        (RandomPatchMask(0.25), "RandomPatchMask, mask ratio 0.25"),
        (RandomPatchMask(1.0), "RandomPatchMask, mask ratio 1"),
        (Swap(), "Swap"),
    ],
)
def test_the_corruption_is_named_as_it_was(corruption, said):
    """Not by mask_ratio of the configuration, which a corruption need not follow."""
    examination = SimpleNamespace(views={"image": None, "masked": corruption})
    assert made(examination, "0123456789abcdef") == [("commit", "0123456789ab"), ("corruption", said)]
    assert made(SimpleNamespace(views={"image": None}), None) == []
