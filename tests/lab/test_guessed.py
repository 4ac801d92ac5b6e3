"""Which answers name what the words suggest."""

import pytest

from papo.lab.guessed import guessed
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
