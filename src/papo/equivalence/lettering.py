r"""One spelling of what LaTeX writes in several ways: \vec a, \vec{a}; \angle{ABC}, \angle CBA; f^{\prime}; \varphi."""

from __future__ import annotations

import re

ACCENT = re.compile(r"\\(vec|bar|overline|hat|widehat|dot|ddot|tilde|overrightarrow)(?![A-Za-z])\s*+([A-Za-z0-9])")
NAMED = re.compile(r"\\(angle|triangle|odot|parallel|perp|cong|sim)\s*+\{\s*+([A-Za-z0-9]{1,8})\s*+\}")
ANGLE = re.compile(r"\\angle\s*+([A-Z])\s?([A-Z])\s?([A-Z])(?![A-Za-z_'])")
PRIME = re.compile(r"\^\s*+(?:\\prime(?![A-Za-z])|\{\s*+((?:\\prime\s*+){1,3}+)\})")
VARIANT = re.compile(r"\\var(?=(?:phi|epsilon|theta)(?![A-Za-z]))")
MU = re.compile(r"(?<![A-Za-zμ])μ(?![A-Za-zμ])")  # no prefix of a unit
ONE = re.compile(r"([_^])\s*+\{\s*+([^{}\\\s])\s*+\}(?![0-9])")


def one_spelling(text: str) -> str:
    r"""Accents on a letter, names of figures, primes and Greek letters as they are most often written.

    >>> one_spelling(r"\vec a + \angle{CBA} + f^{\prime\prime}(\varphi)")
    "\\vec{a} + \\angle ABC + f''(\\phi)"
    """
    text = NAMED.sub(r"\\\1 \2", ACCENT.sub(r"\\\1{\2}", text))
    text = ANGLE.sub(lambda found: "\\angle " + "".join(min(found.groups(), found.groups()[::-1])), text)
    text = PRIME.sub(lambda found: "'" * (found[1] or "p").count("p"), text)
    return MU.sub(r"\\mu ", VARIANT.sub(r"\\", text).replace("\\rightarrow", "\\to"))


def without_braces(text: str) -> str:
    r"""A power or an index of one sign without its braces: Na^{+}, \log_{a} b, C_{n}^{2}."""
    return ONE.sub(r"\1\2", text)
