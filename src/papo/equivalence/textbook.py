r"""What textbooks write and the tokens do not know: \{x | x > 3\}, \mathbb{R}, 0.\overline{3}."""

from __future__ import annotations

import re

REAL = r"\\mathbb\s*+(?:\{\s*+R\s*+\}|R(?![A-Za-z]))"
SET = re.compile(
    rf"[\s$]*+\\\{{\s*+([a-z])\s*+(?:\\in\s*+{REAL}\s*+)?(?:\\mid(?![A-Za-z])|\||:)"
    r"((?=[^|]*(?:[<>]|\\[lg]e|\\ne))(?:[^\\]|\\(?![{}]))*+)\\\}[\s$.]*+"
)
REALS = re.compile(rf"{REAL}(?!\s*+(?:[\^_*]|\\setminus|\\backslash))")
ALL_REALS = re.compile(r"\s*+(?:\\text\s*+\{)?\s*+all\s+real(?:s|\s+numbers)\s*+\}?\s*+\.?\s*+", re.IGNORECASE)
REPEATING = re.compile(
    r"(?<![0-9.,])([0-9]{0,9})\.([0-9]{0,9})\\(?:overline|dot|bar)\s*+\{\s*+([0-9]{1,9})\s*+\}(?!\s*+(?:[0-9]|\\dot))"
)


def textbook(text: str) -> str:
    r"""An answer's text without these.

    >>> textbook(r"\{x \mid x > 3\}"), textbook(r"x \in \mathbb{R}"), textbook(r"0.1\overline{6}")
    (' x > 3', 'x \\in (-\\infty,\\infty)', '(\\frac{15}{90})')
    """
    found = SET.fullmatch(text)
    if found is not None and re.search(rf"(?<![A-Za-z]){found[1]}(?![A-Za-z])", found[2]):
        text = found[2]
    text = r"(-\infty,\infty)" if ALL_REALS.fullmatch(text) else REALS.sub(r"(-\\infty,\\infty)", text)
    return REPEATING.sub(fraction, text)


def fraction(number: re.Match[str]) -> str:
    """Of a decimal whose last digits repeat: once with them, less what is before them."""
    whole, before, again = number.groups()
    top = int(whole + before + again) - int(whole + before or 0)
    return rf"(\frac{{{top}}}{{{(10 ** len(again) - 1) * 10 ** len(before)}}})"
