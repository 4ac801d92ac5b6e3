"""What a run says when it ends."""

import re

import pytest

from papo.training.ending import figures, table, warnings
from papo.training.history import History

RANGE = r"\[\d+\.\d, \d+\.\d\]"
ESTIMATE = rf"\d+\.\d {RANGE}"
ALL = ("accuracy", "greedy", "masked", "blind", "guessed", "readable", "readable_masked", "guessable")


def shares(share: float, items: int = 40) -> list[float]:
    """Items of which the share have 1."""
    return [float(n < round(share * items)) for n in range(items)]


def history(before: dict[str, float], after: dict[str, float], **between: dict[str, float]) -> History:
    found = History()
    found.add(0, {name: shares(value) for name, value in before.items()})
    for step, means in between.items():
        found.add(int(step[1:]), {name: shares(value) for name, value in means.items()})
    found.add(60, {name: shares(value) for name, value in after.items()})
    return found


@pytest.fixture
def whole() -> History:
    return history(dict.fromkeys(ALL, 0.25), dict.fromkeys(ALL, 0.75), _20={"greedy": 0.5, "guessed": 0.5})


def test_the_figures_are_those_of_before_and_after(whole):
    found = figures(whole, ended=True)
    assert found.keys() == {"before", "after"} | {f"{name}_{when}" for name in ALL[1:] for when in ("before", "after")}
    for name, figure in found.items():
        assert (figure["mean"], figure["n"]) == (0.75 if "after" in name else 0.25, 40)
        assert figure["ci95"][0] < figure["mean"] < figure["ci95"][1]


def test_what_was_not_measured_is_null():
    found = figures(history({"accuracy": 0.5}, {"accuracy": 0.5}), ended=True)
    assert {name for name, figure in found.items() if figure is not None} == {"before", "after"}
    found = figures(history({"accuracy": 0.5}, {"accuracy": 0.5}), ended=False)
    assert {name for name, figure in found.items() if figure is not None} == {"before"}


def test_the_table_has_a_row_for_each_measure(whole):
    heading, *lines = table(whole, "avg@8", ended=True).splitlines()
    assert heading.split("  ")[0] == "held-out, %"
    names = [*(f"with image, {how}" for how in ("avg@8", "greedy")), "masked, avg@8", "blind, avg@8"]
    names += ["guessed by the words", "readable", "readable, masked", "guessable items, avg@8"]
    for name, line in zip(names, lines, strict=False):
        columns = rf"25\.0 {RANGE} +75\.0 {RANGE} +\+50\.0 \[\+\S+, \+\S+\] +40"
        assert re.fullmatch(rf"{name} +{columns}", line)
    assert [line.split() for line in lines[len(names) :]] == [
        f"{name} over steps 25 (0) 50 (20) 75 (60)".split() for name in ("greedy", "guessed")
    ]
    assert max(map(len, (heading, *lines))) <= 110


def test_items_are_those_of_the_change():
    """The paired ones, where a grader of one's own could not grade the same ones twice; all, where there is none."""
    found = History()
    found.add(0, {"accuracy": [1.0, 0.0, 0.0]}, {"accuracy": ["a", "b", "c"]})
    found.add(9, {"accuracy": [1.0, 1.0]}, {"accuracy": ["b", "d"]})
    assert table(found, "avg@8", ended=True).splitlines()[1].endswith("+100.0 [-100.0, +100.0]      1")
    assert table(found, "avg@8", ended=False).splitlines()[1].endswith("      3")


def test_the_widest_figures_leave_room_between_columns():
    lines = table(history(dict.fromkeys(ALL, 1.0), dict.fromkeys(ALL, 0.0)), "avg@8", ended=True).splitlines()
    assert all(len(re.split(" {2,}", line.strip())) == 5 for line in lines)
    assert max(map(len, lines)) <= 110


def test_an_interrupted_run_has_no_after(whole):
    *lines, greedy, _ = table(whole, "avg@8", ended=False).splitlines()
    assert re.fullmatch(rf"with image, avg@8 +{ESTIMATE} +40", lines[1])
    assert greedy.endswith("75 (60)")


def test_measures_that_were_not_taken_have_no_row():
    lines = table(history({"accuracy": 0.5}, {"accuracy": 0.5}), "avg@8", ended=True).splitlines()
    assert len(lines) == 2


def test_a_long_course_is_thinned_out():
    between = {f"_{step}": {"greedy": 0.5} for step in range(1, 60)}
    line = table(history({"greedy": 0.0}, {"greedy": 1.0}, **between), "avg@8", ended=True).splitlines()[-1]
    steps = [int(step) for step in re.findall(r"\((\d+)\)", line)]
    assert (len(steps), steps[0], steps[-1]) == (7, 0, 60)
    assert len(set(steps)) == 7
    assert len(line) <= 110


def test_a_course_is_of_the_items_that_every_validation_has():
    """Nothing changes; the items in between are the better ones."""
    history, ids = History(), [str(n) for n in range(40)]
    everything = {"accuracy": [1.0] * 10 + [0.0] * 30, "greedy": [1.0] * 10 + [0.0] * 30}
    few = {name: values[:10] for name, values in everything.items()}
    history.add(0, everything, dict.fromkeys(everything, ids))
    history.add(2, few, dict.fromkeys(few, ids[:10]), during=True)
    history.add(4, everything, dict.fromkeys(everything, ids))
    *_, line = table(history, "avg@8", ended=True).splitlines()
    assert re.fullmatch(r"greedy over steps +100 \(0\)  100 \(2\)  100 \(4\) +10", line)
    assert len(line) == 100


# ---------------------------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.5, 0.9, True),
        (0.1, 0.6, True),
        (0.1, 0.45, False),  # rises, and still looks more often than not
        (0.9, 0.9, False),
        (0.55, 0.6, False),  # within its interval
        (0.9, 0.6, False),
    ],
)
def test_a_run_that_learnt_to_guess_says_so(before, after, said):
    found = warnings(history({"guessed": before}, {"guessed": after}))
    assert len(found) == said
    if said:
        assert f"learnt to guess: {100 * after:.0f} % " in found[0]
        assert f"{100 * before:.0f} % did before" in found[0]
        assert "perception_coef" in found[0]
        assert "corruption=" in found[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (1.0, 0.8, True),
        (0.5, 0.3, True),
        (1.0, 0.975, False),  # less than a twentieth
        (0.975, 0.9, False),  # within its interval
        (0.5, 0.9, False),
    ],
)
def test_a_run_that_made_masked_answers_unreadable_says_so(before, after, said):
    found = warnings(history({"readable_masked": before}, {"readable_masked": after}))
    assert len(found) == said
    if said:
        assert f"unreadable: {100 * after:.0f} % can be read, {100 * before:.0f} % could before" in found[0]
        assert "perception_coef" in found[0]
        assert "corruption=" in found[0]


def test_a_small_loss_is_none_however_sure_it_is():
    before = {"readable_masked": [1.0] * 1000}
    found = History(before, {"readable_masked": [1.0] * 970 + [0.0] * 30})
    assert found.change("readable_masked").ci95[1] < 0
    assert warnings(found) == []


@pytest.mark.parametrize(("before", "after", "said"), [(0, 0, True), (0, 0.05, False), (0.05, 0, False)])
def test_a_run_that_was_never_right_says_so(before, after, said):
    found = warnings(history({"accuracy": before}, {"accuracy": after}))
    assert len(found) == said
    if said:
        assert found[0].startswith("No held-out answer was right")
        assert "model.path" in found[0]


def test_without_the_measures_there_is_nothing_to_say():
    assert warnings(history({"accuracy": 0.1}, {"accuracy": 0.9})) == []
