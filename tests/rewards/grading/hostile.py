# ruff: noqa: E501
"""5,000 answers that break graders elsewhere, and a process that grades them under watch.

python hostile.py FOLDER        prints what happened as JSON; FOLDER must stay empty
"""

import json
import random
import re
import sys
import time
from pathlib import Path

from papo.rewards.grading import Grade, grade
from papo.rewards.reward import formatted

COUNT = 5000
MEGABYTE = 10**6
ITEMS = [
    ("exact", "7", "integer", (), None),
    ("exact", "red", "text", (), None),
    ("exact", "red", "choice", ("blue", "red"), None),
    ("chartqa", "1950", "text", (), None),
    ("chartqa_strict", "57.3%", "text", (), None),
    ("mathvista", "3", "integer", (), None),
    ("mathvista", "1.5", "float", (), 1),
    ("mathvista", "dark red", "choice", ("red", "dark red", "a rather long description of the colour blue"), None),
    ("math", "2\\sqrt{3}", "text", (), None),
    ("math", "x^2+2x+1", "text", (), None),
    ("math", "\\{1, 2, (3, 4)\\}", "text", (), None),
    ("math", "1.25", "text", (), None),
    ("math", "x > 3", "text", (), None),
    ("math", "B", "choice", ("1", "2"), None),
    ("mmmu_pro", "B", "choice", tuple("pqrstuvwxy"), None),
    ("logicvista", "B, D", "choice", (), None),
    ("own_graders.contains", "7", "text", (), None),
]

TOWERS = ["9^9^9^9^9", "9**9**9**9", "9^{9^{9^{9}}}", "2^{2^{2^{2^{2^2}}}}", "(((9^9)^9)^9)^9", "10^{10^{100}}", "99999!", "9!!!!!!",
          "1e999999", "-1E+999999999999", "1e-999999", "2^{-10^{9}}", "\\sqrt[10^9]{2}", "(-8)^{1/999999999}", "0^{-1}", "0^0", "x^{x^{x^x}}",
          "\\tan(\\tan(\\tan(9^9)))", "e^{e^{e^{e}}}", "\\exp(\\exp(1000))", "170!^{170!}", "1/0", "\\frac{0}{0}", "0/(x-x)"]  # fmt: skip
NAMES = [
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "-\\infty",
    "\\infty-\\infty",
    "None",
    "True",
    "null",
    "undefined",
    "1e400",
    "-0.0",
]
CODE = [
    "__import__('os').system('touch {canary}')", "exec(\"open('{canary}','w')\")", "eval('open(\"{canary}\",\"w\")')",
    "().__class__.__bases__[0].__subclasses__()", "open('{canary}', 'w').write('x')", "import os; os.system('touch {canary}')",
    "lambda: (yield)", "f'{{__import__(\"os\").system(\"touch {canary}\")}}'", "`touch {canary}`", "$(touch {canary})",
    "\\write18{{touch {canary}}}", "\\input{{/etc/passwd}}", "\\def\\x{{\\x\\x}}\\x", "<script>alert(1)</script>",
    "'; DROP TABLE items; --", "{{{{7*7}}}}", "%s%s%s%n", "{{0.__class__}}", "\\csname x\\endcsname", "\\newcommand{{\\a}}{{\\a}}\\a",
]  # fmt: skip
SHAPES = [
    "{", "}", "{}", "(", ")", "[", "\\{", "\\boxed{", "\\frac{", "\\frac", "\\sqrt", "\\sqrt{", "\\sqrt[", "\\left(", "\\text{", "\\text{a}",
    "\\sin", "-", "+", "^", "^{", "**", "_", "_{", "|", "!", "%", "°", "\\pm", "1,", "1,000", "1/", "1 ", "x", "xy", "9", "0", ".", "1.", ",",
    ";", ":", "1:", "=", "x=", "<", "x<", "\\le", " ", "\t", "\n", "\\,", "$", "\\$", "\\", "\\\\", "aA", "a", "(a)", "(a+", "Answer:", "Answer: A ",
    'The answer is "', 'The answer is "x', '".', " or ", " and ", "1 or ", "A, ", "BD", "cm ", "5 cm ", "\\text{ cm}^2", "<think>", "</think>",
    "\x00", "\x07\x1b[2J", "\x7f", "\u200b", "\u200d", "\u202e", "\ufeff", "\ud800", "\udfff\ud800", "e\u0301", "\u0300", "\U0001f600",
    "\N{ARABIC-INDIC DIGIT SEVEN}", "\N{FULLWIDTH DIGIT SEVEN}", "\N{SUPERSCRIPT TWO}", "\N{VULGAR FRACTION ONE HALF}", "\N{CIRCLED DIGIT ONE}",
    "\N{ROMAN NUMERAL TWELVE}", "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}", "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "\N{MINUS SIGN}",
    "\\begin{pmatrix}", "\\begin{array}{cc}", "\\end{pmatrix}", "1 & ", "\\\\", "⟦", "⟧", "⏎", "\\approx ", "≈3", "\\ne ", " != ", "kg*m/s^2 ", "m",
    "m/s", "V A ", "°C", "12:30", "\\mathrm{i}", "x=3,", "(A)", "(A), ", "B. ", "\\boxed {", "\\}", "10^{30}\\pi x=", "{}^\\circ", ",\\!234",
    "\\number{", "$1$ ", "f(", "AB=", "AB/CD", "\\text{km per h}", "^{-2}", "5 V", "p=1;", "1 000 ",
    "\N{SQUARE ROOT}", "\N{MATHEMATICAL BOLD DIGIT SEVEN}", "\N{DEVANAGARI DIGIT SEVEN}", "\N{KELVIN SIGN}", "ß",
]  # fmt: skip
WRAPPINGS = [
    "{}",
    "\\boxed{{}}",
    "\\boxed{{}",
    "<think>{}</think>\\boxed{7}",
    "Answer: {}",
    'The answer is "{}".',
    "\\boxed{7}{}",
    "}{}\\boxed{x}",
]


def answers(canary):
    """COUNT answers: some shapes at a megabyte, every one at 30,000 characters, then mixtures of all kinds."""
    generator = random.Random(0)
    texts = [wrapped(generator, shape * (MEGABYTE // len(shape))) for shape in generator.sample(SHAPES, 10)]
    texts += [wrapped(generator, shape * (30_000 // len(shape))) for shape in SHAPES]
    plain = [
        "{" * 10_000 + "7" + "}" * 10_000,
        "\\frac{1}{" * 10_000 + "7" + "}" * 10_000,
        "(" * 10_000 + "7" + ")" * 10_000,
    ]
    plain += [code.replace("{{", "{").replace("}}", "}").replace("{canary}", canary) for code in CODE]
    plain += TOWERS + NAMES
    texts += ["\\boxed{" + text + "}" for text in plain] + plain
    while len(texts) < COUNT:
        texts.append(wrapped(generator, mixture(generator)))
    return texts


def wrapped(generator, text):
    return generator.choice((WRAPPINGS[1], WRAPPINGS[1], *WRAPPINGS)).replace("{}", text)


def mixture(generator):
    match generator.randrange(5):
        case 0:
            opening, closing = generator.choice(
                [("(", ")"), ("{", "}"), ("\\sqrt{", "}"), ("-(", ")"), ("\\sin(", ")"), ("|", "|"), ("2^{", "}")]
            )
            depth = generator.choice((5, 28, 29, 30, 31, 100, 3000))
            inner = generator.choice(("1", "x", ""))
            return opening * depth + inner + closing * generator.choice((depth, depth, depth - 1))
        case 1:
            return generator.choice(SHAPES) * generator.choice((1, 2, 30, 200, 499, 999))
        case 2:
            sign = generator.choice(["+", "-", "*", ",", "", "=", "^"])
            return sign.join(generator.choices(TOWERS + NAMES, k=generator.randint(1, 30)))
        case 3:
            return "".join(generator.choices(SHAPES + TOWERS + NAMES, k=generator.choice((2, 5, 20, 300))))
        case _:
            return "".join(map(chr, generator.choices(range(0x11000), k=generator.choice((1, 10, 300)))))


def memory(field):
    """In MiB: VmRSS is what is held, VmHWM the most since the last `5` to clear_refs."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def main(folder):
    from papo.types import Item

    # Known before the watch begins: pictures and tensors have no part in grading.
    items = [
        Item("i", "q", (), answer=answer, answer_type=kind, rule=rule, choices=choices, precision=precision)
        for rule, answer, kind, choices, precision in ITEMS
    ]
    texts = answers(str(Path(folder) / "canary"))
    for item in items:  # what is imported, started or compiled once
        for warm_up in ("7", "\\boxed{\\frac{1}{2}}", "Answer: B", 'The answer is "7".'):
            grade(item, warm_up)
    watching, events, escaped = [], [], []
    unharmed = ("builtins.id", "object.__getattr__", "sys._getframe", "cpython.run_", "gc.")
    sys.addaudithook(lambda event, arguments: watching and not event.startswith(unharmed) and events.append(event))
    once = {item.rule: item for item in items}.values()
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    slowest, verdicts = (0.0, "", ""), {}
    watching.append(True)
    for text in texts:
        for item in once if len(text) > 20_000 else items:
            start = time.process_time()
            try:
                grading = grade(item, text)
                assert isinstance(grading, Grade)
                verdict = grading.verdict.value
                verdicts[verdict] = verdicts.get(verdict, 0) + 1
            except BaseException as error:
                escaped.append(f"{item.rule}: {error!r:.200} on {text!r:.100}")
            slowest = max(slowest, (time.process_time() - start, item.rule, repr(text[:60])))
        start = time.process_time()
        formatted(text)
        slowest = max(slowest, (time.process_time() - start, "format", repr(text[:60])))
    seen = sorted(set(events))
    eval("1")  # the watch itself: this is what it would have seen
    watching.clear()
    report = {"answers": len(texts), "slowest": slowest, "grown_mb": memory("VmHWM") - before, "verdicts": verdicts}
    print(json.dumps(report | {"escaped": escaped[:10], "events": seen, "awake": events[-2:] == ["compile", "exec"]}))


if __name__ == "__main__":
    main(sys.argv[1])
