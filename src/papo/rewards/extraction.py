"""Reading the final answer out of what a policy wrote."""

from __future__ import annotations

import re

PIECE = re.compile(r"\\boxed\{|[{}]")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None where there is none.

    One pass over the text, so nothing that a policy writes makes it slow.

    >>> last_boxed(r"so \boxed{4} or rather \boxed{\frac{1}{2}} and \boxed{unfinished")
    '\\frac{1}{2}'
    """
    answer: tuple[int, int] | None = None  # where it lies; cut out once, or nested boxes would be copied over and over
    opened: list[int | None] = []  # for each open brace the start of the box content, None for a plain brace
    for piece in PIECE.finditer(text):
        if piece[0] == "}":
            start = opened.pop() if opened else None
            # Closing order: an outer box closes after the box inside it and is the later, complete answer.
            if start is not None:
                answer = (start, piece.start())
        else:
            opened.append(None if piece[0] == "{" else piece.end())
    return None if answer is None else text[slice(*answer)].strip()
