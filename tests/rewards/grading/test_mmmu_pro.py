"""MMMU-Pro: the boxed option, the one after the last "Answer:", or where the official script looks; and no guess."""

import pytest

from papo.rewards.grading import Verdict, grade

from .cases import item

CHOICES = ("one", "two", "three", "I", "five", "six", "seven", "eight", "nine", "ten")
ITEM = item("mmmu_pro", "B", "choice", choices=CHOICES)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Answer: B", "B"),
        ("Answer:B", "B"),
        ("Answer: (B)", "B"),
        ("Answer: **B**", "B"),
        ("Answer: b", "B"),
        ("Answer: J", "J"),
        ("Answer: B. two", "B"),
        ("Answer: A\nAnswer: B", "B"),  # the last
        ("Answer: B\nsix seven C", "B"),  # its line
        ("Answer:\nB", "B"),
        ("Answer: B because it is two", "B"),
        ("Answer: the option is B", "B"),
        ("Answer: $B$", "B"),
        ("Answer: A or B", "B"),  # officially the last
        ("Answer: K", None),  # no such option
        ("Answer: none", None),
        ("Answer: BC", "C"),  # officially a C with a space behind it
        ("Answer: B2", "B"),  # officially the only letter in it
        ("Answer:", None),
        ("answer: B", "B"),
        ("B", "B"),
        ("(B)", "B"),
        ("b", None),
        ("The answer is (B).", "B"),
        ("(A) is wrong, (B) is right", "B"),  # the last
        ("B. A. B.", "B"),
        ("A (B", "A"),
        ("I think it is (B).", "B"),
        ("It must be what they call two", "B"),  # more than five words: by its text
        ("What they call one is called two", "B"),
        ("surely two", None),
        ("So it is B", "B"),
        ("!B?", "B"),
        ("", None),
        ("\\boxed{B}", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ("\\boxed{Two}", "B"),
        ("\\boxed{B. two}", "B"),
        ("Answer: A \\boxed{B}", "B"),  # the box goes first
        ("Answer: B \\boxed{42}", "B"),  # where it names an option
        ("\\boxed{42}", None),
        # A box is unwrapped.
        ("\\boxed{\\(B\\)}", "B"),
        ("\\boxed{\N{FULLWIDTH LATIN CAPITAL LETTER B}}", "B"),
        ("\\boxed{$\\text{(B)}$}", "B"),
        ("\\boxed{two.}", "B"),
        ("\\boxed{$two$}", "B"),
        ("\\boxed{\\text{Two}}", "B"),
        ("Answer: A \\boxed{\\(B\\)}", "B"),
        ("\\boxed{\\(C\\)}", "C"),
        ("\\boxed{\\(B\\), \\(C\\)}", None),
        ("\\boxed{$B or C$}", None),
        ("\\boxed{not two.}", None),
    ],
)
def test_table(response, answer):
    grading = grade(ITEM, response)
    assert grading.answer == answer
    assert grading.verdict is (Verdict.CORRECT if answer == "B" else Verdict.WRONG)


def test_the_item_may_name_its_answer_by_its_text():
    assert grade(item("mmmu_pro", "two", "choice", choices=CHOICES), "Answer: B").correct


@pytest.mark.parametrize(("answer", "choices"), [("K", CHOICES), ("", CHOICES), ("eleven", CHOICES), ("BC", ())])
def test_an_item_that_cannot_be_graded_is_unscorable(answer, choices):
    grading = grade(item("mmmu_pro", answer, "choice", choices=choices), f"Answer: {answer}")
    assert grading.verdict is Verdict.UNSCORABLE


def test_options_may_be_wrapped_too():
    choices = ("$5\\%$", "\\text{none}", "$1,000$")
    for answer, boxes in (
        ("A", ("5\\%", "$5\\%$", "5%")),
        ("B", ("none", "None.")),
        ("C", ("1000", "1,000", "$1000$")),
    ):
        for box in boxes:
            assert grade(item("mmmu_pro", answer, "choice", choices=choices), f"\\boxed{{{box}}}").correct, box


def test_options_that_differ_in_what_is_around_them_are_not_confused():
    degrees = item("mmmu_pro", "A", "choice", choices=("5", "5^\\circ"))
    assert grade(degrees, "\\boxed{5}").correct
    assert not grade(degrees, "\\boxed{5^\\circ}").correct
    assert not grade(degrees, "\\boxed{$5^\\circ$}").correct
    assert grade(degrees, "\\boxed{$A$}").correct
