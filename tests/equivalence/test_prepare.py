"""The two forms of an answer's text."""

import time

import pytest

from papo.equivalence.prepare import plain, prepared
from papo.rewards.extraction import unwrapped


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("$7$", "7"),
        ("\\(7\\)", "7"),
        ("\\[7\\]", "7"),
        ("\\$7", "7"),
        ("7.", "7"),
        ("7...", "7"),
        (" a  b\tc\n", "abc"),
        ("a\\,b\\;c\\:d\\!e\\ f~g", "abcdefg"),
        ("a\\quad b\\qquad c", "abc"),
        ("\\quadratic", "\\quadratic"),
        ("\\left(a\\right)\\bigl[b\\Bigr]", "(a)[b]"),
        ("\\leftarrow", "\\leftarrow"),
        ("\\text{yes}", "yes"),
        ("\\mathrm {m}", "m"),
        ("\\textbf{a}\\mbox{b}", "ab"),
        ("\\text{a{b}}", "\\text{a{b}}"),
        ("\\mathbf{x}\\boxed{3}", "{x}{3}"),
        ("\\dfrac{1}{2}", "\\frac{1}{2}"),
        ("60^\\circ", "60^{\\circ}"),
        ("60\N{DEGREE SIGN}", "60^{\\circ}"),
        ("60\\degree", "60^{\\circ}"),
        ("5\N{MINUS SIGN}2", "5-2"),
        ("\N{FULLWIDTH DIGIT FIVE}\N{FULLWIDTH PERCENT SIGN}", "5%"),
        ("A", "A"),
        ("\\displaystyle x", "x"),
        ("\\textstyle x", "x"),
    ],
)
def test_plain(text, form):
    assert plain(text) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1{,}000", "1000"),
        ("1\\,000\\,000", "1000000"),
        ("1\\,00", "1 00"),
        ("1\\,0000", "1 0000"),
        ("\\frac12", "\\frac{1}{2}"),
        ("\\tfrac 1 2", "\\frac{1}{2}"),
        ("\\frac1{2}", "\\frac1{2}"),
        ("60^{ \\circ }", "60\N{DEGREE SIGN}"),
        ("1\\text{ or }2", "1,2"),
        ("1 and 2", "1 , 2"),
        ("x<1 or x>2", "x<1 ,or x>2"),
        ("x\\le 1\\text{ and }x\\ne 0", "x\\le 1,and x\\ne 0"),
        ("for 2", "for 2"),
        ("5\\%", "5%"),
        (" x , ", "x"),
        ("x;", "x"),
        ("x²", "x^2"),
        ("√2", "\\sqrt 2"),
    ],
)
def test_prepared(text, form):
    assert prepared(text) == form


@pytest.mark.parametrize(
    "piece",
    [
        "\\text{",
        "\\text ",
        "\\frac ",
        "\\frac1",
        "^ ",
        "^{ ",
        "^{ \\circ ",
        "\\,",
        "1\\,",
        "{,}",
        "1{,}000",
        "\\left",
        "or ",
        " or",
        ".",
    ],
)
def test_linear(piece):
    """Twice as fast as needed: these bounds are for megabytes, and longer answers than 10,000 characters never come."""
    start = time.process_time()
    plain(piece * (200_000 // len(piece)))
    prepared(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 1


def test_signs_of_full_width_are_plain_ones():
    wide = "".join(chr(0xFEE0 + ord(sign)) for sign in "x+1.5-y%")
    assert prepared(wide) == "x+1.5-y%"
    assert unwrapped(wide) == "x+1.5-y%"
