"""Untrusted text on its way into a page: shortened and made visible. Templates escape it; nothing else touches it."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from functools import lru_cache
from typing import Any

from markupsafe import Markup

# A page is read by people; what goes beyond is counted and left to results.json.
LONG = 20_000  # characters, of a response or a question
SHORT = 500  # characters, of an answer, a reason, a name or a table's cell
MAX_TOKENS = 5_000  # of a response

_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e]")
_JOINERS = "\u200c\u200d"  # invisible, but scripts and emoji need them


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: NUL is the three letters in one glyph
    kind = unicodedata.category(character)
    hidden = kind in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
    return f"⟨U+{code:04X}⟩" if hidden or code & 0xFFFE == 0xFFFE else character


def visible(text: str) -> str:
    r"""The text with every character that hides, reorders or breaks what is around it replaced by its name.

    Those are control characters but for line feed and tab, text direction marks, zero-width characters, separators
    that scripts take for line ends, lone surrogates and non-characters.

    >>> visible("a\x00b\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return _UNPRINTABLE.sub(lambda match: _shown(match[0]), text)


def shown(text: str, limit: int = SHORT) -> str:
    """Visible, and cut off after `limit` characters with a note that says so."""
    rest = len(text) - limit
    return visible(text[:limit]) + (f" … [{rest:,} more characters]" if rest > 0 else "")


def number(value: float | None, digits: int = 4) -> float | None:
    """Rounded to so many significant digits; None for what is no finite number."""
    return float(f"{value:.{digits}g}") if value is not None and math.isfinite(value) else None


def json_block(value: Any) -> Markup:
    """JSON for a <script> block: ASCII without <, > and &, so nothing in it can end the block or open a comment.

    >>> json_block("</script>")
    Markup('"\\\\u003c/script\\\\u003e"')
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
