"""Reading the final answer out of what a policy wrote."""

from __future__ import annotations

import re

BOX = "\\boxed{"
# A box that opens; pairs of plain braces with nothing but text between, which change nothing; runs of braces.
RUN = re.compile(r"\\boxed\{|(?:\{[^{}]*+\})++|\{+|\}+")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None where there is none.

    One pass over the text, a run of braces at a time, so nothing that a policy writes makes it slow.

    >>> last_boxed(r"so \boxed{4} or rather \boxed{\frac{1}{2}} and \boxed{unfinished")
    '\\frac{1}{2}'
    """
    if BOX not in text:
        return None
    answer: tuple[int, int] | None = None  # where it lies; cut out once, or nested boxes would be copied over and over
    depth = 0  # open braces
    opened: list[tuple[int, int]] = []  # of each open box: the depth outside and where its content begins
    for run in RUN.finditer(text):
        start, end = run.span()
        if text[start] == "\\":
            opened.append((depth, end))
            depth += 1
        elif text[end - 1] == "{":
            depth += end - start
        elif text[start] == "}":
            left = max(0, depth - (end - start))  # closing braces without an open one are ignored
            # Closing order: an outer box closes after the box inside it and is the later, complete answer.
            while opened and opened[-1][0] >= left:
                outside, begin = opened.pop()
                answer = (begin, start + depth - outside - 1)
            depth = left
    return None if answer is None else text[slice(*answer)].strip()
