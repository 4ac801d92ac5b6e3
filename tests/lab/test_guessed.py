"""Which answers name what the words suggest."""

import pytest

from papo.lab.guessed import guessed, looked
from papo.types import Guess, Item


def item(rationale: str, answer: str) -> Item:
    return Item("id", "?", (), "9", "integer", guess=Guess(rationale, answer))


SUM, COUNT = item("red = 4, blue = 7", "11"), item("rows = 0, 3, 0, 0", "3")


@pytest.mark.parametrize(
    ("of", "response", "expected"),
    [
        (SUM, "<think> red = 4, blue = 7 </think> \\boxed{11}", True),
        (SUM, "<think> blue = 7, red = 4 </think> \\boxed{3}", True),  # whatever is made of them
        (SUM, "<think> red = 4, blue = 6 </think> \\boxed{10}", False),
        (SUM, "<think> red = 4 </think> \\boxed{11}", False),
        (SUM, "<think> red = 4, blue = 7, green = 1 </think> \\boxed{11}", False),
        (SUM, "<think> red = 1 </think> <think> red = 4, blue = 7 </think>", True),  # the last thought counts
        (SUM, "<think> red = 4, blue = 7 </think> <think> red = 1 </think>", False),
        (SUM, "red = 4, blue = 7 \\boxed{11}", False),
        (SUM, "", False),
        (COUNT, "<think> rows = 1, 1, 1, 0 </think> \\boxed{3}", True),
        (COUNT, "<think> rows = 1, 1, 1, 1 </think> \\boxed{3}", False),
    ],
)
def test_values_are_compared_by_name_and_sum(of, response, expected):
    assert guessed(of, response) is expected


@pytest.mark.parametrize(
    ("response", "expected"), [("so \\boxed{Red}", True), ("\\boxed{blue}", False), ("red", False)]
)
def test_a_guess_without_values_is_its_answer(response, expected):
    assert guessed(item("", "red"), response) is expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("<think> red = 2, blue = 5 </think>", True),
        ("<think> red = 3, blue = 5 </think>", True),  # wrong, and yet no guess
        ("<think> red = 2, blue = 7 </think>", False),  # one of two is
        ("<think> red = 4, blue = 7 </think>", False),
        ("<think> red = 2 </think>", True),
        ("<think> red = 4, blue = 7 </think> <think> red = 2, green = 6 </think>", True),
        ("<think> green = 6, blue = 7 </think>", False),
        ("red = 2, blue = 5", False),  # nothing is stated
        ("", False),
    ],
)
def test_who_looks_names_no_guess_against_the_picture(response, expected):
    guess, shown = Guess("red = 4, blue = 7, green = 6", "11"), "red = 2, blue = 5, green = 6"
    of = Item("id", "?", (), "7", "integer", guess=guess, rationale=shown)
    assert looked(of, response) is expected


def test_a_guess_that_the_picture_bears_out_can_be_seen():
    of = Item("id", "?", (), "3", "integer", guess=Guess("rows = 2, 1", "3"), rationale="rows = 1, 2")
    assert guessed(of, "<think> rows = 1, 2 </think>")
    assert looked(of, "<think> rows = 1, 2 </think>")
