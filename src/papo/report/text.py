"""Numbers and JSON on their way into a page, and how much of a text it shows (papo.visible); templates escape it."""

from __future__ import annotations

import json
import math
from typing import Any

from markupsafe import Markup

# A page is read by people; what goes beyond is counted and left to results.json.
LONG = 20_000  # characters, of a response or a question
MAX_TOKENS = 5_000  # of a response


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
