"""Right, wrong, or unscorable, by type of answer."""

from dataclasses import replace

import pytest
from PIL import Image

from papo.rewards.grading import Verdict, grade
from papo.types import Item

ITEM = Item("item-7", "How many?", (Image.new("RGB", (28, 28)),), answer="7", answer_type="integer")


def verdict(answer_type: str, gold: str, response: str) -> Verdict:
    return grade(replace(ITEM, answer=gold, answer_type=answer_type), response).verdict


@pytest.mark.parametrize(
    ("gold", "boxed", "right"),
    [
        ("7", "7", True),
        ("7", " 7 ", True),
        ("7", "07", True),
        ("7", "+7", True),
        ("-7", "-7", True),
        ("0", "-0", True),
        ("07", "7", True),
        (" 7 ", "7", True),
        ("123456789012345678", "123456789012345678", True),
        ("7", "8", False),
        ("7", "-7", False),
        ("7", "7.0", False),
        ("7", "7,0", False),
        ("7", "7 apples", False),
        ("7", "= 7", False),
        ("7", "", False),
        ("7", "--7", False),
        ("7", "+-7", False),
        ("7", "0x7", False),
        ("70", "7_0", False),  # int() would take it
        ("70", "7e1", False),
        ("7", "seven", False),
        ("7", "\N{ARABIC-INDIC DIGIT SEVEN}", False),  # int() would take it
        ("7", "\N{FULLWIDTH DIGIT SEVEN}", True),  # of keyboards, and a digit to whoever reads it
        ("-7", "\N{MINUS SIGN}7", True),
        ("7", "\N{MINUS SIGN}7", False),
        ("7", "\N{SUPERSCRIPT SEVEN}", False),
        ("7", "7\x00", False),
        ("7", "\x007", False),
        ("7", "7\n7", False),
        ("7", "7" * 10**6, False),  # int() would raise
        ("7", "0" * 10**6 + "7", False),  # more digits than any answer has
        ("123456789012345678", "1234567890123456780", False),
    ],
)
def test_integer(gold, boxed, right):
    assert verdict("integer", gold, f"so \\boxed{{{boxed}}}") is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.parametrize(
    ("gold", "boxed", "right"),
    [
        ("B", "B", True),
        ("B", "b", True),
        ("b", "B", True),
        ("B", "(B)", True),
        ("B", "( b )", True),
        ("B", "A", False),
        ("B", "AB", False),
        ("B", "B, C", False),
        ("B", "", False),
        ("B", "()", False),
        ("B", "\x00B", False),
        ("B", "\N{CYRILLIC CAPITAL LETTER VE}", False),
        ("J", "J", True),  # MMLU-Pro has ten options
    ],
)
def test_choice_by_letter(gold, boxed, right):
    assert verdict("choice", gold, f"\\boxed{{{boxed}}}") is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.parametrize(
    ("gold", "boxed", "right"),
    [
        ("Red", "red", True),
        ("Red", "B", True),
        ("Red", "(b)", True),
        ("B", "red", True),
        ("b", "B", True),
        ("Red", "blue", False),
        ("Red", "A", False),
        ("Red", "D", False),  # no such option
        ("Red", "(red)", False),
        ("Red", "dark red", False),
        ("Red", "", False),
    ],
)
def test_choice_by_letter_or_text(gold, boxed, right):
    item = replace(ITEM, answer=gold, answer_type="choice", choices=("blue", "red ", "green"))
    assert grade(item, f"\\boxed{{{boxed}}}").verdict is (Verdict.CORRECT if right else Verdict.WRONG)


def test_an_option_that_is_a_letter_goes_before_the_letter_of_an_option():
    item = replace(ITEM, answer="A", answer_type="choice", choices=("B", "A", "C"))
    assert grade(item, "\\boxed{A}").correct
    assert grade(item, "\\boxed{b}").verdict is Verdict.WRONG  # the text of option (A)
    assert grade(item, "\\boxed{(b)}").correct


@pytest.mark.parametrize("text", ["$5", "Yes.", "1,000", "30°", "20\\%", "\\text{Red}", "5 apples."])
def test_what_names_no_option_is_wrong_whatever_stands_around_the_right_one(text):
    item = replace(ITEM, answer=text, answer_type="choice", choices=("blue", text))
    assert grade(item, "\\boxed{banana}").verdict is Verdict.WRONG
    assert grade(item, f"\\boxed{{{text}}}").correct
    assert grade(item, "\\boxed{B. anything}").correct


def test_a_choice_whose_answer_is_no_option_is_unscorable():
    for gold in ("yellow", "D", "4"):
        item = replace(ITEM, answer=gold, answer_type="choice", choices=("blue", "red", "green"))
        assert grade(item, f"\\boxed{{{gold}}}").verdict is Verdict.UNSCORABLE


@pytest.mark.parametrize(
    ("gold", "boxed", "right"),
    [
        ("red", "red", True),
        ("red", "RED", True),
        ("Red", " red ", True),
        (" red ", "red", True),
        ("Straße", "STRASSE", True),
        ("7", "7", True),
        ("7", "07", False),
        ("red", "(red)", False),
        ("red", "dark red", False),
        ("red", "re", False),
        ("red", "", False),
        ("red", "red\x00", False),
    ],
)
def test_text(gold, boxed, right):
    assert verdict("text", gold, f"\\boxed{{{boxed}}}") is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.parametrize("response", ["", "7", "the answer is 7", "\\boxed{7", "\\boxed (7)"])
@pytest.mark.parametrize(("answer_type", "gold"), [("integer", "7"), ("choice", "B"), ("text", "red")])
def test_without_a_complete_box_a_response_is_wrong(answer_type, gold, response):
    grading = grade(replace(ITEM, answer=gold, answer_type=answer_type), response)
    assert grading.verdict is Verdict.WRONG
    assert grading.answer is None
    assert not grading.correct


@pytest.mark.parametrize(
    ("answer_type", "gold"),
    [
        ("integer", ""),
        ("integer", "   "),
        ("integer", "7.5"),
        ("integer", "seven"),
        ("integer", "\N{ARABIC-INDIC DIGIT SEVEN}"),
        ("integer", "9" * 19),
        ("choice", " "),
        ("choice", "7"),
        ("choice", "AB"),
        ("text", ""),
    ],
)
def test_an_item_that_cannot_be_graded_is_unscorable(answer_type, gold):
    """Whatever the response says, even if it repeats the gold answer."""
    for response in (f"\\boxed{{{gold}}}", "\\boxed{7}", "no box"):
        assert verdict(answer_type, gold, response) is Verdict.UNSCORABLE


def test_the_last_box_is_graded_and_reported():
    grading = grade(ITEM, "\\boxed{3} no, \\boxed{ 7 }")
    assert grading.correct
    assert grading.answer == "7"
    assert "'7' against '7'" in grading.reason
    assert grade(ITEM, "\\boxed{7} no, \\boxed{3}").answer == "3"


def test_an_unknown_answer_type_is_an_error():
    with pytest.raises(ValueError, match=r"item-7.*'float'.*integer, choice, text"):
        grade(replace(ITEM, answer_type="float"), "\\boxed{7}")


WIDE_SEVEN = "\N{FULLWIDTH DIGIT SEVEN}"


@pytest.mark.parametrize("gold", ["$7$", "\\boxed{7}", "7.", "\\text{7}", WIDE_SEVEN, "$\\boxed{7}$"])
@pytest.mark.parametrize("answer_type", ["integer", "text"])
def test_what_stands_around_a_gold_changes_nothing(answer_type, gold):
    for response in ("\\boxed{7}", "\\boxed{$7$}", f"\\boxed{{{WIDE_SEVEN}}}", f"\\boxed{{{gold}}}"):
        assert verdict(answer_type, gold, response) is Verdict.CORRECT, response
    assert verdict(answer_type, gold, "\\boxed{8}") is Verdict.WRONG


@pytest.mark.parametrize("gold", ["$B$", "\\text{B}", "\\boxed{b}", "\N{FULLWIDTH LATIN CAPITAL LETTER B}"])
@pytest.mark.parametrize("choices", [(), ("red", "blue")])
def test_so_with_a_letter(gold, choices):
    item = replace(ITEM, answer=gold, answer_type="choice", choices=choices)
    assert grade(item, "\\boxed{B}").correct
    assert grade(item, "\\boxed{A}").verdict is Verdict.WRONG


def test_a_label_is_right_too():
    item = replace(ITEM, labels=("seven", "$8$", " "))
    for response, right in (("7", True), ("Seven", True), ("8", True), ("9", False), ("", False)):
        assert grade(item, f"\\boxed{{{response}}}").correct is right
    assert grade(replace(item, answer_type="choice", answer="A", labels=("B",)), "\\boxed{(B)}").correct
