"""ChartQA's relaxed accuracy: the vectors of its authors' rule, and a second implementation."""

import pytest

from papo.rewards.grading import Verdict, grade
from papo.rewards.grading.chartqa import relaxed_correctness, to_float

from . import slow
from .cases import cases, chartqa_case, item


@pytest.mark.parametrize(
    ("prediction", "target", "right"),
    [
        # The vectors that the rule is stated with.
        ("5%", "5", False),
        ("0", "0", True),
        ("0.0", "0", False),
        ("2010", "1950", True),
        # 5 % of the target, inclusive.
        ("105", "100", True),
        ("95", "100", True),
        ("105.001", "100", False),
        ("94.999", "100", False),
        ("1.05", "1", False),  # 0.050000000000000044: floats decide
        ("100", "105", True),  # of the target, not of the prediction
        ("95.1", "100", True),
        ("100", "95.1", False),
        ("-105", "-100", True),
        ("-100", "100", False),
        ("100", "-100", False),
        # Percent: the hundredth.
        ("5%", "5%", True),
        ("5%", "0.05", True),
        ("0.05", "5%", True),
        ("5", "5%", False),
        ("5%%", "5%", True),
        ("5 %", "5%", True),
        ("5% ", "5%", False),
        ("%", "%", True),
        # Numbers are what float() reads, nothing is stripped.
        ("1,000", "1000", False),
        ("1,000", "1,000", True),
        ("$5", "5", False),
        ("5 cm", "5", False),
        ("1e3", "1000", True),
        ("1_000", "1000", True),
        (" 5 ", "5", True),
        ("\N{ARABIC-INDIC DIGIT FIVE}", "5", True),
        ("five", "5", False),
        ("", "5", False),
        ("inf", "5", False),
        ("5", "inf", False),
        ("inf", "inf", False),
        ("nan", "nan", False),
        ("nan", "5", False),
        ("1e999999", "5", False),
        # The target 0, and no number: the same string, whatever the case.
        ("-0", "0", False),
        ("0%", "0", False),
        ("0%", "0%", True),
        ("0.0001", "0", False),
        ("yes", "Yes", True),
        ("YES", "yes", True),
        ("yes.", "yes", False),
        ("yes", " yes", False),
        ("5", "five", False),
    ],
)
def test_relaxed_correctness(prediction, target, right):
    assert relaxed_correctness(prediction, target) is right


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5.0), ("5%", 0.05), ("-2.5%", -0.025), ("%", None), ("5%5", None), ("", None), ("\ud800", None)],
)
def test_to_float(text, number):
    assert to_float(text) == number


@pytest.mark.parametrize(
    ("response", "answer", "right"),
    [
        ("\\boxed{2010}", "2010", True),
        ("<think> 1800 </think> \\boxed{ 2010 }", "2010", True),
        ("\\boxed{1,950}", "1,950", True),
        ("1,950", "1,950", False),
        ("\\boxed{$1950$}", "$1950$", True),
        ("\\boxed{\\text{1950}.}", "\\text{1950}.", True),
        ("\\boxed{19\\_50}", "19\\_50", True),  # which float() takes for 1950, as it does officially
        ("\\boxed{195000\\%}", "195000\\%", True),
        ("1950", "1950", True),
        (" 1950\n", "1950", True),
        ("1950 \\boxed{3}", "3", False),  # the box goes first
        ("\\boxed{3", "\\boxed{3", False),
        ("It is 1950", "It is 1950", False),
        ("", "", False),
    ],
)
def test_the_answer_is_the_last_box_or_the_stripped_response(response, answer, right):
    grading = grade(item("chartqa", "1950"), response)
    assert grading.answer == answer
    assert grading.verdict is (Verdict.CORRECT if right else Verdict.WRONG)


def test_a_label_with_thousands_is_met_as_it_is_written():
    assert grade(item("chartqa", "1,950"), "\\boxed{1,950}").correct


@pytest.mark.parametrize(
    ("label", "boxed"),
    [("$5", "\\$5"), ("30°", "30^\\circ"), ("R&D", "R\\&D"), ("a.m.", "\\text{a.m.}"), ("a_b", "a\\_b")],
)
def test_a_label_is_unwrapped_as_its_answer_is(label, boxed):
    assert grade(item("chartqa", label), f"\\boxed{{{boxed}}}").correct
    assert grade(item("exact", label), f"\\boxed{{{boxed}}}").correct


def test_the_best_label_counts():
    many = item("chartqa", "100", labels=("red", "200"))
    assert grade(many, "\\boxed{Red}").correct
    assert grade(many, "\\boxed{Red}").reason == "'Red' against 'red'"
    assert grade(many, "\\boxed{205}").correct
    assert grade(many, "\\boxed{104}").correct
    assert not grade(many, "\\boxed{150}").correct
    assert grade(many, "\\boxed{150}").reason == "'150' against '100'"


def test_without_a_label_an_item_is_unscorable():
    for labels in ((), ("", " ")):
        grading = grade(item("chartqa", " ", labels=labels), "")
        assert grading.verdict is Verdict.UNSCORABLE
        assert grading.answer is None
    assert grade(item("chartqa", "", labels=("5",)), "5").correct


def test_ten_thousand_generated_cases_agree_with_the_slow_implementation():
    found = {True: 0, False: 0}
    for labels, response in cases(chartqa_case, 10_000):
        expected = slow.chartqa(labels, response)
        if not any(label.strip() for label in labels):
            assert grade(item("chartqa", labels[0]), response).verdict is Verdict.UNSCORABLE
            continue
        assert grade(item("chartqa", labels[0], labels=tuple(labels[1:])), response).correct is expected, (
            labels,
            response,
        )
        found[expected] += 1
    assert min(found.values()) > 2000  # both outcomes are common
