"""The soft overlong punishment by hand."""

import pytest

from papo.rewards.length import overlong_penalty


@pytest.mark.parametrize(
    ("length", "max_tokens", "buffer", "penalty"),
    [
        (0, 100, 20, 0.0),
        (80, 100, 20, 0.0),  # up to the buffer
        (81, 100, 20, -0.05),
        (90, 100, 20, -0.5),
        (99, 100, 20, -0.95),
        (100, 100, 20, -1.0),
        (140, 100, 20, -1.0),  # never more
        (1, 100, 100, -0.01),  # a buffer as long as the response
        (0, 100, 100, 0.0),
        (100, 100, 1, -1.0),
        (99, 100, 1, 0.0),
        (100, 100, 0, 0.0),  # no buffer, no penalty
        (140, 100, 0, 0.0),
    ],
)
def test_by_hand(length, max_tokens, buffer, penalty):
    assert overlong_penalty(length, max_tokens, buffer) == pytest.approx(penalty, abs=1e-12)


def test_it_never_falls_back():
    penalties = [overlong_penalty(length, 64, 16) for length in range(80)]
    assert penalties == sorted(penalties, reverse=True)
    assert penalties.count(0.0) == 49
    assert min(penalties) == -1.0
