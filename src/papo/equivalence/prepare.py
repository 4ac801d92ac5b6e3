r"""Two forms of an answer's text: what is compared letter by letter, and what the tokens are cut from.

Every pattern reads each character a bounded number of times: answers may be a megabyte long.
"""

from __future__ import annotations

import re

from papo.equivalence.lettering import one_spelling, without_braces
from papo.equivalence.signs import SIGN
from papo.equivalence.textbook import textbook
from papo.equivalence.upright import outside

SPACING = re.compile(r"\\(?:[,;:! ]|(?:q?quad|displaystyle|textstyle|limits)(?![a-zA-Z]))|~|\\\n|\{\}(?=\s*+\^)")
SIZING = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\.?")
DELIMITER = re.compile(r"\\?\$|\\[()\[\]]")
# One formula behind another, $1$ $-1$: two answers. What is no number or sign may as well belong to the first.
SECOND = re.compile(r"\$\s++\$++(?=[-+]?[0-9(\\.](?!text|mathrm|,|;|!|\s))")
STYLE = re.compile(
    r"\\(?:math(?:bf|it|sf|bb|cal|normal)|boldsymbol|bm|boxed|mathop|operatorname|num(?:ber)?)(?![a-zA-Z])"
)
TEXT = re.compile(r"\\(?:text(?:bf|rm|it|sf|normal)?|mathrm|mbox|rm)\s*+\{([^{}]*)\}")
NUMBER = re.compile(r"\\(?:text(?:bf|rm)?|mathrm|mbox)\s*+\{\s*+([0-9][0-9.]*+)\s*+\}")
SEPARATOR = r"(?:,?\\[,!;:]|\{\s*+,\s*+\})"
# 1\,000, 1{,}000, 1 {, }000 and 1,\!000
GROUPED = re.compile(rf"(?<=[0-9])(?:\s*+(?=\{{))?(?:{SEPARATOR}\s*+)++(?=[0-9]{{3}}(?![0-9]))")
THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})++(?![0-9])")  # 10 000
DIGITS_APART = re.compile(r"(?<=[0-9.])\s++(?=[0-9.])")
SHORT_FRACTION = re.compile(r"\\frac\s*+([0-9])\s*+([0-9])")
FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
DEGREES = re.compile(
    r"\^\s*+(?:\{\s*+\\circ\s*+\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])|(?<=[0-9])\^(?:o(?![a-zA-Z])|\{o\})"
)
JOINING = re.compile(
    r"(?:,\s*+)?(?:\\text\s*+\{\s*+(or|and)\s*+\}|(?<=\s)(or|and)(?=\s))|(?<=[)\]}])\s*+(or|and)\s*+(?=[(\[{\\])"
)
# 3:30 p.m., with or without its dots and \text{}.
TIME = re.compile(
    r"(?<![0-9:])([0-9]{1,2}:[0-9]{2})\s*+(?:\\(?:text|mathrm)\s*+\{\s*+)?([AaPp])\.?\s?[Mm](?![A-Za-z])\.?(?:\s*+\})?"
)
INEQUALITY = re.compile(r"[<>]|\\(?:[lg](?:e|eq|eqslant|t)|neq?)(?![a-zA-Z])")
OPENING = re.compile(r"\s*+(?:=|\\approx|\\therefore)(?![a-zA-Z])\s*+")
# 7 (cm): a unit, which a single letter need not be; (ab)^2 is none.
UPRIGHT = r"\\(?:text|mathrm)\s*+\{[^{}]{1,20}\}"
IN_BRACKETS = re.compile(
    rf"(?<=[0-9])\s*+\(\s*+((?:{UPRIGHT}|mm|cm|dm|km|kg|mg|ml|mL|sq cm)(?:\^\{{?[23]\}}?)?)\s*+\)(?!\s*+[\^!])"
)
RAISED, LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "₀₁₂₃₄₅₆₇₈₉"
SUPERSCRIPT, SUBSCRIPT = re.compile(f"[{RAISED}]++"), re.compile(f"[{LOWERED}]++")
RAISED_ZERO = re.compile(f"(?<=[0-9])⁰(?![{RAISED}])")  # 60⁰: nobody writes 1 so
LEVEL = str.maketrans(RAISED + LOWERED, "0123456789-0123456789")
ESCAPED = re.compile(r"\\\\(?=[a-zA-Z{}()\[\]])")  # a backslash that was written twice
MATRIX = re.compile(r"\\begin\{(?:[bp]?matrix\}|array\}\s*+(?:\{[^{}]*\})?)")
MATRIX_END = re.compile(r"\\end\{(?:[bp]?matrix|array)\}")


def levelled(text: str) -> str:
    """10¹² as 10^{12}, x₁ as x_1."""
    text = RAISED_ZERO.sub("°", text)
    text = SUPERSCRIPT.sub(lambda found: "^" + braced(found[0].translate(LEVEL)), text)
    return SUBSCRIPT.sub(lambda found: "_" + braced(found[0].translate(LEVEL)), text)


def braced(digits: str) -> str:
    return digits if len(digits) == 1 else f"{{{digits}}}"


def plain(text: str) -> str:
    r"""Without what does not show or does not matter: dollar signs, spacing, sizing, styles, \text, the final stop.

    >>> plain(r"$\text{the  triangle } \left( ABC \right)$.")
    'thetriangle(ABC)'
    """
    text = one_spelling(levelled(text).translate(SIGN))
    text = THOUSANDS.sub(joined, GROUPED.sub("", without_braces(text)))
    text = text.replace("\\varnothing", "\\emptyset")
    text = DELIMITER.sub(" ", STYLE.sub("", SIZING.sub("", SPACING.sub(" ", text))))
    text = FRACTION.sub(r"\\frac", TEXT.sub(r"\1", DEGREES.sub(r"^{\\circ}", text)))
    text = " ".join("".join(part.split()) for part in DIGITS_APART.split(text)).strip(" ").rstrip(".")
    return text[1:-1] if len(text) == 3 and text[0] + text[2] == "{}" else text  # \mathbb{R}


def joined(number: re.Match[str]) -> str:
    return number[0].replace(" ", "")


def rows(text: str) -> str:
    r"""A matrix between ⟦ and ⟧, its rows apart by ⏎; elsewhere \\\\ is a backslash too many."""
    if MATRIX.search(text) is None:
        return ESCAPED.sub(r"\\", text)
    return MATRIX_END.sub("⟧", MATRIX.sub("⟦", text)).replace("\\\\", "⏎")


def prepared(text: str) -> str:
    r"""What the tokens are cut from: one sign for each thing, ° for degrees, a comma for "or" and "and".

    Between inequalities these two are not the same, and stay behind their comma.

    >>> prepared(r"$x = 1\,000$ or $\dfrac12^\circ$.")
    'x = 1000 , \\frac{1}{2}°'
    """
    text = one_spelling(outside(rows(levelled(text))).translate(SIGN))
    text = THOUSANDS.sub(joined, GROUPED.sub("", SECOND.sub(" , ", text)))
    text = textbook(SIZING.sub("", SPACING.sub(" ", text)))
    text = DELIMITER.sub(" ", STYLE.sub("", text))
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", FRACTION.sub(r"\\frac", NUMBER.sub(r"\1", text)))
    text = IN_BRACKETS.sub(r" \1 ", OPENING.sub("", text) if OPENING.match(text) else text)
    apart = INEQUALITY.search(text) is not None
    text = DEGREES.sub("°", text).replace("\\%", "%")
    text = TIME.sub(lambda found: f"{found[1]}\\text{{{found[2].lower()}m}}", text)
    text = JOINING.sub(lambda found: "," + f"{found[found.lastindex]} " * apart, text)
    return " ".join(text.split()).rstrip(".,; ")
