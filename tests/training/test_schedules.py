"""Learning-rate schedules, by hand."""

import pytest

from papo.training.schedules import SCHEDULES, learning_rate_scale


def scales(schedule, steps, **settings):
    return [learning_rate_scale(schedule, step, **settings) for step in steps]


def test_constant():
    assert scales("constant", (0, 1, 50, 1000), total_steps=100, warmup_steps=0) == [1.0] * 4


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_is_linear(schedule):
    assert scales(schedule, range(4), total_steps=100, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0]


def test_after_the_warm_up():
    assert scales("constant", (4, 5, 99), total_steps=100, warmup_steps=4) == [1.0] * 3
    assert scales("cosine", (4,), total_steps=100, warmup_steps=4) == [1.0]


def test_cosine():
    """1 at first, half-way 0.02 + 0.98 / 2, at a third 0.02 + 0.98 * 3 / 4, at the end 0.02."""
    got = scales("cosine", (0, 20, 30, 40, 60), total_steps=60, warmup_steps=0)
    assert got == pytest.approx([1.0, 0.755, 0.51, 0.265, 0.02])


def test_cosine_spans_what_the_warm_up_leaves():
    got = scales("cosine", (10, 35, 60), total_steps=60, warmup_steps=10)
    assert got == pytest.approx([1.0, 0.51, 0.02])


def test_beyond_the_end_nothing_rises_again():
    assert scales("cosine", (61, 90, 120), total_steps=60, warmup_steps=0) == pytest.approx([0.02] * 3)


def test_a_run_that_is_all_warm_up():
    assert scales("cosine", (0, 1), total_steps=2, warmup_steps=4) == pytest.approx([0.25, 0.5])
