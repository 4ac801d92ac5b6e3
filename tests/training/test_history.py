"""What validations found, over the steps of a run."""

import pytest

from papo.evaluation.held_out import ItemValues
from papo.training.history import History, by_measure, estimate, rows, tag


def test_the_first_and_the_last_are_kept_and_the_means_of_all():
    history = History()
    for step, values in ((0, [1.0, 0.0]), (2, [0.25]), (4, [1.0, 1.0])):
        history.add(step, {"accuracy": values})
    assert history.before == {"accuracy": [1.0, 0.0]}
    assert history.last == {"accuracy": [1.0, 1.0]}
    assert history.course == {0: {"accuracy": 0.5}, 2: {"accuracy": 0.25}, 4: {"accuracy": 1.0}}
    assert History.from_dict(history.to_dict()) == history


def test_a_change_is_paired_by_item():
    history = History({"accuracy": [0.0, 0.5, 1.0]}, {"accuracy": [0.0, 1.0, 1.0]})
    change = history.change("accuracy")
    assert (change.mean, change.n) == (pytest.approx(1 / 6), 3)
    assert change.ci95 == pytest.approx((1 / 6 - 4.3027 / 6, 1 / 6 + 4.3027 / 6), abs=1e-4)  # t(2), standard error 1/6


@pytest.mark.parametrize("last", [{}, {"accuracy": [1.0]}])
def test_other_items_have_no_change(last):
    assert History({"accuracy": [0.0, 0.5]}, last).change("accuracy") is None
    assert History(last, {"accuracy": [0.0, 0.5]}).change("accuracy") is None


def test_what_was_not_measured_has_no_estimate():
    assert estimate({"accuracy": [1.0, 0.0]}, "accuracy").mean == 0.5
    assert estimate({"accuracy": [1.0, 0.0]}, "blind") is None


FOUND = [ItemValues("a", "p", {"accuracy": 1.0, "guessed": 0.5}), ItemValues("b", "q", {"accuracy": 0.0})]


def test_items_of_which_none_can_be_graded_have_no_mean():
    assert by_measure("guessable", []) == by_measure("held_out", []) == {}


def test_values_are_gathered_by_measure():
    assert by_measure("held_out", FOUND) == {"accuracy": [1.0, 0.0], "guessed": [0.5]}
    assert by_measure("guessable", FOUND) == {"guessable": [1.0, 0.0]}


def test_a_row_per_item_and_measure():
    row = {"step": 3, "set": "guessable", "measure": "accuracy", "item": "a", "picture": "p", "value": 1.0}
    found = rows(3, "guessable", FOUND)
    assert found[0] == row
    assert [(row["item"], row["measure"], row["value"]) for row in found] == [
        ("a", "accuracy", 1.0),
        ("a", "guessed", 0.5),
        ("b", "accuracy", 0.0),
    ]


def test_what_is_an_average_of_k_says_so():
    names = ("accuracy", "blind", "masked", "greedy", "guessable")
    expected = ["val/avg@8", "val/blind_avg@8", "val/masked_avg@8", "val/greedy", "val/guessable"]
    assert [tag(name, 8) for name in names] == expected
