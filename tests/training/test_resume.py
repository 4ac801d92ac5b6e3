"""A checkpoint is accepted only where training can go on from it."""

import pytest
import torch
from torch import nn

from papo.errors import ConfigError
from papo.training.resume import steps_behind


def make_module(width: int = 3, total_steps: int = 10) -> nn.Module:
    module = nn.Linear(2, width)
    module.total_steps = total_steps
    return module


@pytest.fixture
def checkpoint(tmp_path):
    def write(content) -> str:
        torch.save(content, tmp_path / "some.ckpt")
        return str(tmp_path / "some.ckpt")

    return write


def test_the_steps_that_lie_behind(checkpoint):
    path = checkpoint({"state_dict": make_module().state_dict(), "step": 9, "optimizer_states": []})
    assert steps_behind(path, make_module()) == 9


def test_nothing_left_to_do(checkpoint):
    path = checkpoint({"state_dict": make_module().state_dict(), "step": 10})
    with pytest.raises(ConfigError, match=r"ckpt_path=.*10 steps behind it.*trainer\.max_steps above 10"):
        steps_behind(path, make_module(total_steps=10))
    assert steps_behind(path, make_module(total_steps=11)) == 10


@pytest.mark.parametrize("path", ["nowhere.ckpt", "."])
def test_no_such_file(path):
    with pytest.raises(ConfigError, match=r"ckpt_path=.* does not exist.*checkpoints/last\.ckpt"):
        steps_behind(path, make_module())


def test_another_model(checkpoint):
    path = checkpoint({"state_dict": make_module(width=4).state_dict(), "step": 1})
    with pytest.raises(ConfigError, match=r"model\.path: 2 tensors differ, e\.g\. bias is \[4\].* and \[3\] in the"):
        steps_behind(path, make_module(width=3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("bias"), r"bias is absent in the checkpoint and \[3\] in the model"),
        (lambda state: state.update(extra=torch.zeros(5)), r"extra is \[5\] in the checkpoint and absent in the model"),
    ],
    ids=["missing", "extra"],
)
def test_a_tensor_more_or_less(checkpoint, change, words):
    state = make_module().state_dict()
    change(state)
    with pytest.raises(ConfigError, match=f"1 tensors differ.*{words}"):
        steps_behind(checkpoint({"state_dict": state, "step": 1}), make_module())


@pytest.mark.parametrize("content", [{"step": 1}, {"state_dict": {}}], ids=["no weights", "no step"])
def test_a_checkpoint_of_something_else(checkpoint, content):
    with pytest.raises(ConfigError, match="is no checkpoint of this package"):
        steps_behind(checkpoint(content), make_module())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"# Notes", b"\x80\x02"], ids=["empty", "zip", "text", "cut"])
def test_a_file_of_something_else(tmp_path, content):
    (tmp_path / "some.ckpt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"ckpt_path=.*some\.ckpt is no checkpoint"):
        steps_behind(str(tmp_path / "some.ckpt"), make_module())


def test_a_checkpoint_is_data_not_code(tmp_path):
    """Unpickling must not run what a stranger put into the file."""

    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"state_dict": Attack(), "step": 1}, tmp_path / "some.ckpt")
    with pytest.raises(ConfigError, match="is no checkpoint"):
        steps_behind(str(tmp_path / "some.ckpt"), make_module())
    assert not (tmp_path / "pwned").exists()
