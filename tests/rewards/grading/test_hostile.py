"""What a policy may write: graded in bounded time and memory, never run, and nothing escapes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from papo.equivalence import equivalent
from papo.rewards.grading import Grade, grade
from papo.types import Item

from .hostile import COUNT, ITEMS, NAMES, SHAPES, TOWERS

HERE = Path(__file__).parent


def test_five_thousand_hostile_answers(tmp_path):
    """Each against every rule, in a process whose audit hook sees every file, import, compilation and command."""
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["answers"] == COUNT == 5000
    assert report["escaped"] == []
    assert report["events"] == []
    assert report["awake"]
    assert list(tmp_path.iterdir()) == []
    assert report["slowest"][0] < 0.2, report["slowest"]
    assert 0 < report["grown_mb"] < 200
    assert sum(report["verdicts"].values()) > COUNT * len(ITEMS) * 0.9
    assert set(report["verdicts"]) == {"correct", "wrong"}


PIECES = st.sampled_from(
    SHAPES + TOWERS + NAMES + ["1", "2", "x", "y", "\\frac{1}{2}", "\\sqrt{2}", "(1, 2]", "\\{1\\}"]
)
TEXT = st.one_of(
    st.lists(PIECES, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=()), max_size=60),
)
RESPONSE = st.one_of(TEXT, TEXT.map("\\boxed{{{}}}".format), TEXT.map("Answer: {}".format))
QUICK = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize(("rule", "answer", "kind", "choices", "precision"), ITEMS[:-1])
def test_hypothesis_finds_none_that_escapes(rule, answer, kind, choices, precision):
    item = Item("i", "q", (), answer=answer, answer_type=kind, rule=rule, choices=choices, precision=precision)

    @QUICK
    @given(RESPONSE)
    def search(response):
        grading = grade(item, response)
        assert isinstance(grading, Grade)
        assert grading.reason

    search()


@QUICK
@given(TEXT, TEXT)
def test_equivalence_answers_for_any_two_texts(a, b):
    """The same both ways round, and everything is equivalent to itself."""
    assert equivalent(a, b) is equivalent(b, a)
    assert equivalent(a, a)
