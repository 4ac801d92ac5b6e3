r"""Units as LaTeX writes them upright: \mathrm{N\cdot m}, \mathrm{k\Omega}, \mu\text{F}, \text{J/(kg K)}."""

from __future__ import annotations

import re

UPRIGHT = r"\\(?:text|mathrm)\s*+\{"
# A prefix, and the ohm, outside of the unit that they belong to.
MICRO = re.compile(rf"\\mu\s*+({UPRIGHT})\s*+")
OHM = re.compile(rf"(?:{UPRIGHT}\s*+([kM])\s*+\}}|(?<=[0-9\s])([kM]))\s*+\\Omega(?![A-Za-z])")
GREEK = re.compile(r"\\(mu|Omega)(?![A-Za-z])\s*+")
PRODUCT = re.compile(r"\s*+(?:\\cdot(?![A-Za-z])|\\times(?![A-Za-z]))\s*+")
DIVISOR = re.compile(r"/\s*+\(([^()]{1,20})\)")  # all that stands behind a / divides
DEGREES = re.compile(r"\{\}(?=°)|(?<=°)\s++(?=[CF])")


def outside(text: str) -> str:
    r"""An answer's text with the prefixes of its units inside them.

    >>> outside(r"5\,\mu\text{F}"), outside(r"5\ \text{k}\Omega")
    ('5\\,\\text{μF}', '5\\ \\text{kΩ}')
    """
    return OHM.sub(lambda found: rf"\text{{{found[1] or found[2]}Ω}}", MICRO.sub(r"\1μ", text))


def inside(words: str) -> str:
    r"""What stands in \text{} or \mathrm{}, as plain text.

    >>> inside(r"N\cdot m"), inside(r"k\Omega"), inside(r"J/(kg\cdot K)"), inside("m~s^{-1}")
    ('N·m', 'kΩ', 'J/kg·K', 'm s^{-1}')
    """
    words = GREEK.sub(lambda found: {"mu": "μ", "Omega": "Ω"}[found[1]], PRODUCT.sub("·", words.replace("~", " ")))
    return DIVISOR.sub(r"/\1", DEGREES.sub("", words)).strip()
