r"""Two forms of an answer's text: what is compared letter by letter, and what the tokens are cut from.

Every pattern reads each character a bounded number of times: answers may be a megabyte long.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import re

SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "∕": "/",
    "√": r"\sqrt ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "∈": r"\in ", "∪": r"\cup ", "±": r"\pm ", "∓": r"\mp ", "°": r"^{\circ}",
    "º": r"^{\circ}", "˚": r"^{\circ}", "′": "'", "²": "^2", "³": "^3", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "，": ",", "；": ";", "：": ":", "（": "(", "）": ")", "％": "%", "＝": "=", "θ": r"\theta ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "∠": r"\angle ", "△": r"\triangle ", "\xa0": " ", "。": ".",
}  # fmt: skip
SIGN = str.maketrans(SIGNS)

SPACING = re.compile(r"\\(?:[,;:! ]|(?:q?quad|displaystyle|textstyle|limits)(?![a-zA-Z]))|~|\\\n")
SIZING = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])")
DELIMITER = re.compile(r"\\?\$|\\[()\[\]]")
STYLE = re.compile(r"\\(?:math(?:bf|it|sf|bb|cal|normal)|boldsymbol|bm|boxed|mathop|operatorname)(?![a-zA-Z])")
TEXT = re.compile(r"\\(?:text(?:bf|rm|it|sf|normal)?|mathrm|mbox|rm)\s*+\{([^{}]*)\}")
GROUPED = re.compile(r"(?<=[0-9])(?:\\,|\\!|\{,\})++(?=[0-9]{3}(?![0-9]))")  # 1\,000 and 1{,}000
SHORT_FRACTION = re.compile(r"\\frac\s*+([0-9])\s*+([0-9])")
FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
DEGREES = re.compile(r"\^\s*+(?:\{\s*+\\circ\s*+\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])")
JOINING = re.compile(r"\\text\s*+\{\s*+(?:or|and)\s*+\}|(?<=\s)(?:or|and)(?=\s)")


def plain(text: str) -> str:
    r"""Without what does not show or does not matter: dollar signs, spacing, sizing, styles, \text, the final stop.

    >>> plain(r"$\text{the  triangle } \left( ABC \right)$.")
    'thetriangle(ABC)'
    """
    text = DELIMITER.sub("", STYLE.sub("", SIZING.sub("", SPACING.sub(" ", text.translate(SIGN)))))
    text = FRACTION.sub(r"\\frac", TEXT.sub(r"\1", DEGREES.sub(r"^{\\circ}", text)))
    return "".join(text.split()).rstrip(".")


def prepared(text: str) -> str:
    r"""What the tokens are cut from: one sign for each thing, ° for degrees, a comma for "or" and "and".

    >>> prepared(r"$x = 1\,000$ or $\dfrac12^\circ$.")
    'x = 1000 , \\frac{1}{2}°'
    """
    text = GROUPED.sub("", text.translate(SIGN))
    text = DELIMITER.sub("", STYLE.sub("", SIZING.sub("", SPACING.sub(" ", text))))
    text = SHORT_FRACTION.sub(r"\\frac{\1}{\2}", FRACTION.sub(r"\\frac", text))
    return JOINING.sub(",", DEGREES.sub("°", text).replace("\\%", "%")).strip().rstrip(".,;").strip()
