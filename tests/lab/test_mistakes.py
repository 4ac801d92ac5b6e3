"""What went wrong in a wrong answer, on hand-made answers to items whose scene is known."""

import pytest

from papo.lab import lab_item
from papo.lab.mistakes import error_kind, statements
from papo.rewards.grading import grade
from papo.types import Item


def item(task: str, rationale: str, answer: str, family: str = "charts") -> Item:
    return Item(
        "id", "?", (), answer, "integer", rationale=rationale, tags={"task": task, "family": family}, scene={"any": 1}
    )


SUM = item("bar_sum", "red = 4, blue = 7", "11")
DIFFERENCE = item("length_difference", "red = 4, blue = 7", "3", "geometry")
COUNT = item("count_sort", "rows = 0, 2, 3, 1", "6", "counting")
READ = item("bar_read", "red = 4", "4")
ABOVE = item("pie_count_above", "red = 4, blue = 2, green = 6", "2")


@pytest.mark.parametrize(
    ("of", "thought", "answer", "kind"),
    [
        (SUM, "red = 4, blue = 6", "10", "perception"),
        (SUM, "red = 4, blue = 6", "11", "perception"),  # whatever is answered
        (SUM, "blue = 6", "6", "perception"),  # what is stated is wrong already
        (SUM, "red = 4", "4", "reasoning"),
        (SUM, "red = 4, green = 7", "11", "reasoning"),
        (SUM, "red = 4, blue = 7", "3", "reasoning"),  # the difference
        (SUM, "red = 4, blue = 7", "7", "reasoning"),  # one of them
        (SUM, "red = 4, blue = 7", "12", "calculation"),
        (SUM, "blue = 7, green = 1, red = 4", "12", "calculation"),  # in any order, with more than is needed
        (DIFFERENCE, "red = 4, blue = 7", "11", "reasoning"),
        (DIFFERENCE, "red = 4, blue = 7", "1", "calculation"),
        (COUNT, "rows = 0, 2, 3, 2", "7", "perception"),
        (COUNT, "rows = 0, 2, 3", "5", "perception"),
        (COUNT, "rows = 0, 2, 3, 1", "4", "reasoning"),  # the number of rows
        (COUNT, "rows = 0, 2, 3, 1", "5", "calculation"),
        (ABOVE, "red = 4, blue = 2, green = 6", "5", "calculation"),
        (ABOVE, "red = 4, blue = 2, green = 6", "3", "reasoning"),
        (READ, "red = 5", "5", "perception"),
        (READ, "blue = 5", "5", "reasoning"),
        (READ, "red = 4", "5", "reasoning"),
        (READ, "it is high", "5", "format"),
        (READ, "", "5", "format"),
    ],
)
def test_kinds(of, thought, answer, kind):
    assert error_kind(of, f"<think> {thought} </think> \\boxed{{{answer}}}") == kind


@pytest.mark.parametrize(
    "response",
    ["", "red = 5 \\boxed{5}", "<think> red = 5 </think> 5", "<think> red = 5 </think> \\boxed{5", "\0" * 99],
)
def test_what_cannot_be_read_is_a_mistake_of_format(response):
    assert error_kind(READ, response) == "format"


def test_the_last_thought_counts():
    assert error_kind(READ, "<think> red = 5 </think> <think> red = 4 </think> \\boxed{5}") == "reasoning"


def test_every_rationale_of_the_lab_is_readable():
    """Of a wrong answer behind the right values no item says that the picture was misread."""
    for index in range(200):
        lab = lab_item(0, "val", index)
        assert statements(lab.rationale)
        wrong = f"<think> {lab.rationale} </think> \\boxed{{99}}"
        assert not grade(lab, wrong).correct
        assert error_kind(lab, wrong) in ("reasoning", "calculation")
        for digit in "0123456789":
            if digit in lab.rationale:
                misread = lab.rationale.replace(digit, str(int(digit) + 1), 1)
                assert error_kind(lab, f"<think> {misread} </think> \\boxed{{99}}") == "perception"
