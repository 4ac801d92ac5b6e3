"""LogicVista: all letters and no other."""

import pytest

from papo.rewards.grading import Verdict, grade
from papo.rewards.grading.logicvista import option_letters

from .cases import item


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        ("b", "B"),
        ("B, D", "BD"),
        ("D,B", "BD"),
        ("B D", "BD"),
        ("BD", "BD"),
        ("B and D", "BD"),
        ("(B), (D)", "BD"),
        ("\\text{B, D}", "BD"),
        ("\\mathrm{B} \\, \\mathrm{D}", "BD"),
        ("$B$; $D$.", "BD"),
        ("B & D", "BD"),
        ("B, B", "B"),
        ("{B, D}", "BD"),
        ("bd", ""),
        ("Bd", ""),
        ("B or D", ""),
        ("B. 5 cm", ""),
        ("5", ""),
        ("", ""),
        ("and", ""),
        ("B" + " " * 200, ""),  # longer than letters are
        ("\N{CYRILLIC CAPITAL LETTER VE}", ""),
    ],
)
def test_option_letters(text, expected):
    assert option_letters(text) == set(expected)


@pytest.mark.parametrize(
    ("gold", "response", "right"),
    [
        ("B, D", "\\boxed{B, D}", True),
        ("B, D", "\\boxed{D and B}", True),
        ("B, D", "\\boxed{B}", False),
        ("B, D", "\\boxed{B, D, A}", False),
        ("B, D", "\\boxed{B, C}", False),
        ("B, D", "B, D", False),  # no box
        ("B", "\\boxed{B}", True),
        ("B", "\\boxed{B. 5 cm}", True),
        ("B", "\\boxed{B, D}", False),
        ("B", "\\boxed{}", False),
        ("B", "\\boxed{5}", False),
        # Unwrapped.
        ("B", "\\boxed{\\(B\\)}", True),
        ("B", "\\boxed{\N{FULLWIDTH LATIN CAPITAL LETTER B}}", True),
        ("B", "\\boxed{\\[\\text{(B) 5 cm}\\]}", True),
        ("B, D", "\\boxed{\\(B, D\\)}", True),
        ("B, D", "\\boxed{\\(B\\)}", False),
        ("B", "\\boxed{\\(B, D\\)}", False),
        ("B", "\\boxed{\\(B or D\\)}", False),
    ],
)
def test_table(gold, response, right):
    assert grade(item("logicvista", gold, "choice"), response).verdict is (Verdict.CORRECT if right else Verdict.WRONG)


@pytest.mark.parametrize("gold", ["", " ", "5", "none of them"])
def test_without_letters_an_item_is_unscorable_and_not_wrong(gold):
    for response in ("\\boxed{}", "\\boxed{B}", "no box"):
        assert grade(item("logicvista", gold, "choice"), response).verdict is Verdict.UNSCORABLE
