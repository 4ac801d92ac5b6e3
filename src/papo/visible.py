"""Text of data and models, on its way to a reader: shortened, and what would hide or act in it made visible."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SHORT = 500  # characters, of an answer, a reason, a name or a table's cell

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


def line(text: str, limit: int = SHORT) -> str:
    r"""The same on a line of its own, for a terminal or a table: what ends a line is visible too.

    >>> line("a\x1b[2J\nb")
    'a␛[2J␊b'
    """
    return shown(text, limit).replace("\n", "␊").replace("\t", "␉")
