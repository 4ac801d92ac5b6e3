"""Which letter an answer names. `option` itself is tested where it decides: in test_exact."""

import pytest

from papo.rewards.grading import grade
from papo.rewards.grading.options import by_letter, leading_letter, letters, option

from .cases import item


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("( b )", "B"),
        ("B.", "B"),
        ("B)", "B"),
        ("B. 5 cm", "B"),
        ("(B) 5 cm", "B"),
        ("B: 5 cm", "B"),
        ("**B**", "B"),
        ("$B$", "B"),
        ("{B}", "B"),
        ("\\text{B}", "B"),
        ("\\textbf{(B)}", "B"),
        ("\\mathrm {B}", "B"),
        ("\\boxed{B}", "B"),
        ("  B  ", "B"),
        ("Option B", "B"),
        ("\\text{Option B}", "B"),
        ("option (B)", "B"),
        ("(Choice b) 5 cm", "B"),
        ("Option B: 5 cm", "B"),
        ("\\left(B\\right)", "B"),
        ("\\left(B\\right) 5 cm", "B"),
        ("Option B or option C", None),
        ("Options B and C", None),
        ("Option (B), option C", None),
        ("Option B. Option C.", None),
        ("Option B: 5 cm, Option C: 7 cm", None),
        ("\\left(B\\right), \\left(C\\right)", None),
        ("Optional", None),
        ("B 5 cm", None),
        ("A triangle", None),
        ("BA", None),
        ("(B) 5 cm from A", "B"),
        ("B. The triangle ABC.", "B"),
        ("(B) or (b)", "B"),
        ("(A),(B),(C),(D),(E)", None),
        ("(A), B", None),
        ("A. B", None),
        ("A. cat B. dog", None),
        ("A: 1, B: 2", None),
        ("(A) cat (B) dog", None),
        ("A) B)", None),
        ("(A) or (B)", None),
        ("A. or B.", None),
        ("\\text{A} / \\text{B}", None),
        ("(b), (c)", None),
        ("(a), (b), (c), (d)", None),
        ("(b) or (c)", None),
        ("(b) or c", None),
        ("(b) \\text{ or } c", None),
        ("(b), $c$", None),
        ("b. or c.", None),
        ("b/c", None),
        ("b) c)", "B"),  # where the options are not known, a small letter may be anything: what is named first
        ("(b)(c)", "B"),
        ("b) 7 cm c) 9 cm", "B"),
        ("(b) 7 cm or (c) 9 cm", "B"),
        ("b. 7 cm c. 9 cm", "B"),
        ("b: 7 cm, c: 9 cm", "B"),
        ("(b) 7 cm or C. 9 cm", None),
        ("(B) or (c)", None),
        ("(B), c", None),
        ("(b).", "B"),
        ("(b) (b)", "B"),
        ("b) 5 cm", "B"),
        ("b. a triangle", "B"),  # an article
        ("(b) a", "B"),
        ("b. The triangle abc.", "B"),
        ("b. x = a", "B"),
        ("(c) (0, b)", "C"),  # a point
        ("(c) f(a)", "C"),
        ("(b) 3(a + c)", "B"),
        ("(b) a:c = 2:3", "B"),
        ("(b) 7 cm, i.e. the width", "B"),
        ("(b) 7 cm, e.g. there", "B"),
        ("(b) it is larger than a.", "B"),
        ("B. (a) and (c)", "B"),  # its own text
        ("(c) both (a) and (b)", "C"),
        ("(c) (i) and (ii)", "C"),
        ("b) 10 g. of salt", "B"),
        ("B. the side (a)", "B"),
        ("B,", None),
        ("B, D", None),
        ("5", None),
        ("", None),
        ("()", None),
        (".B", None),
        ("\\textx{B}", None),
        ("\N{CYRILLIC CAPITAL LETTER VE}", None),
    ],
)
def test_leading_letter(answer, letter):
    assert leading_letter(answer, ()) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("b) 7 cm c) 9 cm", None),
        ("(b) 7 cm or (c) 9 cm", None),
        ("B) 7 cm c) 9 cm", None),
        ("b. 7 cm c. 9 cm", None),
        ("b: 7 cm, c: 9 cm", None),
        ("b) 7 or c) 9", None),
        ("(b) $7$ cm or (c) $9\\text{ cm}$", None),
        ("(b) 7 cm, (d) 11 cm, (e) 13 cm", None),
        ("b) c)", None),
        ("(b)(c)", None),
        ("(b) 7 cm", "B"),
        ("(b) 7 cm or (b) 7 cm", "B"),
        ("(b) 7 cm, not (c)", "B"),
        ("(b) 7 cm, d: 1", "B"),
        ("(b) 7 cm, as the side (a) is 5 cm", "B"),
        ("b) 7 cm, where c: the width", "B"),
        ("b. the side a. the end", "B"),
        ("(d) all but (a) and (b)", "D"),
    ],
)
def test_small_letters_with_their_own_texts_are_options(answer, letter):
    assert leading_letter(answer, ("5 cm", "7 cm", "9 cm", "11 cm")) == letter


def test_an_options_own_text_may_have_others_in_it():
    combined = ("(a) only", "(b) only", "(a), (b)", "(a), (c)")
    for answer in ("C. (a),(b)", "C. $(a), (b)$", "C. \\text{(a), (b)}", "C. (a) (b)"):
        assert leading_letter(answer, combined) == "C"
    assert leading_letter("B. (c)", ("graph (d)", "graph (c)", "graph (b)", "graph (a)")) == "B"
    assert leading_letter("A. (b)", combined) is None
    choices = ("(b) 9", "9", "(a) 9 or (b) 9")
    assert leading_letter("(c) (a) 9 or (b) 9", choices) == "C"
    assert leading_letter("(a) (b) 9", choices) == "A"


LABELS = ("H", "A", "E", "C")  # of a diagram, which are letters themselves


@pytest.mark.parametrize("rule", ["exact", "math", "mmmu_pro"])
@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("A", ["A", "(A)", "a", "$A$", "A. H", "(A) H", "H"], ["B", "B. A", "C", "E", "D. C"]),
        ("B", ["B", "(B)", "B. A", "(B) A"], ["A", "(A)", "A. H", "H", "C"]),
        ("C", ["C", "C. E", "E"], ["D", "D. C", "(D)", "B. A"]),
        ("D", ["D", "(D)", "D. C"], ["C", "C. E", "E"]),
    ],
)
def test_a_gold_that_is_a_letter_by_definition_is_no_text(rule, gold, right, wrong):
    asked = item(rule, gold if rule == "mmmu_pro" else by_letter(gold, LABELS), "choice", choices=LABELS)
    assert [box for box in (*right, *wrong) if grade(asked, f"\\boxed{{{box}}}").correct] == right


def test_only_where_a_text_could_be_taken_for_a_letter_a_gold_is_written_as_one():
    assert [by_letter(gold, LABELS) for gold in ("A", "(b)", "H", "E", "D", "F", "3")] == [
        *("(A)", "(B)", "(A)", "(C)", "(D)", "F", "3")
    ]
    for choices in (("red", "blue"), ("A", "B"), ("E", "F"), ()):
        assert [by_letter(gold, choices) for gold in ("A", "b", "(B)", "red")] == ["A", "b", "(B)", "red"]
    swapped = ("(B)", "(A)")  # a text in parentheses stays one
    assert grade(item("exact", "(A)", "choice", choices=swapped), "\\boxed{(A)}").correct


@pytest.mark.parametrize("rule", ["exact", "math", "mmmu_pro"])
@pytest.mark.parametrize(
    ("choices", "gold", "right", "wrong"),
    [
        (("(b)", "(a)", "(d)", "(c)"), "A", ("A", "(b)"), ("B", "(a)", "(c)")),  # panels of a figure
        (("v", "a", "F", "m"), "B", ("B", "(B)", "a"), ("A", "v", "(A)")),  # variables
        (("v", "a", "F", "m"), "A", ("A", "v"), ("a", "B")),
    ],
)
def test_options_that_look_like_letters(rule, choices, gold, right, wrong):
    asked = item(rule, by_letter(gold, choices), "choice", choices=choices)
    graded = {box: grade(asked, rf"\boxed{{{box}}}").correct for box in (*right, *wrong)}
    assert graded == dict.fromkeys(right, True) | dict.fromkeys(wrong, False)


def test_only_letters_of_options():
    assert letters(("x", "y")) == ("A", "B")
    assert letters(()) == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert leading_letter("(C) z", ("x", "y")) is None
    assert leading_letter("(B) z", ("x", "y")) == "B"
    assert option("C", ("x", "y")) is None
    assert option("Y", ("x", "y")) == "B"
