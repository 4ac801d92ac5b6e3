"""ChartQA's rule for training: what it pays, and what the official one pays besides."""

import random

import pytest

from papo.rewards.extraction import unwrapped
from papo.rewards.grading import Verdict, grade

from .cases import NUMBERS, WORDS, cases, chartqa_case, item


def right(gold: str, answer: str, rule: str = "chartqa_strict") -> bool:
    return grade(item(rule, gold), f"\\boxed{{{answer}}}").correct


@pytest.mark.parametrize(
    ("gold", "answer", "is_right"),
    [
        # Years and small whole numbers.
        ("2010", "2010", True),
        ("2010", "2010.0", True),
        ("2010", "$2010$", True),
        ("2010", "1915", False),
        ("2010", "2011", False),
        ("2010", "2010.4", False),
        ("2010", "20.10", False),
        ("7", "07", True),
        ("7", "7.1", False),
        ("-7", "7", False),
        ("0", "0.0", True),  # officially wrong
        ("0", "0%", True),
        ("0", "0.0001", False),
        ("9,999", "9999", True),
        ("9999", "9998", False),
        # The percent sign.
        ("57", "57%", True),
        ("57%", "57", True),
        ("57%", "57\\%", True),
        ("57%", "0.57", True),
        ("57%", "57 %", True),
        ("57%", "58%", False),
        ("57%", "0.58", False),
        ("57", "0.57", False),  # of neither is it said
        ("0.57", "57%", True),
        ("57.3%", "57.8", True),
        # Others: 1 %, inclusive.
        ("10000", "10100", True),
        ("10000", "9900", True),
        ("10000", "10101", False),
        ("1234567", "1230000", True),
        ("100.5", "101.505", True),
        ("100.5", "101.506", False),
        ("0.5", "0.505", True),
        ("0.5", "0.506", False),
        ("57.3", "60", False),
        ("-0.5", "0.5", False),
        ("$12,345.67", "\\$12,345", True),
        # Texts.
        ("Yes", "yes", True),
        ("R&D", "R\\&D", True),
        ("\\text{Blue}.", "blue", True),
        ("Blue", "blu", False),
        ("[2010, 2012]", "[2010, 2013]", False),
        ("2010-11", "2010", False),
        # What is no number here.
        ("1000", "1e3", False),
        ("1000", "1_000", False),
        ("5", "\N{ARABIC-INDIC DIGIT FIVE}", False),
        ("5", "inf", False),
        ("5", "nan", False),
        ("5", "9" * 1000, False),
    ],
)
def test_numbers_and_texts(gold, answer, is_right):
    assert right(gold, answer) is is_right


def test_no_wrong_year_of_a_thousand_is_paid():
    generator = random.Random(0)
    forms = ("{}", "{}.0", "${}$", "\\text{{{}}}", "{}%", "{}.4", "-{}", "{}\\%", "{}.")
    officially = 0
    for _ in range(1000):
        gold = generator.randint(1900, 2030)
        year = generator.choice([y for y in (*range(1900, 2031), gold - 1, gold + 1) if y != gold])
        answer = generator.choice(forms).format(year)
        assert not right(str(gold), answer), (gold, answer)
        officially += right(str(gold), answer, "chartqa")
    assert officially > 500  # which is what this rule is for


@pytest.mark.parametrize("gold", [*range(-3, 30), 100, 360, 999])
def test_no_neighbour_of_a_small_whole_number_is_paid(gold):
    for by in (-10, -2, -1, -0.5, -0.1, -0.01, 0.01, 0.1, 0.5, 1, 2, 10):
        assert not right(str(gold), f"{gold + by:g}")
    assert right(str(gold), str(gold))


def test_what_is_paid_is_right_officially_but_for_percent_nought_and_the_same_text():
    found = 0
    for labels, response in cases(chartqa_case, 10_000):
        strict, official = (
            grade(item(rule, labels[0], labels=tuple(labels[1:])), response) for rule in ("chartqa_strict", "chartqa")
        )
        found += strict.correct
        if strict.correct and not official.correct:
            same = unwrapped(strict.answer).casefold() in [label.casefold() for label in labels]  # nan, which is no nan
            assert same or "%" in response + "".join(labels) or {"0", "-0", "0.0"} & set(labels), (labels, response)
    assert found > 1500


def test_every_gold_is_right_for_itself():
    for gold in (*NUMBERS, *WORDS):
        if gold.strip():
            assert right(gold, gold), gold


def test_the_best_label_counts_and_without_one_an_item_is_unscorable():
    many = item("chartqa_strict", "100", labels=("red", "2010"))
    assert grade(many, "\\boxed{Red}").reason == "'Red' against 'red'"
    assert grade(many, "\\boxed{2010}").correct
    assert not grade(many, "\\boxed{2011}").correct
    assert grade(item("chartqa_strict", " ", labels=("",)), "\\boxed{}").verdict is Verdict.UNSCORABLE


@pytest.mark.parametrize("response", ["2010", "it is 2010", "\\boxed{2010", ""])
def test_only_a_box_counts(response):
    assert grade(item("chartqa_strict", "2010"), response).verdict is Verdict.WRONG
