"""MathVista's rules: the vectors of its authors' scripts, and a second implementation."""

import re
import time

import pytest

from papo.rewards.grading import Verdict, grade
from papo.rewards.grading.mathvista import extract, nearest_choice, normalise, phrase

from . import slow
from .cases import cases, item, mathvista_case

COLOURS = ("red", "dark red", "blue")


def mathvista(answer, answer_type, choices=(), precision=None):
    return item("mathvista", answer, answer_type, choices=choices, precision=precision)


@pytest.mark.parametrize(
    ("answer_type", "response", "extracted"),
    [
        ("integer", "", ""),  # empty stays empty
        ("integer", "7", "7"),
        ("integer", " -7\n", "-7"),
        ("integer", "7.5", None),  # int() refuses; the next step finds nothing
        ("integer", "seven", None),
        ("float", "7", "7.0"),
        ("float", "1e-2", "0.01"),
        ("float", "7 cm", None),
        ("text", "red", None),
        ("text", "7", None),
        ("list", "[1, 2]", None),
        ("text", 'The answer is "red".', "red"),
        ("text", 'The answer is "red"', "red"),
        ("text", 'So. The answer is "a "b"". Yes.', 'a "b"'),
        ("text", 'The answer is "red". I said "blue".', 'red". I said "blue'),  # greedy, as the official pattern
        ("text", 'The answer is "a" or\nThe answer is "b".', "b"),  # with its full stop first
        ("text", 'The answer is "a"\nThe answer is "b"', "a"),
        ("text", 'The answer is "a\nb".', None),
        ("text", 'the answer is "a".', None),
        ("text", "The answer is red.", None),
        ("text", "\\boxed{red}", "red"),
        ("integer", "5 \\boxed{ 7 }", "7"),
        ("text", 'The answer is "red". \\boxed{blue}', "blue"),  # the box goes first
        ("text", 'The answer is "red". \\boxed{blue', "red"),
    ],
)
def test_extraction(answer_type, response, extracted):
    assert extract(response, mathvista("x", answer_type)) == extracted


def test_a_response_that_is_a_choice_is_used_as_it_is():
    question = mathvista("red", "choice", COLOURS)
    assert extract("dark red", question) == "dark red"
    assert extract("dark red.", question) is None
    assert extract("B", question) is None


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("(a)", "red"),
        ("A", "red"),
        ("B", "dark red"),
        ("c", "red"),  # officially a letter without brackets is a capital one; so the nearest
        ("(c) blue", "blue"),
        ("it is (b), not (a)", "dark red"),  # the first
        ("red", "red"),
        ("Red", "red"),
        ("dark", "red"),  # three edits against four
        ("darkred", "dark red"),
        ("D", "red"),  # no such letter: the nearest, the first of several
        ("(e)", "red"),
        ("bluered", "blue"),  # three edits against four
        ("1", "red"),
    ],
)
def test_nearest_choice(text, choice):
    assert nearest_choice(text, COLOURS) == choice
    assert slow.mathvista_form(text, "text", COLOURS, None) == choice


def test_letters_and_choices_that_are_letters():
    assert nearest_choice("a", ("b", "a")) == "a"  # itself
    assert nearest_choice("A", ("B", "A")) == "B"  # officially the letter, even here
    assert nearest_choice("(a)", ("b", "a")) == "b"
    assert nearest_choice("xy", ("ab", "cd")) == "ab"  # equally far: the first


@pytest.mark.parametrize(
    ("answer_type", "precision", "extracted", "normalised"),
    [
        ("integer", None, "7", "7"),
        ("integer", None, "3.9", "3"),  # towards zero
        ("integer", None, "-3.9", "-3"),
        ("integer", None, "1e3", "1000"),
        ("integer", None, "-0.5", "0"),
        ("integer", None, "7 cm", None),
        ("integer", None, "1,000", None),
        ("integer", None, "nan", None),
        ("integer", None, "inf", None),
        ("integer", None, "1e999999", None),
        ("integer", None, "", None),
        ("float", 1, "7", "7.0"),
        ("float", 1, "0.25", "0.2"),  # half to even
        ("float", 2, "2.675", "2.67"),  # the binary number lies below
        ("float", 1.0, "1.26", "1.3"),  # the precision is stored as a float
        ("float", 0, "1.6", "2.0"),
        ("float", None, "1.6", None),
        ("float", 1, "x", None),
        ("float", 1, "nan", "nan"),
        ("list", None, "[1, 2]", "[1, 2]"),
        ("text", None, " red", " red"),
    ],
)
def test_normalisation(answer_type, precision, extracted, normalised):
    assert normalise(extracted, mathvista("x", answer_type, precision=precision)) == normalised


@pytest.mark.parametrize(
    ("question", "response", "right"),
    [
        (mathvista("3", "integer"), "\\boxed{3.9}", True),
        (mathvista("3", "integer"), "\\boxed{4}", False),
        (mathvista("300", "integer"), "\\boxed{300 K}", True),
        (mathvista("300", "integer"), "\\boxed{300 x}", False),
        (mathvista("300", "integer"), "300 K", False),  # officially no number
        (mathvista("2.4", "float", precision=1), "\\boxed{2.4 GHz}", True),
        (mathvista("3", "integer"), "3", True),
        (mathvista("3", "integer"), "\\boxed{3 cm}", True),
        (mathvista("3", "integer"), "\\boxed{x + 3}", False),
        (mathvista("3", "integer"), "3 cm", False),  # officially no number
        (mathvista("0.5", "float", precision=1), "\\boxed{\\frac{1}{2}}", True),
        (mathvista("5 cm", "choice", ("5 cm", "9 cm", "15 cm")), "\\boxed{9 cm}", False),
        (mathvista("5 cm", "choice", ("5 cm", "6 cm")), "\\boxed{9 cm}", False),  # like neither
        (mathvista("5 cm", "choice", ("5 cm", "6 cm")), "\\boxed{5\\text{ cm}}", True),
        (mathvista("5 cm", "choice", ("5 cm", "6 cm")), "\\boxed{5}", True),
        (mathvista("5", "choice", ("5", "6")), "\\boxed{x = 5}", True),
        (mathvista("f(x)=2x", "choice", ("f(x)=2x", "f(x)=x")), "\\boxed{f(x)=2x}", True),
        (mathvista("20", "integer"), "\\boxed{20\\%}", True),
        (mathvista("2", "integer"), "\\boxed{x = 2}", True),
        (mathvista("1.2", "float", precision=1), "\\boxed{1.2 m}", True),
        (mathvista("5√3", "choice", ("5√3", "5√2")), "\\boxed{5\\sqrt{3}}", True),
        (mathvista("5√3", "choice", ("5√3", "6√3")), "\\boxed{9√3}", False),
        (mathvista("3", "integer"), "It is 3", False),
        (mathvista("0.2", "float", precision=1), "\\boxed{0.249}", True),
        (mathvista("0.2", "float", precision=1.0), "\\boxed{0.2}", True),
        (mathvista("0.2", "float", precision=2), "\\boxed{0.249}", False),
        (mathvista("[1, 2]", "list"), "\\boxed{[1, 2]}", True),
        (mathvista("[1, 2]", "list"), "\\boxed{[1,2]}", False),
        (mathvista("red", "text"), "\\boxed{red}", True),
        (mathvista("red", "text"), "\\boxed{Red}", False),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{B}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{(b)}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{A}", False),
        (mathvista("dark red", "text", COLOURS), "dark red", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{\\text{B}}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{B.}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{B. dark red}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{b}", True),
        (mathvista("red", "choice", COLOURS), "\\boxed{x > 0}", False),  # like no choice
        (mathvista("red", "choice", COLOURS), "x > 0 \\boxed{}", False),
        (mathvista("red", "choice", COLOURS), 'The answer is "x > 0".', True),  # officially the nearest
        (mathvista("12.5", "choice", ("12.5", "13")), "\\boxed{12.9}", False),  # nor is a number nearly another
        (mathvista("12.5", "choice", ("12.5", "13")), "\\boxed{12.50}", True),
        (mathvista("dark red", "choice", COLOURS), "\\boxed{Dark  red}", True),
        (mathvista("dark red", "choice", COLOURS), "b", False),  # officially no letter
        (mathvista("blue", "choice", ("b", "a", "blue")), "\\boxed{blue}", True),
        (mathvista("1000", "integer"), "\\boxed{1,000}", True),
        (mathvista("1000", "integer"), "1,000", False),
        (mathvista("20", "integer"), "\\boxed{20^\\circ}", True),
        (mathvista("5.0", "float", precision=1), "\\boxed{\\$5}", True),
        (mathvista("red", "text"), "\\boxed{\\text{red}}", True),
        (mathvista("red", "choice", COLOURS), "\\boxed{}", False),  # not the shortest choice
        (mathvista("red", "choice", COLOURS), "", False),
        (mathvista("red", "choice", COLOURS), "\\boxed{rad}", True),
    ],
)
def test_score(question, response, right):
    assert grade(question, response).verdict is (Verdict.CORRECT if right else Verdict.WRONG)


def test_what_was_read_is_reported():
    assert grade(mathvista("3", "integer"), "\\boxed{3.9}").answer == "3"
    assert grade(mathvista("dark red", "choice", COLOURS), "\\boxed{A}").answer == "red"
    for response, reason in (
        ("It is 3", "bare answer"),
        ("\\boxed{x}", "no integer"),
        ("\\boxed{}", "empty"),
    ):
        grading = grade(mathvista("3", "integer"), response)
        assert grading.answer is None
        assert reason in grading.reason


@pytest.mark.parametrize(
    "question",
    [
        mathvista("", "text"),
        mathvista(" ", "integer"),
        mathvista("seven", "integer"),
        mathvista("inf", "integer"),
        mathvista("x", "float", precision=1),
        mathvista("1.5", "float"),  # without a precision
        mathvista("green", "choice", COLOURS),
        mathvista("B", "choice", COLOURS),
        mathvista("red", "choice"),
    ],
)
def test_an_item_that_cannot_be_graded_is_unscorable(question):
    for response in ("\\boxed{" + question.answer + "}", "7", ""):
        assert grade(question, response).verdict is Verdict.UNSCORABLE


def test_ten_thousand_generated_cases_agree_with_the_slow_implementation():
    found = {}
    for answer, kind, choices, precision, response in cases(mathvista_case, 10_000):
        question = mathvista(answer, kind, choices, precision)
        grading = grade(question, response)
        if not answer.strip():
            assert grading.verdict is Verdict.UNSCORABLE
            continue
        expected = slow.mathvista(answer, kind, choices, precision, response)
        assert grading.correct is expected, (answer, kind, choices, precision, response, grading)
        found[kind, expected] = found.get((kind, expected), 0) + 1
    assert min(found[kind, right] for kind in ("choice", "integer", "float", "text") for right in (True, False)) > 5


def test_the_phrase_is_the_official_pattern():
    """On every line that three pieces make, with the full stop that the pattern demands."""
    pieces = ['The answer is "', '".', "x", '"', "\n", "The answer is "]
    for a in pieces:
        for b in pieces:
            for c in pieces:
                for d in pieces:
                    text = a + b + c + d
                    official = re.search(r'The answer is "(.*)"\.', text) or re.search(r'The answer is "(.*)"', text)
                    assert phrase(text) == (official and official.group(1))


@pytest.mark.parametrize("piece", ['The answer is "', 'The answer is "x', '".', '"', "\n"])
def test_the_phrase_takes_linear_time(piece):
    """The official pattern takes minutes on the first of these."""
    start = time.process_time()
    phrase(piece * (1_000_000 // len(piece)))
    assert time.process_time() - start < 1
