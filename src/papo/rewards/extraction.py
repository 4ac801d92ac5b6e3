"""Reading the final answer out of what a policy wrote."""

from __future__ import annotations

import re

from papo.equivalence.signs import WIDE

BOX = "\\boxed"
# What changes nothing: text, commands, backslashes and escaped braces.
TEXT = r"(?:[^{}\\]|\\\\(?!boxed)|\\[{}]|\\(?![{}\\]|boxed))*+"
# A box that opens, a run of opening or of closing braces; or pairs of braces with nothing but text in them, which
# change nothing either. With the text behind them.
RUN = re.compile(
    rf"(?:(\\boxed\s*+\{{)|(?:\{{(?:[^{{}}\\]|\\[\s\S])*+\}}{TEXT})++|(\{{+)|(\}}+)|\\\\(?!boxed)|\\[{{}}]){TEXT}"
)

STYLES = r"(?:boxed|text(?:bf|rm|it|sf|normal)?|math(?:bf|rm|it|sf)|mbox|boldsymbol|bm)"
# What may stand around a whole answer and says nothing.
AROUND = re.compile(
    rf"\$\$?([^$]*+)\$\$?|\\\((.*)\\\)|\\\[(.*)\\\]|\\{STYLES}\s*+\{{([^{{}}]*+)\}}|\*\*([^*]*+)\*\*|\{{([^{{}}]*+)\}}",
    re.DOTALL,
)
DEGREES = re.compile(r"(?:\^\s*+(?:\\circ|\{\s*+\\circ\s*+\})|\\degree|\N{DEGREE SIGN})\Z")
ESCAPED = re.compile(r"\\([%&_#])")
THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:(?:,|\\,|,?\\!|\{,\})[0-9]{3})++(?:\.[0-9]+)?%?")
PLAIN = WIDE | {ord("\N{MINUS SIGN}"): "-"}
LONGEST = 10_000  # characters of an answer that is looked into
WRAPPINGS = 5  # around one another


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None where there is none.

    >>> last_boxed(r"so \boxed{4} or rather \boxed{\frac{1}{2}} and \boxed{unfinished")
    '\\frac{1}{2}'
    """
    span = last_box(text)
    return None if span is None else text[slice(*span)].strip()


def last_box(text: str) -> tuple[int, int] | None:
    r"""Where the content of the last \boxed{...} whose braces balance begins and ends; None where there is none.

    One pass over the text, a run of braces at a time, so nothing that a policy writes makes it slow. Escaped braces,
    \{ and \}, are text.
    """
    first = text.find(BOX)
    if first < 0:
        return None
    answer: tuple[int, int] | None = None  # where it lies; cut out once, or nested boxes would be copied over and over
    depth = 0  # open braces
    box, opening, closing = 1, 2, 3  # groups of RUN
    opened: list[tuple[int, int]] = []  # of each open box: the depth outside and where its content begins
    for run in RUN.finditer(text, first):  # braces before it change nothing
        if run.lastindex == box:
            opened.append((depth, run.end(box)))
            depth += 1
        elif run.lastindex == opening:
            depth += len(run[opening])
        elif run.lastindex == closing:
            left = max(0, depth - len(run[closing]))  # closing braces without an open one are ignored
            # Closing order: an outer box closes after the box inside it and is the later, complete answer.
            while opened and opened[-1][0] >= left:
                outside, begin = opened.pop()
                answer = (begin, run.start() + depth - outside - 1)
            depth = left
    return answer


def stated(solution: str) -> str:
    r"""The answer that a data set's solution ends in: in its last <answer>, behind its last ####, in its last \boxed{}.

    >>> texts = ("<think> 1 + 2 </think> <answer> 3 </answer>", "1 + 2 = 3 #### 3", r"so \boxed{3}.", " 3")
    >>> [stated(text) for text in texts]
    ['3', '3', '3', '3']
    """
    before, closed, _ = solution.rpartition("</answer>")
    if closed:
        solution = before.rpartition("<answer>")[2]
    solution = solution.rpartition("####")[2]
    boxed = last_boxed(solution)
    return solution.strip() if boxed is None else boxed


def unwrapped(answer: str) -> str:
    r"""An answer without what a box holds beside it: dollars, \text{}, bold face, degrees, thousands, the final stop.
    Digits, letters and signs of full width are plain ones, and so is the minus sign.

    What a policy puts into the box that our prompts ask for, in the form in which the data sets' own rules expect it.

    >>> [unwrapped(text) for text in (r"\text{Blue}.", "$5$", r"20\%", "1,000", r"3.5^\circ", r"\$5", "(B)")]
    ['Blue', '5', '20%', '1000', '3.5', '5', '(B)']
    """
    if len(answer) > LONGEST:
        return answer
    answer = answer.translate(PLAIN)
    for _ in range(WRAPPINGS):
        before, answer = answer, answer.strip()
        around = AROUND.fullmatch(answer)
        if around is not None:
            answer = next(group for group in around.groups() if group is not None)
        answer = DEGREES.sub("", ESCAPED.sub(r"\1", answer).removesuffix(".").rstrip())
        answer = answer.removeprefix("\\$").removeprefix("$") if answer[-1:] != "$" else answer
        if answer == before:
            break
    return re.sub(r"\\[,!]|[{},]", "", answer) if THOUSANDS.fullmatch(answer) else answer
