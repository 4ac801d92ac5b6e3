"""Endless orders of items: pure functions of seed and position."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papo.data.order import BLOCK, Mixture, Passes, StepSampler, endless, shares_of
from papo.errors import SettingError
from papo.types import Item


def first(items, count: int, start: int = 0) -> list:
    return [items[position] for position in range(start, start + count)]


def test_every_pass_is_a_permutation_of_its_own():
    order = first(Passes(range(10), seed=0), 60)
    passes = [order[i : i + 10] for i in range(0, 60, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 6
    assert passes[0] != list(range(10))


def test_the_order_is_the_one_that_earlier_versions_had():
    """Experiments' figures rest on it."""
    assert first(Passes(range(10), seed=0), 12) == [3, 7, 1, 5, 4, 9, 2, 8, 6, 0, 2, 3]


def test_a_position_needs_none_before_it():
    order = first(Passes(range(10), seed=3), 60)
    items = Passes(range(10), seed=3)
    assert [items[position] for position in (59, 0, 31, 30)] == [order[position] for position in (59, 0, 31, 30)]


def test_the_order_follows_the_seed():
    assert first(Passes(range(10), 1), 20) == first(endless(range(10), 1), 20) != first(Passes(range(10), 2), 20)


def test_batches_are_full_and_go_on_from_any_step():
    batches = list(islice(StepSampler(4, start_step=0), 6))
    assert batches == [list(range(s * 4, s * 4 + 4)) for s in range(6)]
    for step in (1, 3):
        assert list(islice(StepSampler(4, start_step=step), 6 - step)) == batches[step:]


# ------------------------------------------------------------------------------------------------------------- mixtures


class Named:
    """A source of `size` items whose ids are their numbers."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item:
        return Item(str(index), "?", (), answer="1", answer_type="integer")


def mixture(sizes: dict[str, int], weights: dict[str, float]) -> Mixture:
    return Mixture({name: Named(size) for name, size in sizes.items()}, weights)


def ids(items, count: int, start: int = 0) -> list[str]:
    return [item.id for item in first(items, count, start)]


def test_weights_hold_exactly_in_every_block():
    mixed = mixture({"a": 700, "b": 300, "c": 10}, {"a": 3, "b": 1, "c": 1}).endless(0)
    for block in range(3):
        found = Counter(id.partition("/")[0] for id in ids(mixed, BLOCK, block * BLOCK))
        assert found == {"a": 600, "b": 200, "c": 200}


def test_a_source_comes_in_passes_of_its_own():
    """Whatever else is in the mixture; a pass may straddle blocks."""
    mixed = mixture({"a": 700, "b": 300}, {"a": 0.6, "b": 0.4}).endless(5)
    of_a = [id for id in ids(mixed, 4 * BLOCK) if id.startswith("a/")]
    for start in range(0, len(of_a) - 700, 700):
        assert len(set(of_a[start : start + 700])) == 700
    assert of_a[:700] != of_a[700:1400]


def test_a_position_of_a_mixture_needs_none_before_it():
    sizes, weights = {"a": 70, "b": 30}, {"a": 1, "b": 2}
    whole = ids(mixture(sizes, weights).endless(7), 2500)
    again = mixture(sizes, weights).endless(7)
    assert [again[i].id for i in (2499, 0, 1000, 999)] == [whole[i] for i in (2499, 0, 1000, 999)]
    assert ids(mixture(sizes, weights).endless(8), 100) != whole[:100]


def test_sources_are_mixed_not_laid_behind_one_another():
    found = [id[0] for id in ids(mixture({"a": 9, "b": 9}, {"a": 1, "b": 1}).endless(0), 100)]
    assert 30 < found.count("a") < 70
    assert "aaaaaaaaaa" not in "".join(found)


def test_a_mixture_may_hold_mixtures():
    inner = mixture({"x": 5, "y": 5}, {"x": 1, "y": 1})
    mixed = Mixture({"a": Named(5), "in": inner}, {"a": 1, "in": 3})
    found = Counter(id.rpartition("/")[0] for id in ids(mixed.endless(0), BLOCK))
    assert found["a"] == 250
    assert found["in/x"] + found["in/y"] == 750


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1}, r"^weights must name a, b, got a"),
        ({"a": 1, "c": 1}, r"^weights must name a, b, got a, c"),
        ({"a": 1, "b": 0}, r"^weights.b must be positive"),
        ({"a": 1, "b": -1}, r"^weights.b must be positive"),
        ({"a": 1, "b": 1e-4}, r"^weights\.b must give at least one item in 1000, got 0\.0001"),
    ],
)
def test_weights_that_cannot_work_are_refused(weights, message):
    with pytest.raises(SettingError, match=message):
        mixture({"a": 3, "b": 3}, weights)


@settings(max_examples=50)
@given(st.integers(1, 2000), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_shares_are_whole_and_never_off_by_one(total, weights):
    shares = shares_of(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1 + 1e-6
