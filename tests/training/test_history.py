"""What validations found, over the steps of a run."""

import pytest

from papo.evaluation.held_out import ItemValues
from papo.training.history import History, by_measure, estimate, items_by_measure, rows, tag


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


def found(values: dict[str, float], kind: str = "held_out") -> tuple[dict, dict]:
    """What is added of items by their ids."""
    of_items = [ItemValues(item, item, {"accuracy": value}) for item, value in values.items()]
    return by_measure(kind, of_items), items_by_measure(rows(0, kind, of_items))


@pytest.mark.parametrize(("kind", "name"), [("held_out", "accuracy"), ("guessable", "guessable")])
def test_a_change_is_of_the_items_that_were_measured_both_times(kind, name):
    """No item changes; a grader of one's own cannot grade a before training, nor d after it."""
    history = History()
    history.add(0, *found({"b": 1.0, "c": 0.0, "d": 0.0}, kind))
    history.add(9, *found({"a": 1.0, "b": 1.0, "c": 0.0}, kind))
    change = History.from_dict(history.to_dict()).change(name)
    assert (change.mean, change.n) == (0.0, 2)
    history.add(10, *found({"a": 1.0}, kind))
    assert history.change(name) is None
    history.add(11, *found({"c": 1.0, "b": 1.0, "d": 1.0}, kind))  # in another order
    assert history.change(name).mean == pytest.approx(2 / 3)


def test_an_older_checkpoint_knows_no_items():
    """Its run goes on, and ends with as many items as it began with."""
    values, items = found({"a": 0.0, "b": 1.0})
    history = History.from_dict({"before": values, "last": values, "course": {0: {"accuracy": 0.5}}})
    history.add(9, {"accuracy": [1.0, 1.0]}, items)
    assert (history.change("accuracy").mean, history.change("accuracy").n) == (0.5, 2)


@pytest.mark.parametrize("kind", ["held_out", "guessable"])
def test_items_that_could_not_be_graded_are_recorded_and_in_no_mean(kind):
    of_items = [ItemValues("a", "p", {"accuracy": None}), ItemValues("b", "q", {"accuracy": 0.5})]
    of_rows = rows(3, kind, of_items)
    assert [(row["item"], row["value"]) for row in of_rows] == [("a", None), ("b", 0.5)]
    name = "accuracy" if kind == "held_out" else kind
    assert (by_measure(kind, of_items), items_by_measure(of_rows)) == ({name: [0.5]}, {name: ["b"]})
    assert by_measure(kind, of_items[:1]) == items_by_measure(of_rows[:1]) == {}


def test_of_an_older_checkpoint_only_what_was_before_is_of_known_items():
    values, items = found({"a": 0.0, "b": 1.0})
    history = History()
    history.add(0, values, items)
    history.add(2, *found({"a": 0.0}), during=True)
    fields = history.to_dict()
    assert sorted(History.from_dict(fields).over_steps()) == [0, 2]
    del fields["items_during"], fields["last_step"]
    older = History.from_dict(fields)
    assert (sorted(older.over_steps()), older.last_step) == ([0], 2)


def test_the_items_are_those_of_the_values():
    of_rows = [*rows(3, "held_out", FOUND), *rows(3, "guessable", FOUND)]
    assert items_by_measure(of_rows) == {"accuracy": ["a", "b"], "guessed": ["a"], "guessable": ["a", "b"]}


def test_what_was_not_measured_has_no_estimate():
    assert estimate({"accuracy": [1.0, 0.0]}, "accuracy").mean == 0.5
    assert estimate({"accuracy": [1.0, 0.0]}, "blind") is None


FOUND = [ItemValues("a", "p", {"accuracy": 1.0, "guessed": 0.5}, "w"), ItemValues("b", "q", {"accuracy": 0.0})]


def test_items_of_which_none_can_be_graded_have_no_mean():
    assert by_measure("guessable", []) == by_measure("held_out", []) == {}


def test_values_are_gathered_by_measure():
    assert by_measure("held_out", FOUND) == {"accuracy": [1.0, 0.0], "guessed": [0.5]}
    assert by_measure("guessable", FOUND) == {"guessable": [1.0, 0.0]}


def test_a_row_per_item_and_measure():
    row = {
        "step": 3,
        "set": "guessable",
        "measure": "accuracy",
        "item": "a",
        "asked": "w",
        "picture": "p",
        "value": 1.0,
    }
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
