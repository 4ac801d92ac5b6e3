"""Our verdict on the cases of another grader's own tests: python experiments/grading_oracle/run.py FOLDER [--all]

FOLDER holds that project's test files, which are only read: every list of (gold, prediction, verdict) that a test is
parametrized with. What stands around an answer is dropped first, because here a box or a column has done so.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

from papo.rewards.extraction import last_boxed
from papo.rewards.grading.math import grade
from papo.types import Item

NAMES = (("gold", "pred", "expected"), ("gold", "pred", "result"))
SPAN = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)
BEHIND = re.compile(r"\.? (?:I hope it is correct|<\|im_start\|>).*", re.DOTALL)
LAST = re.compile(r"(?:is|are|:)\s+(\\?\$?-?[0-9][0-9.,/]*%?|\$[^$]+\$)(?:\s+[a-z]+(?: ago)?)?\s*\.?\Z")
SENTENCE = re.compile(r"[.!?]\s+(?=[A-Z])")
WORDS = re.compile(r"[A-Za-z']{2,}")
FORMULA = re.compile(r"[=\\{}]")
NUMBER = re.compile(r"(?<![\w.,])[0-9]+(?:[.,][0-9]+)*(?:%|€|m²| \$)?(?!\w)")
BEFORE = re.compile(r".*(?:answer is|answer:|correct:)\s*", re.DOTALL | re.IGNORECASE)


def cases(folder: Path) -> Iterator[tuple[str, str, str, bool]]:
    """(where, gold, prediction, verdict) of each case that names all three."""
    for path in sorted(folder.rglob("test_*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "parametrize"):
                continue
            names = tuple(name.strip() for name in ast.literal_eval(call.args[0]).split(","))
            wanted = next((of for of in NAMES if set(of) <= set(names)), None)
            if wanted is None or not isinstance(call.args[1], ast.List):
                continue
            for element in call.args[1].elts:
                try:
                    values = dict(zip(names, ast.literal_eval(element), strict=True))
                except (ValueError, SyntaxError):  # computed values are no plain case
                    continue
                gold, prediction, verdict = (values[name] for name in wanted)
                if isinstance(gold, str) and isinstance(prediction, str):
                    yield f"{path.name}:{element.lineno}", gold, prediction, bool(verdict)


def answer(text: str) -> str:
    """The answer that a text ends with: its box, its formula, the last number of its last sentence, or all of it."""
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    text = BEHIND.sub("", text).strip()
    if (last := LAST.search(text)) is not None and " " in text:
        return last[1].rstrip(".,")
    spans = [next(part for part in found if part) for found in SPAN.findall(text)]
    outside = SPAN.sub("", text)
    if spans and len(re.findall(r"[A-Za-z]{2,}", outside)) <= 12:
        return spans[-1] if len(spans) == 1 or re.search(r"[A-Za-z]", outside) else ", ".join(spans)
    *_, sentence = SENTENCE.split(outside)
    numbers = NUMBER.findall(sentence) if WORDS.search(sentence) and not FORMULA.search(sentence) else ()
    return numbers[-1] if numbers else BEFORE.sub("", text).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="the cases that agree, too")
    options = parser.parse_args()
    counts = {"agree": 0, "missed": 0, "let through": 0}
    for where, gold, prediction, verdict in cases(options.folder):
        item = Item("", "", (), answer(gold), "text")
        ours = grade(item, f"\\boxed{{{answer(prediction)}}}").correct
        kind = "agree" if ours is verdict else "missed" if verdict else "let through"
        counts[kind] += 1
        if kind != "agree" or options.all:
            print(f"{kind:12}{where:28}{answer(gold)!r:.100}  |  {answer(prediction)!r:.100}")
    print(counts, "of", sum(counts.values()))


if __name__ == "__main__":
    main()
