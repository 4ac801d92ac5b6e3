"""What a disk does to a run: damaged, cut off, full."""

import errno
import resource
import shutil
import zipfile

import pytest
import torch

from papo.errors import ConfigError
from papo.files import lacks_room
from papo.training.resume import damage, usable

# Those of four_steps, but for pictures, which change nothing.
SETTINGS = ["experiment=papo_qwen", "seed=3", "algorithm.schedule=constant"]


@pytest.fixture(scope="module")
def undamaged(train):
    """A run whose last checkpoint is of step 4 and whose one before is of step 2."""
    return train(*SETTINGS, "trainer.max_steps=4", "trainer.checkpoint_every=2")


@pytest.fixture
def two_checkpoints(undamaged, tmp_path, Run):
    """A copy of it, to be damaged."""
    return Run(shutil.copytree(undamaged.path, tmp_path / "run"))


def last_of(run):
    return run.path / "checkpoints" / "last.ckpt"


def flip_a_bit(path):
    """In the midst of the largest part, where weights or the optimizer's memory lie."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2] ^= 4
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def kill_between_moves(path):
    """What was the last one is the one before now, and what was written next has not taken its place."""
    path.rename(part_of(path))


def kill_while_it_writes(path):
    """The last checkpoint is where it was, and half of the next one beside it."""
    part_of(path).write_bytes(path.read_bytes())
    cut(part_of(path))
    path.write_bytes(path.with_name("previous.ckpt").read_bytes())


def part_of(path):
    return path.with_name(f"{path.name}.part")


HARMS = [flip_a_bit, cut, lambda path: path.unlink(), kill_between_moves, kill_while_it_writes]


@pytest.mark.parametrize("harm", HARMS, ids=["bit", "cut", "gone", "between", "writing"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(two_checkpoints, train, four_steps, harm, capsys):
    run, last = two_checkpoints, last_of(two_checkpoints)
    steps = [torch.load(last.with_name(name), weights_only=True)["step"] for name in ("last.ckpt", "previous.ckpt")]
    assert steps == [4, 2]
    (run.path / "metrics.json").unlink()  # as if it had been killed
    harm(last)
    again = train(*SETTINGS, "trainer.max_steps=4", f"ckpt_path={last}", path=run.path)
    assert again.weights == four_steps.weights
    assert again.rollouts == four_steps.rollouts  # steps 3 and 4 once
    assert torch.load(last, weights_only=True)["step"] == 4
    assert torch.load(last.with_name("previous.ckpt"), weights_only=True)["step"] == 2  # not the damaged one
    assert not part_of(last).exists()


def test_what_is_used_instead_is_said(two_checkpoints, capsys):
    last = last_of(two_checkpoints)
    assert usable(str(last)) == str(last)
    assert capsys.readouterr().out == ""
    flip_a_bit(last)
    assert usable(str(last)) == str(last.with_name("previous.ckpt"))
    said = capsys.readouterr().out
    assert said.startswith(f"ckpt_path={last} is damaged: ")
    assert said.endswith(f"; going on from {last.with_name('previous.ckpt')}, the one before it\n")


def test_where_both_are_damaged_nothing_is_tried(two_checkpoints):
    last = last_of(two_checkpoints)
    for path in (last, last.with_name("previous.ckpt")):
        cut(path)
    with pytest.raises(ConfigError, match=r"last\.ckpt is no whole checkpoint: it was cut off"):
        usable(str(last))


def test_another_file_than_the_last_has_none_before_it(two_checkpoints):
    copy = last_of(two_checkpoints).with_name("mine.ckpt")
    copy.write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"mine\.ckpt is no whole checkpoint"):
        usable(str(copy))
    assert damage(last_of(two_checkpoints)) is None


def test_steps_that_come_again_are_shown_once(two_checkpoints, train):
    """TensorBoard has them in the files of both processes."""
    run = two_checkpoints
    (run.path / "metrics.json").unlink()
    previous = last_of(run).with_name("previous.ckpt")
    again = train(*SETTINGS, "trainer.max_steps=4", f"ckpt_path={previous}", path=run.path)
    assert [event.step for event in again.events.Scalars("loss/total")] == [1, 2, 3, 4]


def test_a_full_disk_ends_the_run_with_one_message(two_checkpoints, command, tiny):
    """A limit on the size of files stands for it, between that of what a run writes at each step and a checkpoint's."""
    run, last = two_checkpoints, last_of(two_checkpoints)
    before, limits = last.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    overrides = ["trainer.max_steps=6", "trainer.checkpoint_every=1", f"ckpt_path={last}"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        finished = command("train.py", *tiny, *SETTINGS, *overrides, f"hydra.run.dir={run.path}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert finished.status == 1
    message = finished.messages[-1]
    assert message.startswith(f"error: {run.path} has no room left (")
    assert message.endswith(f"ckpt_path={last} goes on from what was saved last")
    assert last.read_bytes() == before
    assert [path.name for path in last.parent.glob("*.part")] == []


@pytest.mark.parametrize(
    ("error", "room"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_what_tells_a_full_disk(error, room):
    assert lacks_room(error) is room
