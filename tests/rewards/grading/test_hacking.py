"""Generated golds of every shape, rewritten, and answers that are given whatever the question is."""

import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "experiments" / "reward_hacking"


@pytest.fixture(scope="module")
def hacking():
    """The experiment's script; what it calls itself is no name for the other tests."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("run"), importlib.import_module("golds")
    sys.path.remove(str(FOLDER))
    del sys.modules["run"], sys.modules["golds"]


@pytest.mark.parametrize("seed", [0, 1])
def test_rewrites_keep_their_verdict(hacking, seed):
    run, golds = hacking
    missed, same, through, different = run.rewritten(list(golds.golds(20 * len(golds.SHAPES), seed)))
    assert min(same, different) > 2000
    assert missed == []
    assert through == []


@pytest.mark.parametrize("rule", ["math", "exact", "chartqa_strict", "mathvista", "mmmu_pro", "logicvista"])
def test_no_constant_answer_is_paid_for(hacking, rule):
    """All that are written by hand and as many others; a gold of each shape, four times."""
    run, golds = hacking
    tried = list(dict.fromkeys(run.constants(2 * len(run.EQUATIONS))))
    assert set(run.EQUATIONS) <= set(tried)
    found, count, examples = run.search(rule, list(golds.golds(4 * len(golds.SHAPES))), tried)
    assert count > 20
    # Two values of x that ±1 or a list in another writing names are right.
    assert examples == [] or max(found.values()) <= 1, examples


def test_a_grader_that_pays_is_found(hacking, monkeypatch):
    run, golds = hacking
    answers = list(golds.golds(len(golds.SHAPES)))
    paying = run.grade(next(run.items("math", answers))[1], f"\\boxed{{{answers[0].text}}}")
    assert paying.correct
    monkeypatch.setattr(run, "grade", lambda item, response: paying)
    found, count, _ = run.search("math", answers, ["0"])
    assert found == Counter({"0": count - sum(run.equal("0", gold) for gold in answers)})
    _, _, through, different = run.rewritten(answers)
    assert len(through) == different


@pytest.mark.parametrize(
    ("rule", "paid"),
    [
        ("math", set()),
        ("exact", set()),
        ("mmmu_pro", set()),
        ("logicvista", set()),
        ("chartqa_strict", {"large number", "decimal"}),  # within its tolerance
        ("chartqa", {"year", "count", "whole number", "large number", "decimal", "percentage"}),
        (
            "mathvista",
            {"year", "count", "whole number", "large number", "decimal", "option"},
        ),  # whose answers are rounded
    ],
)
def test_which_neighbours_are_paid_for(hacking, rule, paid):
    run, _ = hacking
    found = run.neighbours(rule, 30)
    assert len(found) >= 6
    assert {name.partition(",")[0] for share, name, _ in found if share} == paid
    for share, name, _ in found:
        if rule == "chartqa_strict" and share:
            assert re.search("1 % more|half a step more|the last digit off by", name)
