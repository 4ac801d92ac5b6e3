# ruff: noqa: E501, RUF001
"""Items, and what may stand in their answers and responses."""

import random

from papo.types import Item

# What trips a number reader: signs, percent, exponents, spaces, separators, other scripts, names.
NUMBERS = [
    "0", "-0", "0.0", "5", "-5", "+5", "5.", ".5", "-.5", "05", "5.25", "4.75", "1950", "2010", "105", "95", "104.9",
    "1.05", "0.95", "1e3", "1E-2", "1e400", "-1e400", "5e-324", "1_000", "1__0", "_1", "1,000", "$5", "5%", "5 %", "5%%",
    "%", "-5%", "0%", "0.05", "500%", " 5", "5 ", "\t5\n", "5\xa0", "5 cm", "--5", "+-5", "0x10", "1e", "e5", "inf",
    "-Infinity", "nan", "NaN", "٥", "５", "²", "½", "−5", "1.5", "2.5", "0.125", "2.675", "3.9", "-3.9", "1e22",
    "123456789012345678901", "9007199254740993", ".", "", "+", "1 0", "5\u200b", "1.234", "1.235", "0.5%", "1.", "1._5",
]  # fmt: skip
WORDS = ["red", "Red", "RED", "dark red", "rde", "blue", "yes", "No", "a", "B", "(a)", "(B)", "(C) blue", "b", "z", "D"]
WORDS += ["[1, 2]", "[1,2]", "Straße", "STRASSE", "İ", "i̇", "ß", "ǅ", "none (b)", "(1)", "((c))", "\ud800", "ﬁ", "FI"]
WRAPPED = [
    "{}", " {} ", "\\boxed{{{}}}", "so \\boxed{{ {} }}.", "\\boxed{{1}} \\boxed{{{}}}", "\\boxed{{{}}} \\boxed{{9",
    'The answer is "{}".', 'The answer is "{}"', 'The answer is "{}". "x".', 'x\nThe answer is "{}".\nThe answer is "7".',
    "The answer is {}.", '\\boxed{{{}}} The answer is "5".', "\\boxed{{\\boxed{{{}}}}}", "", "The answer is \"\n{}\".",
]  # fmt: skip


def item(rule, answer, answer_type="text", **fields):
    return Item("item-7", "How many?", (), answer=answer, answer_type=answer_type, rule=rule, **fields)


def response(generator, answer):
    """An answer that is often right, or nearly, in one of many wrappings."""
    kind = generator.choice(("same", "same", "near", "any", "any"))
    content = answer if kind == "same" else generator.choice(NUMBERS + WORDS)
    if kind == "near" and answer.isascii() and answer.isdigit():
        content = repr(int(answer) * generator.choice((0.95, 1.05, 1.0500001, 0.9499999, 1.049, 1.5)))
    wrapped = generator.choice(WRAPPED[:3] if generator.random() < 0.5 else WRAPPED)
    return wrapped.replace("{}", content).replace("{{", "{").replace("}}", "}")


def chartqa_case(generator):
    labels = generator.choices(NUMBERS + WORDS, k=generator.choice((1, 1, 2, 3)))
    return labels, response(generator, generator.choice(labels))


def mathvista_case(generator):
    kind = generator.choice(("choice", "choice", "integer", "float", "text", "list"))
    choices = tuple(generator.sample(WORDS + NUMBERS[:20], generator.choice((2, 4, 5)))) if kind == "choice" else ()
    answer = generator.choice(choices) if choices else generator.choice(
        {"integer": ["5", "0", "-3", "3", "1000"], "float": ["5.0", "0.5", "2.5", "2.67", "2.68", "1.24", "1.23"],
         "text": WORDS, "list": ["[1, 2]", "[1,2]"]}[kind]
    )  # fmt: skip
    precision = generator.choice((1, 2, 2, 0)) if kind == "float" else None
    return answer, kind, choices, precision, response(generator, answer)


def cases(make, count, seed=0):
    generator = random.Random(seed)
    return [make(generator) for _ in range(count)]
