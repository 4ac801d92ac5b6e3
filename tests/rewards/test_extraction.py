r"""Which \boxed{} counts."""

import random
import time

import pytest

from papo.rewards.extraction import last_boxed

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
        (r"\boxed{4\}", "4\\"),  # an escaped brace is a brace
        (r"\boxed {4}", None),
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
            generator.choices(["\\boxed{", "{", "}", "x", "{}", "\\", "}}", "{y}"], k=generator.randint(0, 14))
        )
        assert last_boxed(text) == slow.boxed(text), text
        boxes += slow.boxed(text) is not None
    assert boxes > 1000
