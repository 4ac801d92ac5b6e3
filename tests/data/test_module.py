"""Training, refill and validation batches."""

import multiprocessing
import os
import signal
import weakref
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import pytest
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from replicas import picture, plain_parquet, problems, write_lines
from torch.utils.data import get_worker_info

from papo.data.module import PromptData
from papo.data.order import Mixture, Passes, few_of
from papo.data.sources import table_source
from papo.errors import BadRow, ConfigError, SettingError
from papo.lab import LabDataset
from papo.types import Item


def items(ids: str) -> list[Item]:
    return [Item(id, "?", (), answer="1", answer_type="integer") for id in ids]


TRAIN, VAL = items("abcdefghij"), items("vwxyz")
FEW = [["v", "w"], ["z"]]  # which three of the five are drawn


def named(items) -> list[str]:
    return [item.id for item in items]


def make_data(train=TRAIN, val=VAL, **settings) -> PromptData:
    defaults = {
        "collate": named,
        "val_collate": named,
        "batch_size": 4,
        "val_batch_size": 2,
        "val_items": 3,
        "num_workers": 0,
    }
    return PromptData(train, val, **defaults | {"seed": 3} | settings)


def batches(data: PromptData, count: int, step: int = 0) -> list:
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(step=step), state=SimpleNamespace(fn=TrainerFn.VALIDATING)
    )
    return list(islice(data.train_dataloader(), count))


def test_training_batches_go_on_where_the_checkpoint_left_off():
    order = Passes("abcdefghij", 3)
    whole = batches(make_data(), 6)
    assert whole == [[order[i] for i in range(s * 4, s * 4 + 4)] for s in range(6)]
    assert batches(make_data(), 4, step=2) == whole[2:]


def held_out(data: PromptData, during: str) -> list[list]:
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn=during))
    return [list(loader) for loader in data.val_dataloader()]


def test_held_out_items_come_once_and_in_order():
    assert held_out(make_data(), "validate") == [[["v", "w"], ["x", "y"], ["z"]]]


def test_in_the_midst_of_training_few_come_and_always_the_same():
    assert held_out(make_data(), "fit") == held_out(make_data(seed=4), "fit") == [FEW]
    assert held_out(make_data(val_items=9), "fit") == [[["v", "w"], ["x", "y"], ["z"]]]


def test_one_that_is_bad_changes_none_of_the_others(tmp_path):
    """Few of what is measured on, of which another row is bad when the run goes on."""

    def few(bad):
        rows = [{"id": f"r{n}", "question": "?", "answer": "" if n in bad else n} for n in range(100)]
        path = write_lines(tmp_path / "a.jsonl", rows)
        data = make_data(val=table_source(schema="folder", path=str(path)), val_items=30, max_bad_share=0.1)
        (found,) = held_out(data, "fit")
        return {int(id[1:]) for batch in found for id in batch}

    whole = few(())
    assert whole == set(few_of(100, 30))  # those of before
    one, other = min(whole), min({*range(100)} - whole)
    assert few((other,)) == whole
    assert len(few((one,)) & whole) == 29 == len(few((one, other)) & whole)


def test_what_the_words_give_away_comes_second():
    data = make_data(guessable=items("klmn"))
    assert held_out(data, "validate") == [[["v", "w"], ["x", "y"], ["z"]], [["k", "l"], ["m", "n"]]]
    assert held_out(data, "fit") == [FEW, [["k", "m"], ["n"]]]


def test_the_few_are_of_all_kinds():
    """Of rows that ask the same four questions about each picture every fourth is the same question."""
    data = make_data(val=[replace(item, id=str(n % 4)) for n, item in enumerate(items("a" * 64))], val_items=16)
    (batches,) = held_out(data, "fit")
    assert {id for batch in batches for id in batch} == set("0123")


class Failing(list):
    """Items of which some can no longer be had."""

    gone = ""

    def __getitem__(self, index):
        item = super().__getitem__(index)
        if item.id in self.gone:
            raise BadRow(item.id, "file is gone")
        return item


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_held_out_item_that_is_gone_is_left_out_and_none_counts_twice(num_workers):
    source = Failing(VAL)
    data = make_data(val=source, num_workers=num_workers)
    source.gone = "wz"
    assert held_out(data, "validate") == [[["v"], ["x", "y"], None]]
    if not num_workers:  # a worker has a list of its own, which a run joins in a file
        assert data.skips.reasons == dict.fromkeys([("data.val", "w"), ("data.val", "z")], "file is gone")


def test_workers_need_nothing_that_can_be_sent():
    """In a process that was spawned, too, as those of a strategy and of a study are: its own default is to spawn."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    try:
        data = make_data(val_collate=lambda items: named(items), num_workers=1)
        assert held_out(data, "validate") == [[["v", "w"], ["x", "y"], ["z"]]]
    finally:
        multiprocessing.set_start_method(before, force=True)


class Refusing(list):
    """Items of which one says that a setting cannot work."""

    def __getitem__(self, index):
        if index == 5:
            raise ConfigError("data.train.path is read no further\n  than this")
        return super().__getitem__(index)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("training", [False, True])
def test_what_a_worker_says_of_settings_is_said_as_it_is(training, num_workers):
    """Not as a traceback of torch's."""
    data = make_data(num_workers=num_workers)
    (data.train if training else data.val).source = Refusing(TRAIN)
    data.val.rows = range(6)
    with pytest.raises(ConfigError) as caught:
        batches(data, 9) if training else held_out(data, "validate")
    assert str(caught.value) == "data.train.path is read no further\n  than this"


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_a_batch_is_at_most_the_data(batch_size):
    with pytest.raises(SettingError, match=rf"^batch_size must .*got {batch_size}"):
        make_data(batch_size=batch_size)
    assert make_data(batch_size=10).batch_size == 10


def test_refills_follow_step_and_number():
    data = make_data()
    refills = {(step, number): named(data.refill(step, number)) for step in range(5) for number in range(5)}
    assert all(len(set(ids)) == 4 for ids in refills.values())
    assert len(set(map(tuple, refills.values()))) > 20
    assert refills == {key: named(make_data().refill(*key)) for key in refills}
    assert data.refill(0, 0) != make_data(seed=4).refill(0, 0)


# ----------------------------------------------------------------------------------------------------- kinds of sources


@pytest.mark.parametrize("mixed", [False, True])
def test_refills_of_a_stream_come_from_all_of_it(mixed, tmp_path, monkeypatch):
    """Not from what it begins with, in every step anew, and what is read is what was asked for; the same ones where a
    run goes on, whose checkpoint says how many there were."""
    rows = [{"id": f"r{n}", "question": "?", "answer": n} for n in range(400)]
    path = write_lines(tmp_path / "a.jsonl", rows)
    stream = table_source(schema="folder", path=str(path), streaming=True, buffer_size=5)
    train = Mixture({"a": stream, "b": TRAIN}, {"a": 999, "b": 1}) if mixed else stream
    read, rows = [], type(stream).rows
    monkeypatch.setattr(type(stream), "rows", lambda of, seed: (read.append(row) or row for row in rows(of, seed)))
    data = make_data(train)
    read.clear()
    keys = [(300, 0), (301, 0), (301, 1), (305, 0), (305, 1), (305, 2)] + [(step, 0) for step in range(400, 489)]
    refills, states = [], []
    for key in keys:
        states.append(data.state_dict())
        refills.append(named(data.refill(*key)))
    assert len({id for ids in refills for id in ids}) == 380
    assert len(read) <= 390
    for number in (3, 90):
        later = make_data(train)
        later.load_state_dict(states[number])
        assert [named(later.refill(*key)) for key in keys[number:]] == refills[number:]


@pytest.fixture
def table(tmp_path):
    """A table of 20 rows, or a stream of it."""
    path = write_lines(tmp_path / "a.jsonl", [{"id": f"r{n}", "question": "?", "answer": n} for n in range(20)])
    return lambda **settings: table_source(schema="folder", path=str(path), **settings)


@pytest.fixture
def kinds(table):
    """Training data of every kind."""

    def make(kind: str):
        stream = table(streaming=True, buffer_size=5)
        parts = {"half": table(share=[0, 0.5]), "stream": stream}
        return {"table": table(), "stream": stream, "mixture": Mixture(parts, {"half": 1, "stream": 3})}[kind]

    return make


@pytest.mark.parametrize("kind", ["table", "stream", "mixture"])
def test_batches_depend_on_seed_and_step_alone(kinds, table, kind):
    def data(**settings):
        return make_data(kinds(kind), table(), collate=named, **settings)

    whole = batches(data(), 12)
    assert len({id for batch in whole for id in batch}) > 15
    assert batches(data(), 5, step=7) == whole[7:]
    assert batches(data(num_workers=2), 5, step=7) == whole[7:]
    assert batches(data(seed=4), 12) != whole
    other = data()
    refill = named(other.refill(3, 1))
    assert len(refill) == 4
    assert named(data().refill(3, 1)) == refill != named(other.refill(3, 2))


class Photographs(list):
    """Items with pictures, of which it counts how many exist at one time."""

    def __init__(self, count):
        super().__init__(range(count))
        self.made, self.most = [], 0

    @property
    def alive(self):
        return sum(reference() is not None for reference in self.made)

    def __getitem__(self, position):
        image = Image.new("RGB", (1100, 1000))
        self.made.append(weakref.ref(image))
        self.most = max(self.most, self.alive)
        return Item(str(position), "red?", (image,), "11", "integer")


def test_of_large_pictures_few_exist_at_one_time(processor, monkeypatch):
    monkeypatch.setattr("papo.policy.processing.AT_ONCE", 2 * 1100 * 1000)
    size = {"shortest_edge": 784, "longest_edge": 100 * 784}
    monkeypatch.setattr(processor.processor.image_processor, "size", size)
    items = [Photographs(12), Photographs(7)]
    data = make_data(*items, collate=processor.prompts, val_collate=processor.prompts, batch_size=6, val_batch_size=7)
    (batch,), ((held,),) = batches(data, 1), held_out(data, "validate")
    assert (len(batch), len(held), batch.images.counts) == (6, 7, (1,) * 6)
    assert [each.most for each in items] == [2, 2]  # as many as are processed together
    assert [each.alive for each in items] == [0, 0]


class Interrupting(tuple):
    """Items before each of which the worker that reads them gets a Ctrl-C and is asked to end."""

    __slots__ = ()

    def __getitem__(self, position):
        for number in (signal.SIGINT, signal.SIGTERM) if get_worker_info() is not None else ():
            os.kill(os.getpid(), number)
        return super().__getitem__(position)


def test_a_signal_to_all_processes_is_none_for_workers():
    """They prepare what the step that is to be finished needs."""
    data = make_data(Interrupting(items("abcd")), Interrupting(VAL), num_workers=1)
    assert sorted(batches(data, 1)[0]) == [*"abcd"]
    assert held_out(data, "validate") == [[["v", "w"], ["x", "y"], ["z"]]]


def test_held_out_items_cannot_stream(table):
    with pytest.raises(SettingError, match=r"^val must be one source, not streamed"):
        make_data(table(), table(streaming=True))
    with pytest.raises(SettingError, match=r"^guessable must be one source, not streamed"):
        make_data(table(), table(), guessable=table(streaming=True))


def test_a_picture_may_be_asked_for(table):
    with pytest.raises(ConfigError, match=r"data\.train: none of 20 rows .*\n  r0: no picture"):
        make_data(table(), table(), require_image=True)


def test_no_held_out_items_are_refused():
    with pytest.raises(SettingError, match=r"^val_items must be at least 1, got 0"):
        make_data(val_items=0)


def test_validation_is_screened_too(table):
    def length(item) -> int:
        return 9 if item.id == "r3" else 1

    data = make_data(table(), table(), val_collate=named, length=length, max_prompt_tokens=5, max_bad_share=0.05)
    assert [id for batch in data.val_dataloader()[0] for id in batch] == [f"r{n}" for n in range(20) if n != 3]
    assert set(data.skips.reasons) == {("data.train", "r3"), ("data.val", "r3")}
    with pytest.raises(ConfigError, match=r"more than data\.max_bad_share=0\.04 allows"):
        make_data(table(), table(), length=length, max_prompt_tokens=5, max_bad_share=0.04)


@pytest.mark.parametrize(("kind", "items"), [("table", 1), ("stream", 1), ("mixture", 2)])
def test_one_item_of_each_source_says_what_it_has(kinds, table, kind, items):
    found = named(make_data(kinds(kind), table()).firsts())
    assert len(found) == items


# ------------------------------------------------------------------------------------------------------- once per epoch


@pytest.fixture
def pictures(tmp_path):
    """A table of 12 rows with one picture each."""
    return str(plain_parquet(problems(*((f"{n}?", str(n), [picture(n)]) for n in range(12))), tmp_path))


def test_a_picture_is_decoded_and_processed_once_per_epoch(pictures, processor, monkeypatch):
    """Looked at by its header at start, decoded when its batch is made, and nothing in between; those that are held out
    are decoded at start besides."""
    counts = dict.fromkeys(("opened", "decoded", "processed"), 0)

    def counted(name, original, size=lambda *args: 1):
        def call(*args, **kwargs):
            counts[name] += size(*args)
            return original(*args, **kwargs)

        return call

    image_processor = type(processor.processor.image_processor)
    monkeypatch.setattr(Image, "open", counted("opened", Image.open))
    monkeypatch.setattr("papo.data.sources.pictures.in_rgb", counted("decoded", lambda image: image.convert("RGB")))
    preprocess = image_processor._preprocess
    monkeypatch.setattr(image_processor, "_preprocess", counted("processed", preprocess, lambda _, images: len(images)))
    source = table_source(schema="virl39k", path=pictures)
    data = make_data(source, source, collate=processor.prompts, val_collate=processor.prompts, length=processor.length)
    assert counts == {"opened": 24, "decoded": 12, "processed": 0}
    seen = [item.id for batch in batches(data, 3) for item in batch.items]
    assert len(set(seen)) == 12
    assert counts == {"opened": 36, "decoded": 24, "processed": 12}
    assert sum(map(len, data.val_dataloader()[0])) == 12
    assert counts == {"opened": 48, "decoded": 36, "processed": 24}


@pytest.mark.parametrize("blank", [True, False])
def test_training_and_refills_are_blank_and_held_out_items_are_not(blank):
    data = make_data(LabDataset("train", 12), LabDataset("val", 3), blank=blank, collate=list)

    def black(image: Image.Image) -> bool:
        return image.getextrema() == ((0, 0),) * 3

    (batch,) = batches(data, 1)
    for item in [*batch, *data.refill(0, 0), *data.first(2)]:
        assert black(item.images[0]) == blank
    assert not any(black(item.images[0]) for item in data.val)
