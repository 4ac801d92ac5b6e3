"""The order of the training items: a function of the seed and the step."""

from itertools import islice
from types import SimpleNamespace

import pytest

from papo.data.module import PromptData, StepSampler
from papo.errors import ConfigError


def batches(count, *, size=10, batch_size=4, seed=0, start_step=0) -> list[list[int]]:
    return list(islice(StepSampler(size, batch_size, seed, start_step), count))


def flat(batches) -> list[int]:
    return [index for batch in batches for index in batch]


def test_every_pass_is_a_permutation_of_its_own():
    order = flat(batches(15))
    passes = [order[i : i + 10] for i in range(0, 60, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 6
    assert passes[0] != list(range(10))


def test_batches_are_full_and_straddle_passes():
    assert {len(batch) for batch in batches(15)} == {4}
    third = batches(3)[2]  # positions 8 to 11 of passes of 10
    assert third[:2] == flat(batches(1, batch_size=10))[8:]
    assert third[2:] == flat(batches(2, batch_size=10))[10:12]


def test_the_order_does_not_depend_on_the_batch_size():
    assert flat(batches(15)) == flat(batches(12, batch_size=5)) == flat(batches(6, batch_size=10))


@pytest.mark.parametrize("start_step", [1, 2, 3, 7, 11])
def test_a_later_start_skips_what_came_before(start_step):
    assert batches(4, start_step=start_step) == batches(start_step + 4)[start_step:]


def test_a_batch_may_be_a_whole_pass():
    assert [sorted(batch) for batch in batches(2, batch_size=10)] == [list(range(10))] * 2


def test_the_order_follows_the_seed():
    assert batches(5, seed=1) == batches(5, seed=1) != batches(5, seed=2)


def make_data(**settings) -> PromptData:
    defaults = {"collate": tuple, "val_collate": list, "batch_size": 4, "val_batch_size": 2, "num_workers": 0}
    return PromptData(list("abcdefghij"), list("vwxyz"), **defaults | {"seed": 3} | settings)


def test_training_batches_go_on_where_the_checkpoint_left_off():
    data = make_data()
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(step=2))
    got = list(islice(data.train_dataloader(), 3))
    expected = [tuple("abcdefghij"[i] for i in batch) for batch in batches(3, seed=3, start_step=2)]
    assert got == expected


def test_held_out_items_come_once_and_in_order():
    assert list(make_data().val_dataloader()) == [["v", "w"], ["x", "y"], ["z"]]


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_batch_is_at_most_the_data(batch_size):
    with pytest.raises(ConfigError, match=rf"data\.batch_size must lie in 1\.\.10 .*got {batch_size}"):
        make_data(batch_size=batch_size)
    assert make_data(batch_size=10).batch_size == 10
