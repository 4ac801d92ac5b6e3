r"""Which \boxed{} counts."""

import random
import time

import pytest

from papo.rewards.extraction import last_boxed, stated, unwrapped

from .grading import slow


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{7}", "7"),
        (r"so it is \boxed{ 7 }.", "7"),
        (r"\boxed{}", ""),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} or \boxed{2", "1"),  # the unfinished one does not count
        (r"\boxed{\boxed{2}}", r"\boxed{2}"),  # the outer one is complete last
        (r"\boxed{1 \boxed{2}", "2"),  # only the inner one is complete
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\text{a {b} c}} {d}", r"\text{a {b} c}"),
        (r"{\boxed{3}}", "3"),
        (r"}} \boxed{3} }", "3"),
        (r"\boxed{3}}}", "3"),
        (r"{{{ \boxed{3}", "3"),
        (r"\boxed{a}{b}", "a"),
        ("\\boxed{a\nb}", "a\nb"),
        (r"\\boxed{4}", "4"),
        (r"\boxed{4\}", None),  # an escaped brace is text
        (r"\boxed{\{4\}}", r"\{4\}"),
        (r"\boxed{\left\{1, 2\right.}", r"\left\{1, 2\right."),
        (r"\boxed{a\\{b}}", r"a\\{b}"),  # a line break before a brace
        (r"\boxed {4}", "4"),
        ("\\boxed\n{4}", "4"),
        (r"\boxed4", None),
        (r"\Boxed{4}", None),
        (r"boxed{4}", None),
        (r"\fbox{4}", None),
        (r"\boxed{", None),
        (r"\boxed{4", None),
        ("7", None),
        ("}", None),
        ("", None),
    ],
)
def test_table(text, answer):
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("{", None),
        ("}", None),
        ("\\boxed{", None),
        ("\\boxed{}", ""),
        ("{}", None),
        ("x", None),
        ("\\", None),
        ("{a}", None),
        ("{a} {", None),
        ("\\boxed{{a}", None),
        ("\\boxed{{a}}", "{a}"),
        ("\\{", None),
        ("\\boxed {", None),
        ("\\boxed ", None),
        ("{\\a", None),
    ],
)
def test_a_million_characters_take_one_pass(piece, answer):
    text = piece * (1_000_000 // len(piece))
    start = time.process_time()
    assert last_boxed(text) == answer
    assert time.process_time() - start < 1  # a fifth of it on any machine; quadratic would take minutes


def test_a_million_nested_boxes():
    n = 100_000
    text = "\\boxed{" * n + "x" + "}" * n
    start = time.process_time()
    assert last_boxed(text) == text[7:-1]
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "content", ["9" * 10**6, "\x00", "\N{ARABIC-INDIC DIGIT THREE}", "\N{MATHEMATICAL BOLD DIGIT SEVEN}"]
)
def test_content_is_taken_as_it_is(content):
    assert last_boxed(f"\\boxed{{{content}}}") == content


def test_against_the_slow_one():
    generator = random.Random(0)
    boxes = 0
    for _ in range(5000):
        text = "".join(
            generator.choices(
                ["\\boxed{", "{", "}", "x", "{}", "\\", "}}", "{y}", "\\{", "\\boxed {"], k=generator.randint(0, 14)
            )
        )
        assert last_boxed(text) == slow.boxed(text), text
        boxes += slow.boxed(text) is not None
    assert boxes > 1000


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("5", "5"),
        ("$5$", "5"),
        ("$$5$$", "5"),
        (r"\(5\)", "5"),
        (r"\[5\]", "5"),
        ("$5", "5"),
        (r"\$5", "5"),
        (r"\$1,000.50", "1000.50"),
        (r"20\%", "20%"),
        ("20%", "20%"),
        ("1,000", "1000"),
        ("-1,000,000", "-1000000"),
        (r"1\,000", "1000"),
        ("1{,}000", "1000"),
        ("1,00", "1,00"),
        ("1,000,00", "1,000,00"),
        ("1, 000", "1, 000"),
        (r"3.5^\circ", "3.5"),
        (r"3.5^{\circ}", "3.5"),
        ("3.5\N{DEGREE SIGN}", "3.5"),
        (r"\text{Blue}", "Blue"),
        (r"\textbf{Blue}.", "Blue"),
        (r"\mathrm{Blue}", "Blue"),
        (r"\text{\textbf{Blue}}", r"\text{\textbf{Blue}}"),  # one that is not alone is left
        ("**Blue**", "Blue"),
        ("{Blue}", "Blue"),
        ("$\\text{Blue}$", "Blue"),
        ("Blue.", "Blue"),
        ("Blue. ", "Blue"),
        ("Mt. Blue", "Mt. Blue"),
        ("(B)", "(B)"),
        (r"5\text{ cm}", r"5\text{ cm}"),
        (r"\text{5} \text{6}", r"\text{5} \text{6}"),
        ("$3$ and $4$", "$3$ and $4$"),
        ("", ""),
        (".", ""),
        ("$", "$"),
        ("\N{MINUS SIGN}3", "-3"),
        ("\N{FULLWIDTH DIGIT THREE}\N{FULLWIDTH FULL STOP}\N{FULLWIDTH DIGIT FIVE}\N{FULLWIDTH PERCENT SIGN}", "3.5%"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER B}", "B"),
    ],
)
def test_unwrapped(answer, form):
    assert unwrapped(answer) == form
    assert slow.peeled(answer) == form


@pytest.mark.parametrize(
    "piece", ["$", "{", "\\text{", "\\(", "1,000", ",000", "**", ".", " ", "\\%", "^\\circ", "\\$"]
)
def test_unwrapping_is_bounded(piece):
    for size in (9_999, 10_000, 1_000_000):
        start = time.process_time()
        unwrapped((piece * (size // len(piece) + 1))[:size])
        assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("<think> 1 + 2 </think><answer> 3 </answer>", "3"),
        ("<answer>2</answer> no <answer>3</answer>", "3"),
        ("<answer> it is \\boxed{3} </answer>", "3"),
        ("3 </answer>", "3"),
        ("1 + 2 = 3\n#### 3\n", "3"),
        ("so \\boxed{3}.", "3"),
        ("$3$", "$3$"),
        (" A < B ", "A < B"),
        ("", ""),
    ],
)
def test_the_answer_that_a_solution_ends_in(solution, answer):
    assert stated(solution) == answer


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "####", "\\boxed{"])
def test_a_long_solution_takes_one_pass(piece):
    start = time.process_time()
    stated(piece * 100_000)
    assert time.process_time() - start < 1
