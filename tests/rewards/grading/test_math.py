"""Mathematical answers and letters; what is equivalent is tested in tests/equivalence."""

import pytest

from papo.equivalence import compare
from papo.equivalence.prepare import plain
from papo.rewards.grading import Verdict, grade

from .cases import item


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("\\frac{1}{2}", "\\boxed{0.5}", True),
        ("\\boxed{\\frac{1}{2}}", "\\boxed{0.5}", True),  # ViRL39K's answers come boxed
        (" $12$ ", "\\boxed{12}", True),
        ("12", "\\boxed{12.5}", False),
        ("12", "12", False),  # no box
        ("12", "\\boxed{11} \\boxed{12}", True),
        # One capital letter is a choice.
        ("B", "\\boxed{B}", True),
        ("\\boxed{B}", "\\boxed{B}", True),
        ("B", "\\boxed{b}", True),
        ("B", "\\boxed{\\text{(B)}}", True),
        ("B", "\\boxed{B. 5 cm}", True),
        ("B", "\\boxed{5}", False),
        ("B", "\\boxed{A}", False),
        ("B", "\\boxed{1B}", False),
        ("b", "\\boxed{B.}", False),  # a variable, not a choice
        ("AB", "\\boxed{AB}", True),
        ("ACD", "\\boxed{A, C, D}", True),
        ("ACD", "\\boxed{A, C}", False),
        ("CBDA", "\\boxed{ABCD}", False),  # an order
        ("CBDA", "\\boxed{CBDA}", True),
        ("AA", "\\boxed{A}", False),
        ("2 \\text{ rad}", "\\boxed{2^\\circ}", False),
        ("60 cm", "\\boxed{60°}", False),
        ("12", "\\boxed{\\text{12 apples}}", True),
        ("B", "\\boxed{B. x = 2}", True),
        ("B", "\\boxed{B. 5 m}", True),
        ("B", "\\boxed{(B) 2x}", True),
        ("B", "\\boxed{B. f(x)=2x}", True),
        ("B", "\\boxed{B. (a) only}", True),
        ("B", "\\boxed{(A),(B),(C)}", False),
        ("B", "\\boxed{B. A}", False),
        ("B", "\\boxed{\\text{Option B}}", True),
        ("B", "\\boxed{\\left(B\\right)}", True),
        ("B", "\\boxed{\N{FULLWIDTH LEFT PARENTHESIS}B\N{FULLWIDTH RIGHT PARENTHESIS}}", True),
        ("B", "\\boxed{\\text{Option A or Option B}}", False),
    ],
)
def test_table(gold, response, right):
    assert grade(item("math", gold), response).verdict is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.parametrize(
    ("gold", "boxed", "right"),
    [
        ("B", "B", True),
        ("B", "\\sqrt{4}", True),  # the option's value
        ("B", "(B) 2", True),
        ("B", "A", False),
        ("B", "1", False),
        ("2", "B", True),
        ("2", "2.0", True),
        ("2", "A", False),
        ("2", "1", False),
        ("\\frac{3}{2}", "1.5", True),  # none of the options: by value
        ("\\frac{3}{2}", "B", False),
    ],
)
def test_choices(gold, boxed, right):
    question = item("math", gold, "choice", choices=("1", "2", "\\sqrt{2}"))
    assert grade(question, f"\\boxed{{{boxed}}}").correct is right


def test_an_option_may_name_others():
    choices = ("A > B", "A < B", "A and B", "A = B")
    assert grade(item("math", "C", "choice", choices=choices), "\\boxed{C. A and B}").correct


@pytest.mark.parametrize("gold", ["A", "B", "C", "D"])
def test_what_fits_several_options_chooses_none(gold):
    choices = ("5 cm", "5 m", "5 km", "5 mm")
    assert not grade(item("math", gold, "choice", choices=choices), "\\boxed{5}").correct
    assert grade(item("math", gold, "choice", choices=choices), f"\\boxed{{{choices['ABCD'.index(gold)]}}}").correct


def test_options_that_differ_by_their_case():
    choices = ("AA", "Aa", "aa")
    for rule in ("math", "exact", "mmmu_pro"):
        question = item(rule, "C", "choice", choices=choices)
        assert grade(question, "\\boxed{aa}").correct
        assert not grade(question, "\\boxed{AA}").correct


def test_more_options_than_letters():
    """None of the further ones can be named."""
    choices = tuple(f"option {n}" for n in range(30))
    for rule in ("math", "exact", "mmmu_pro"):
        assert not grade(item(rule, "A", "choice", choices=choices), "\\boxed{option 28}").correct
        assert grade(item(rule, "B", "choice", choices=choices), "\\boxed{option 1}").correct


def test_any_label_will_do():
    question = item("math", "1", labels=("2", ""))
    assert grade(question, "\\boxed{2}").correct
    assert not grade(question, "\\boxed{3}").correct
    assert not grade(question, "\\boxed{}").correct
    assert grade(item("math", "", labels=("2",)), "\\boxed{2}").correct


@pytest.mark.parametrize("gold", ["", " ", "\\boxed{}", "\\boxed{ }"])
def test_without_an_answer_an_item_is_unscorable(gold):
    grading = grade(item("math", gold), "\\boxed{}")
    assert grading.verdict is Verdict.UNSCORABLE
    assert "the item's answer" in grading.reason


@pytest.mark.parametrize("rule", ["math", "mathvista"])
@pytest.mark.parametrize("boxed", ["\N{VULGAR FRACTION ONE THIRD} " * 4_900, "x^{100} + " * 90 + "1"])
def test_a_long_answer_is_looked_into_once(monkeypatch, rule, boxed):
    """Whatever it is compared with: 26 choices took a second."""
    looked_into = []
    monkeypatch.setattr(compare, "plain", lambda text: looked_into.append(text) or plain(text))
    choices = tuple(f"{n} cm" for n in range(26))
    for fields in ({"choices": choices}, {"labels": choices if rule == "math" else ()}):
        compare.latest.cache_clear()
        looked_into.clear()
        assert not grade(item(rule, choices[1], **fields), f"\\boxed{{{boxed}}}").correct
        assert len([text for text in looked_into if len(text) > 100]) <= 2  # as it stands and unwrapped
