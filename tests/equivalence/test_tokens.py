"""How an answer is cut into tokens."""

import pytest

from papo.equivalence.tokens import Unreadable, only_words, tokenise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2x", "number:2 name:x"),
        ("xyz", "name:x name:y name:z"),
        ("2xyz", "number:2 name:x name:y name:z"),
        ("pi", "name:pi"),
        ("2pi", "number:2 name:pi"),
        ("infinity", "name:infty"),
        ("theta", "name:theta"),
        ("a b", "name:a name:b"),
        ("1,234", "number:1234"),
        ("1,234,567.5", "number:1234567.5"),
        ("1,23", "number:1 sign:, number:23"),
        ("1,2345", "number:1 sign:, number:2345"),
        ("(1,234)", "sign:( number:1 sign:, number:234 sign:)"),
        ("[1,234]", "sign:[ number:1 sign:, number:234 sign:]"),
        ("\\{1,234\\}", "sign:\\{ number:1 sign:, number:234 sign:\\}"),
        ("(1)1,234", "sign:( number:1 sign:) number:1234"),
        ("x,1,234", "name:x sign:, number:1 sign:, number:234"),
        ("x, 1,234", "name:x sign:, number:1234"),
        ("1e5", "number:1e5"),
        ("1e", "number:1 name:e"),
        ("2e5.5", "number:2 name:e number:5.5"),
        ("5.", "number:5"),
        ("x**2<=3>=4==5", "name:x sign:^ number:2 sign:≤ number:3 sign:≥ number:4 sign:= number:5"),
        ("x_1+x_{12}", "name:x_1 sign:+ name:x_12"),
        ("\\log_{2}8", "function:log_2 number:8"),
        ("2_1", None),
        ("\N{FULLWIDTH DIGIT SEVEN}", "number:7"),
        ("5 cm", "number:5 unit:cm"),
        ("5cm", "number:5 unit:cm"),
        ("xcm", "name:x name:c name:m"),
        ("cm 5", "name:c name:m number:5"),
        ("5 m", "number:5 name:m"),
        ("5 apples", "number:5 unit:apples"),
        ("5apples", "number:5 opaque:?apples"),
        ("apples 5", "opaque:?apples number:5"),
        ("5 million", "number:5 opaque:?million"),
        ("5\\text{ cm}^2", "number:5 unit:cm sign:^ number:2"),
        ("5\\text{cm^2}", "number:5 unit:cm^2"),
        ("5\\text{cm3}", "number:5 unit:cm3"),
        ("5\\mathrm{m/s^2}", "number:5 unit:m/s^2"),
        ("5\\text{m}", "number:5 unit:m"),
        ("5\\text{k}", "number:5 name:k"),
        ("5\\mathrm{i}", "number:5 name:i"),
        ("5\\text{ squared}", "number:5 opaque:?squared"),
        ("5 squared", "number:5 opaque:?squared"),
        ("5\\text{ more than 2}", "number:5 opaque:?more than 2"),
        ("5Ω", "number:5 unit:Ω"),
        ("5 kΩ", "number:5 unit:kΩ"),
        ("5 pct", "number:5 sign:%"),
        ("5 != 6", "number:5 sign:≠ number:6"),
        ("5!=6", "number:5 sign:! sign:= number:6"),
        ("5\\ne 6\\approx 7", "number:5 sign:≠ number:6 sign:≈ number:7"),
        (
            "\\begin{pmatrix}1&2\\\\3&x\\end{pmatrix}",
            "sign:⟦ number:1 sign:& number:2 sign:⏎ number:3 sign:& name:x sign:⟧",
        ),
        ("5\\mathrm{~cm}", "number:5 unit:cm"),
        ("5\\text{ if }", "number:5 opaque:?if"),
        ("5\\text{=}", "number:5 opaque:?="),
        ("5\\text{ percent}", "number:5 sign:%"),
        ("5 percent", "number:5 sign:%"),
        ("\\text{B}", "name:B"),
        ("\\text{Be}", "opaque:?Be"),
        ("1\\text{}", "number:1 unit:"),
        ("\\angle A", "opaque:?angle name:A"),
        ("\\times\\leq", "sign:* sign:≤"),
        ("\\sin x", "function:sin name:x"),
        ("sin(x)", "function:sin sign:( name:x sign:)"),
        ("\\pi\\infty\\alpha", "name:pi name:infty name:alpha"),
        ("5#", None),
        ("5'", None),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", None),
        ("1" * 60, "number:" + "1" * 60),
        ("1" * 61, None),
        ("1e400", "number:1e400"),
        ("1e-401", None),
        ("1e100000", None),
        ("", ""),
    ],
)
def test_table(text, expected):
    if expected is None:
        with pytest.raises(Unreadable):
            tokenise(text)
    else:
        assert " ".join(f"{token.kind}:{token.text}" for token in tokenise(text)) == expected


@pytest.mark.parametrize(
    ("text", "letters", "spaced"),
    [
        ("3mg", True, False),
        ("3 mg", True, True),
        ("\\frac{1}{2} mg", True, True),
        ("3\\text{ mg}", False, False),
        ("3 apples", False, False),
    ],
)
def test_of_which_units_the_letters_are_written_as_variables(text, letters, spaced):
    unit = tokenise(text)[-1]
    assert (unit.kind, unit.letters, unit.spaced) == ("unit", letters, spaced)


def test_only_so_long():
    assert len(tokenise("+" * 400)) == 400
    for text in ("+" * 401, " " * 1000 + "1", "x_{" + "1" * 1000 + "}"):
        with pytest.raises(Unreadable):
            tokenise(text)


@pytest.mark.parametrize("text", ["cat", "AB", "cat, dog", "(IV)", "I and IV", "on/off", "xy; z"])
def test_words_alone(text):
    assert only_words(text)


@pytest.mark.parametrize(
    "text", ["x", "x, y", "(a)(b)", "sin(x)", "pi", "alpha, beta", "ab + c", "2ab", "\\text{cat}", ""]
)
def test_formulas_are_no_words(text):
    assert not only_words(text)
