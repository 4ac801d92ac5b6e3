# ruff: noqa: E501
"""Values of expressions, against Python's own arithmetic."""

import math
import sys
from fractions import Fraction

import pytest

from papo.equivalence.numbers import variable
from papo.equivalence.parser import Parser
from papo.equivalence.tokens import Unreadable, tokenise
from papo.equivalence.units import unit

X, Y = variable("x"), variable("y")


def value(text, sign=1):
    return Parser(tokenise(text), sign).read()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("[1+2]*3", 9),
        ("{1+2}*3", 9),
        ("2-3-4", -5),
        ("8/4/2", 1),
        ("1/2\\pi", math.pi / 2),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^{-1}", Fraction(1, 2)),
        ("2*-3", -6),
        ("6/-3", -2),
        ("-+-2", 2),
        ("3!", 6),
        ("0!", 1),
        ("2^3!", 64),
        ("|1-4|2", None),
        ("|1-4|", 3),
        ("\\frac{1}{2}", Fraction(1, 2)),
        ("\\frac{1}{\\frac{1}{2}}", 2),
        ("\\sqrt{16}", 4),
        ("\\sqrt[3]{-27}", -3),
        ("\\sqrt 16", 4),
        ("2\\frac{1}{3}", Fraction(7, 3)),
        ("2 1/3", Fraction(7, 3)),
        ("2\\frac{3}{3}", 2),
        ("2\\frac{4}{3}", Fraction(8, 3)),
        ("2.0\\frac{1}{2}", 1),  # a decimal number has no fraction behind it: a product
        ("2\\frac{1.5}{3}", 1),
        ("\\frac{1}{2}\\frac{1}{3}", Fraction(1, 6)),
        ("3^2\\frac{1}{2}", Fraction(9, 2)),
        ("\\sin(\\pi/6)", 0.5),
        ("\\sin 30°", 0.5),
        ("\\cos\\frac{\\pi}{3}", 0.5),
        ("\\tan 45^\\circ", 1),
        ("\\cot 45^\\circ", 1),
        ("\\sec 60^\\circ", 2),
        ("\\csc 30^\\circ", 2),
        ("\\sin -30°", -0.5),
        ("\\sin^2 30°", 0.25),
        ("\\sin^{-1} 1", math.pi / 2),
        ("\\arctan 1", math.pi / 4),
        ("2\\sin 30° \\cos 60°", 0.5),
        ("30° + \\sin 30°", 30.5),
        ("\\sin 30° + 30°", 30.5),
        ("\\ln e", 1),
        ("\\log 1000", 3),
        ("\\lg 1000", 3),
        ("\\log_2 8", 3),
        ("\\log_e e", 1),
        ("\\exp(0)", 1),
        ("abs(-2)", 2),
        ("\\sinh 0 + \\cosh 0 + \\tanh 0", 1),
        ("1.5e2", 150),
        ("20%", 20),
        ("5 cm", 5),
        ("5 km/h", 5),
        ("5\\text{ m}^{-2}", 5),
        ("5 square cm", 5),
    ],
)
def test_numbers(text, expected):
    if expected is None:
        with pytest.raises(Unreadable):
            value(text)
    else:
        assert value(text) == pytest.approx([expected] * len(X), rel=1e-14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2x", lambda x, y: 2 * x),
        ("xy", lambda x, y: x * y),
        ("2xy", lambda x, y: 2 * x * y),
        ("x(x+y)", lambda x, y: x * (x + y)),
        ("(x+1)(y-1)", lambda x, y: (x + 1) * (y - 1)),
        ("x^2y", lambda x, y: x * x * y),
        ("x/2y", lambda x, y: x / 2 * y),
        ("\\frac{x}{y}x", lambda x, y: x / y * x),
        ("\\sqrt{x^2}", lambda x, y: abs(x)),
        ("\\sin 2x", lambda x, y: math.sin(2 * x)),
        ("\\sin(x)y", lambda x, y: math.sin(x) * y),
        ("\\sin x + y", lambda x, y: math.sin(x) + y),
        ("\\sin x \\cos y", lambda x, y: math.sin(x) * math.cos(y)),
        ("\\sin^2 x", lambda x, y: math.sin(x) ** 2),
        ("2^x", lambda x, y: 2 ** float(x)),
        ("|x|y", lambda x, y: abs(x) * y),
        ("|x|*y", lambda x, y: abs(x) * y),
    ],
)
def test_formulas(text, expected):
    if expected is None:
        with pytest.raises(Unreadable):
            value(text)
    else:
        wanted = [float(expected(x, y)) for x, y in zip(X, Y, strict=True)]
        assert [float(sample) for sample in value(text)] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "1+", "1*", "*1", "^2", "2^", "(1", "1)", "(1]", "{1)", "|1", "\\frac{1}", "\\frac", "\\sqrt", "\\sqrt[3", "()",
        "1 2", "2(3)4", "(2)3", "1=1", "1,2", "20%+1", "\\sin", "\\sin^{-1", "\\ln^{-1} x", "\\ln_2 x", "5 cm^4", "5 cm/",
        "5 km/2", "5\\text{ if }x", "2\\text{m}+1", "2 cm + 1 cm", "5 cm*3", "\\frac{5 cm}{2}", "5 cm x", "\\angle x", "1:2", "!", "°",
    ],
)  # fmt: skip
def test_unreadable(text):
    with pytest.raises(Unreadable):
        value(text)


@pytest.mark.parametrize(
    "text",
    ["1/0", "\\sqrt{-1}", "\\ln 0", "\\arcsin 2", "171!", "(-1)!", "1.5!", "9^{9^9}", "\\log_1 2", "\\log_0 2", "\\log_{²} 2",
     "\\log_{x} 2", "0^{-1}", "\\sqrt[0]{2}", "e^{1000}", "1e400", "\\tan(1/0)"],
)  # fmt: skip
def test_undefined(text):
    assert value(text) == (None,) * len(X)


def test_both_signs():
    assert value("1±2", 1)[0] == value("3")[0]
    assert value("1±2", -1)[0] == value("-1")[0]
    assert value("\\pm 1 \\mp 2", 1)[0] == value("-1")[0]
    assert value("\\pm 1 \\mp 2", -1)[0] == value("1")[0]


def test_what_else_is_known_of_a_number():
    def read(text):
        parser = Parser(tokenise(text))
        parser.read()
        return parser

    assert read("5 cm").unit == unit("cm")
    for text in ("5 cm^2", "5\\text{ cm}^{2}", "5 square cm", "5\\text{cm}^2", "5\\mathrm{cm^2}"):
        assert read(text).unit == unit("cm^2"), text
    for text in ("5 km/h", "5\\text{ km}/\\text{h}", "5\\text{ km per hour}", "5\\mathrm{km\\,h}^{-1}"):
        assert read(text).unit == unit("km/h"), text
    assert read("5\\mathrm{m}/\\mathrm{s}^2").unit == unit("m/s^2")
    assert read("5\\mathrm{kg}\\cdot\\mathrm{m}").unit == unit("kg m")
    assert read("5 apples").unit is None
    assert read("60°").unit == unit("degree")
    assert read("\\sin 60°").unit is None
    for text in ("60°\\text{C}", "60°C", "60 °C", "60^\\circ\\mathrm{C}", "60℃"):
        assert read(text).unit == unit("°C"), text
    assert read("60°F").unit == unit("°F")
    assert read("20%").percent
    assert not read("20").percent
    assert read("x+2y+\\pi+e").letters == {"x", "y"}
    assert read("2\\mathrm{i}").letters == {"i"}


def test_where_rounding_may_leave_something_of_a_zero():
    def cancels(text):
        parser = Parser(tokenise(text))
        parser.read()
        return parser.cancels

    assert all(map(cancels, ("1-\\pi", "\\sin\\pi", "\\ln 1", "2(\\pi+1)", "1\\pm\\pi")))
    assert not any(map(cancels, ("10^{-20}\\pi", "-\\pi", "\\frac{\\sqrt{2}}{3}x", "|\\pi|")))


@pytest.mark.parametrize(
    "nest", ["({})", "{{{}}}", "-({})", "\\sqrt{{{}}}", "\\sin({})", "2^{{{}}}", "x^{{{}}}", "\\frac{{1}}{{{}}}"]
)
def test_nesting_is_bounded_far_below_pythons(nest):
    text = "1"
    depth = 0
    for depth in range(200):  # noqa: B007
        text = nest.format(text)
        tokens = tokenise(text) if len(text) < 900 else None
        if tokens is None:
            break
        try:
            Parser(tokens).read()
        except Unreadable:
            break
    assert 9 < depth < 40
    limit = sys.getrecursionlimit()
    deepest = len([*iter_frames()])
    try:
        sys.setrecursionlimit(deepest + 320)
        with pytest.raises(Unreadable):
            Parser(tokens).read()
    finally:
        sys.setrecursionlimit(limit)


def iter_frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


@pytest.mark.parametrize(
    "text", ["^2" * 150, "2^" * 150 + "2", "\\sqrt" * 150 + "2", "\\sin" * 150 + "x", "-" * 390 + "1", "(" * 300]
)
def test_chains_do_not_overflow(text):
    try:
        value(text)
    except Unreadable:
        return
    assert text.startswith("-")
