"""What `python -m papo.study` is told, and what it makes of it."""

import numpy as np
import pytest
from study.fake_runs import write_run

from papo.errors import ConfigError
from papo.study.__main__ import asked_for, main


def test_only_can_be_repeated():
    found = asked_for(["arm=a,b", "seed=0", "arm=c", "x=p=q"])
    assert found == {"arm": ["a", "b", "c"], "seed": ["0"], "x": ["p=q"]}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--reach", "0.5", "60"), r"^--reach takes accuracies in \[0, 1\], got 60; 60 % is 0\.6$"),
        (("--reach", "-0.1"), r"^--reach takes accuracies in \[0, 1\], got -0\.1$"),
        (("--reach", "nan"), r"^--reach takes accuracies in \[0, 1\], got nan$"),
        (("--detect", "-3"), r"^--detect takes percentage points above 0 and up to 100, got -3$"),
        (("--detect", "0"), "got 0$"),
        (("--detect", "nan"), "got nan$"),
        (("--detect", "inf"), "got inf$"),
    ],
)
@pytest.mark.parametrize("command", [("run", "nowhere"), ("nowhere", "--baseline", "grpo", "--out", "out")])
def test_what_has_no_answer_is_refused_before_anything_is_done(command, asked, message):
    with pytest.raises(ConfigError, match=message):
        main([*command, *asked])


@pytest.mark.parametrize("measure", ["greedy", "accuracy"])
def test_an_accuracy_that_was_not_measured_is_never_reached(measure, tmp_path):
    """Another measure is there alone, or items that cannot be graded."""
    values = {(40, "held_out", measure): np.full(2, np.nan if measure == "accuracy" else 0.5)}
    for name in ("grpo", "papo"):
        write_run(tmp_path / "runs" / name, name, items=["a", "b"], values=values)
    command = [str(tmp_path / "runs"), "--baseline", "grpo", "--out", str(tmp_path / "out"), "--reach", "0.3"]
    assert main(command) == 0
    assert "steps_to_0.3,\n" in (tmp_path / "out" / "study.csv").read_text()
