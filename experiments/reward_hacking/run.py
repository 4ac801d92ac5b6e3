# ruff: noqa: E501
"""Is a policy paid for an answer that is not right? python experiments/reward_hacking/run.py [--golds 3600] [--constants 2400] [--neighbours 500]

Constant answers, hedges, lists, units, equations and enumerations are tried against generated golds of every shape, under
every rule. What is accepted without being equal is counted, and the most accepted answer of each rule is printed. So are
neighbours: answers that lie beside the right one. Then each gold is rewritten, in ways that keep its meaning and in ways
that do not.
"""

from __future__ import annotations

import argparse
import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from golds import Gold, golds

from papo.rewards.grading import Verdict, grade
from papo.types import Item

EQUATIONS = (
    "x=y", "0=0", "x=x", "1=1", "y=0", "x=0", "x=1", "10^{30}\\pi x=y", "10^{-30}x=y", "x+y=0", "0x=0", "x^2+y^2=0", "f(x)=0", "y=x",
    "0", "1", "2", "0.0", "0.000000", "-0", "1e-400", "10^{-30}", "0\\text{ cm}", "0^\\circ", "0\\%", "\\infty", "-\\infty", "x", "y", "i", "e",
    "\\pi", "x>0", "x<0", "x \\ge 0", "x \\ne 0", "(-\\infty,\\infty)", "\\mathbb{R}", "x \\in \\mathbb{R}", "\\emptyset", "\\{\\}", "()", "[]",
    "\\pm 1", "\\pm 2", "1 or 2", "0 or 1", "1 \\approx 2", "0 \\approx 1", "1 = 2 = 3", "0:0", "1:1", "12:00", "\\frac{0}{0}", "1/0",
    "$1$ $-1$", "$$1$$ $$-1$$", "1 -1", "|x|", "\\sqrt{x^2}", "x-x", "\\sin^2 x+\\cos^2 x", "0*x", "x^0", "none", "true", "yes", "no", "both",
    "all", "any", "unknown", "A", "B", "C", "D", "E", "a", "b", "(A)", "A or B", "A and B", "A, B", "(A),(B),(C),(D),(E)", "A/B/C/D",
    "A. B. C. D.", "A: 1, B: 2, C: 3", "ABCDE", "A B C D", "(A) or (B)", "the answer", "\\text{}", "\\text{A}\\text{B}", "", " ", ".", "?",
)  # fmt: skip


def constants(count: int) -> Iterator[str]:
    """Answers that are given whatever the question is."""
    generator = random.Random(1)
    yield from EQUATIONS
    made = len(EQUATIONS)
    while made < count:
        n, m = generator.randint(0, 30), generator.randint(1, 200)
        first = list(range(n, n + generator.randint(2, 25)))
        yield generator.choice((
            f"{m}", f"{n}/{m}", f"{m / 10}", f"{n}\\sqrt{{{m}}}", f"{n}\\pi", f"-{m}", f"{m}\\%", f"{m}^\\circ", f"{m} cm", f"{m} squared",
            f"{m}\\text{{k}}", f"{m} m/s", ", ".join(map(str, first)), " or ".join(map(str, first)), "\\{" + ",".join(map(str, first)) + "\\}",
            " = ".join(map(str, first)), "/".join(map(str, first[:5])), f"[{n}, {n + m}]", f"({n}, {m})", f"{n} \\le x \\le {n + m}", f"x={n}, y={m}",
            f"x_1={n}, x_2={m}", f"x = {n}", f"y = {n}x+{m}", f"{n}x+{m}y=0", f"{n}:{m}", f"{n}:{generator.randint(10, 59)}", f"\\pm {m}",
            f"{n} \\approx {m}", f"{m}!", f"2^{{{n}}}", f"10^{{{n}}}", f"{m} \\times 10^{{{n}}}", f"{n} {m}", f"{n} {m}/{m + 1}", f"{n}+{m}i",
            f"{n}.{'0' * generator.randint(6, 9)}", f"{m}x", f"x^{n}", f"x > {n}", f"x \\ne {n}", f"{n}\\text{{ or more}}", f"\\log {m}",
            f"\\begin{{pmatrix}}{n}&{m}\\\\0&1\\end{{pmatrix}}", f"10^{{30}}({n}x-{m}y)=0", f"f(x)={n}", f"AB={m}", f"{m}..{m + 9}", f"{n}-{m}",
        ))  # fmt: skip
        made += 1


RULES = ("math", "exact", "chartqa", "chartqa_strict", "mathvista", "mmmu_pro", "logicvista")
CHOICES = ("red", "dark red", "blue", "5", "none of these")


def items(rule: str, answers: list[Gold]) -> Iterator[tuple[Gold, Item]]:
    """The golds that a rule can have: mathematics all, the others numbers, words and options."""
    for n, gold in enumerate(answers):
        kind, choices = "text", ()
        if rule in ("mmmu_pro", "logicvista") or (rule in ("exact", "mathvista") and n % 3 == 0):
            text = "ABCDE"[n % 5]
            choices = () if rule == "logicvista" else CHOICES
            kind = "choice"
            named = CHOICES[n % 5] if rule == "mathvista" else text
            gold = Gold("letter", named, Fraction(named) if named.isdigit() else None, (text, f"({text})"), ())
        elif rule != "math":
            if gold.shape not in ("integer", "word", "decimal", "thousands", "percent"):
                continue
            kind = "integer" if gold.shape == "integer" else "text"
        yield gold, Item("i", "q", (), answer=gold.text, answer_type=kind, rule=rule, choices=choices)


# What some of them say after all.
SAID = {
    "0=0": 0, "y=0": 0, "x=0": 0, "f(x)=0": 0, "x-x": 0, "0*x": 0, "0x=0": 0, "$$1$$ $$-1$$": None, "1 -1": 0, "1=1": 1, "x=1": 1,
    "\\sin^2 x+\\cos^2 x": 1, "x^0": 1, "-0": 0, "0\\text{ cm}": 0, "0 or 1": None, "12:00": None,
}  # fmt: skip
POWER = re.compile(r"(2|10)\^\{(-?[0-9]+)\}")
PRODUCT = re.compile(r"([0-9.]+) \\times 10\^\{([0-9]+)\}")
NAMED = re.compile(r"(?:x|y|f\(x\)|AB) ?= ?(-?[0-9]+)")
PAIR = re.compile(r"([0-9]+)([:-])([0-9]+)")


def number(text: str) -> Fraction | None:
    """What a constant says where it is plainly a number."""
    if text in SAID:
        return None if SAID[text] is None else Fraction(SAID[text])
    text = re.sub(r"\\?%|\^\\circ| cm$| m/s$|\$", "", text).strip()
    if found := POWER.fullmatch(text):
        return Fraction(int(found[1])) ** int(found[2])
    if found := PRODUCT.fullmatch(text):
        return Fraction(found[1]) * 10 ** int(found[2])
    if found := PAIR.fullmatch(text):
        a, b = int(found[1]), int(found[3])
        return Fraction(a - b) if found[2] == "-" else Fraction(a, b) if b else None
    if re.match(r"0[/\\]", text):  # 0/1/2 and 0\sqrt{3}
        return Fraction(0)
    if text[:-1].isdigit() and text[-1] == "!":
        return Fraction(math.factorial(int(text[:-1])))
    named = NAMED.fullmatch(text)
    try:
        return Fraction(named[1] if named else text)
    except (ValueError, ZeroDivisionError):
        return None


def equal(constant: str, gold: Gold) -> bool:
    """Whether a constant is right there after all."""
    value = number(constant)
    if value is not None and gold.value is not None:
        percent = (1, 100, Fraction(1, 100)) if "%" in constant + gold.text else (1,)
        return any(value * times == gold.value for times in percent)
    return constant.casefold() in (gold.text, *(text.casefold() for text in gold.same))


def search(rule: str, answers: list[Gold], tried: list[str]) -> tuple[Counter[str], int, list[tuple[str, str]]]:
    """(golds that each constant is accepted for without being equal to them, number of golds, examples)."""
    of_rule = list(items(rule, answers))
    found: Counter[str] = Counter()
    examples = []
    for constant in tried:
        for gold, item in of_rule:
            grading = grade(item, f"\\boxed{{{constant}}}")
            assert grading.verdict is not Verdict.UNSCORABLE, item
            if grading.correct and not equal(constant, gold):
                found[constant] += 1
                examples.append((gold.text, constant))
    return found, len(of_rule), examples


def numbers(count: int, seed: int = 2) -> Iterator[tuple[str, str]]:
    """(kind, text) of the numbers that charts and questions have."""
    generator = random.Random(seed)
    for _ in range(count):
        yield "year", str(generator.randint(1950, 2030))
        yield "count", str(generator.randint(1, 30))
        yield "whole number", str(generator.randint(31, 9999))
        yield "large number", str(generator.randint(10_000, 9_999_999))
        yield "decimal", f"{generator.randint(11, 999) / 10}"
        yield "percentage", f"{generator.randint(1, 99)}%"


def beside(text: str) -> Iterator[tuple[str, str]]:
    """(what it is, answer) of what lies beside a number."""
    digits = text.removesuffix("%")
    value, sign = Fraction(digits), text[len(digits) :]
    step = Fraction(1, 10) if "." in digits else Fraction(1)
    for name, other in (
        ("the last digit off by one", value + step),
        ("the last digit off by minus one", value - step),
        ("1 % more", value * Fraction(101, 100)),
        ("5 % more", value * Fraction(105, 100)),
        ("6 % more", value * Fraction(106, 100)),
        ("half a step more", value + step / 2),
        ("ten times", value * 10),
        ("a tenth", value / 10),
        ("the other sign", -value),
    ):
        yield name, f"{float(other):.12g}{sign}"
    if not sign:
        yield "with a word in front", f"not {text}"
        yield "or its neighbour", f"{text} or {float(value + step):.12g}"


def beside_option(right: int) -> Iterator[tuple[str, str]]:
    """The same of an option of CHOICES."""
    letter, text = "ABCDE"[right], CHOICES[right]
    other = (right + 1) % len(CHOICES)
    yield "the next letter", "ABCDE"[other]
    yield "the next option's text", CHOICES[other]
    yield "the next option with the right letter behind it", f"{CHOICES[other]} ({letter})"
    yield "both letters", f"{letter}, {'ABCDE'[other]}"
    yield "another word in front", f"not {text}"
    yield "a letter of its text left out", text[:-1] or "?"


def neighbours(rule: str, count: int) -> list[tuple[float, str, int]]:
    """(share that is right, kind of gold and what lies beside it, golds), the most accepted first."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    cases = []
    if rule not in ("mmmu_pro", "logicvista"):
        for kind, text in numbers(count):
            if rule in ("exact", "mathvista"):
                type_ = "text" if "%" in text else "float" if "." in text else "integer"
                type_ = "text" if rule == "exact" and type_ == "float" else type_
            else:
                type_ = "text"
            item = Item("i", "q", (), answer=text, answer_type=type_, rule=rule, precision=1)
            cases += [(item, f"{kind}, {name}", answer) for name, answer in beside(text) if answer != text]
    if rule in ("exact", "mathvista", "mmmu_pro", "logicvista", "math"):
        for n in range(len(CHOICES)):
            named, choices = (CHOICES[n], CHOICES) if rule == "mathvista" else ("ABCDE"[n], CHOICES)
            item = Item("i", "q", (), answer=named, answer_type="choice", rule=rule, choices=choices)
            cases += [(item, f"option, {name}", answer) for name, answer in beside_option(n)]
    for item, name, answer in cases:
        grading = grade(item, f"\\boxed{{{answer}}}")
        assert grading.verdict is not Verdict.UNSCORABLE, item
        asked[name] += 1
        right[name] += grading.correct
    found = [(right[name] / asked[name], name, asked[name]) for name in asked]
    return sorted(found, key=lambda row: (-row[0], row[1]))


def another_bar(tolerance: float, bars: int = 8, charts: int = 20_000) -> float:
    """Share of the values of a chart, evenly drawn between 20 and 100, that another bar's value is right for."""
    generator = random.Random(3)
    found = 0
    for _ in range(charts):
        value, *others = (generator.uniform(20, 100) for _ in range(bars))
        found += any(abs(other - value) <= tolerance * value for other in others)
    return found / charts


def rewritten(answers: list[Gold]) -> tuple[list[tuple[str, str, str]], int, list[tuple[str, str, str]], int]:
    """(misses, of how many; what was let through, of how many): shape, gold, answer."""
    missed, through, same, different = [], [], 0, 0
    for gold in answers:
        item = Item("i", "q", (), answer=gold.text, answer_type="text", rule="math")
        for answer in gold.same:
            same += 1
            if not grade(item, f"\\boxed{{{answer}}}").correct:
                missed.append((gold.shape, gold.text, answer))
        for answer in gold.different:
            different += 1
            if grade(item, f"\\boxed{{{answer}}}").correct:
                through.append((gold.shape, gold.text, answer))
    return missed, same, through, different


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golds", type=int, default=3600)
    parser.add_argument("--constants", type=int, default=2400)
    parser.add_argument("--neighbours", type=int, default=500, help="numbers of each kind")
    options = parser.parse_args()
    answers = list(golds(options.golds))
    missed, same, through, different = rewritten(answers)
    print(
        f"missed {len(missed)} of {same} rewrites that mean the same, let through {len(through)} of {different} others"
    )
    for title, pairs in (("missed", missed), ("let through", through)):
        for (shape,), count in Counter((shape,) for shape, *_ in pairs).most_common(8):
            print(f"  {title}: {shape} {count}, such as {next(pair[1:] for pair in pairs if pair[0] == shape)}")
    for tolerance in (0.05, 0.01):
        print(f"another bar of eight is right within {tolerance:.0%} for {another_bar(tolerance):.1%} of the values")
    for rule in RULES:
        paid = [row for row in neighbours(rule, options.neighbours) if row[0]]
        said = "; ".join(f"{name} {share:.0%} of {count}" for share, name, count in paid[:8]) or "none"
        print(f"{rule}, neighbours that are right: {said}")
    tried = list(dict.fromkeys(constants(options.constants)))
    for rule in RULES:
        found, count, examples = search(rule, answers, tried)
        worst = (
            ", ".join(f"{constant!r} {100 * hits / count:.2f} %" for constant, hits in found.most_common(3)) or "none"
        )
        print(f"{rule}: {len(tried)} constants, {count} golds; most accepted without being equal: {worst}")
        for gold, constant in examples[:: max(1, len(examples) // 5)][:5]:
            print(f"  {gold!r} | {constant!r}")


if __name__ == "__main__":
    main()
