"""Reading the final answer out of what a policy wrote."""

from __future__ import annotations

BOX = "\\boxed{"


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None where there is none.

    One pass over the text, so nothing that a policy writes makes it slow.

    >>> last_boxed(r"so \boxed{4} or rather \boxed{\frac{1}{2}} and \boxed{unfinished")
    '\\frac{1}{2}'
    """
    answer: str | None = None
    opened: list[int | None] = []  # for each open brace the start of the box content, None for a plain brace
    for i, character in enumerate(text):
        if character == "{":
            opened.append(i + 1 if text.endswith(BOX, 0, i + 1) else None)
        elif character == "}" and opened:
            start = opened.pop()
            # Closing order: an outer box closes after the box inside it and is the later, complete answer.
            if start is not None:
                answer = text[start:i].strip()
    return answer
