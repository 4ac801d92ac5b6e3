"""Units in plain text whose names read as variables otherwise."""

import pytest

from papo.equivalence import equivalent
from papo.equivalence.plain_units import NAMES, number_and_unit
from papo.equivalence.units import COEFFICIENT, DOUBTFUL, PRODUCTS, UNITS, VARIABLES


@pytest.mark.parametrize(
    "name", ["K", "C", "T", "l", "F", "H", "eV", "GHz", "nC", "mT", "atm", "bar", "psi", "cal", "cc"]
)
def test_beside_a_plain_number_a_name_is_its_unit(name):
    assert equivalent("3", f"3 {name}")
    assert equivalent("3.0", f"3\\,{name}")
    assert equivalent("1,000", f"1000 {name}.")
    assert equivalent("3 \\times 10^{-19}", "$3\\times 10^{-19}~" + name + "$")
    assert not equivalent("4", f"3 {name}")
    assert not equivalent("3\\%", f"3 {name}")


@pytest.mark.parametrize(
    "gold", ["300 K", "-273.15 K", "1,000 K", "2.4 GHz", "3 atm", "5 bar", "2 kcal", "5 MeV", "30 MPa"]
)
def test_of_a_gold_too_where_the_letters_are_hardly_variables(gold):
    number = gold.split()[0]
    assert equivalent(gold, number)
    assert equivalent(gold, f"{number} \\text{{ {gold.split()[1]}}}")
    assert not equivalent(gold, f"{number}1")


@pytest.mark.parametrize("name", sorted(DOUBTFUL))
def test_behind_a_number_a_product_of_two_letters_is_a_unit_of_an_answer_alone(name):
    assert equivalent("3", f"3{name}")
    assert not equivalent(f"3{name}", "3")
    assert not equivalent("4", f"3{name}")
    assert equivalent(f"3 {name}", "3")
    assert equivalent(f"{COEFFICIENT}{name}", str(COEFFICIENT))
    assert not equivalent(f"{COEFFICIENT - 1}{name}", str(COEFFICIENT - 1))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5 T", "5"),  # five times T
        ("4 K", "4"),
        ("100 T", "100"),
        ("3 C", "3"),
        ("2 H", "2"),
        ("2 kT", "2"),
        ("2 eV", "2"),
        ("2 ha", "2"),
        ("3 nC", "3"),
        ("3 psi", "3"),
        ("3 x", "3"),
        ("3", "3 x"),
        ("3", "3 k"),
        ("5", "5K"),
        ("5", "5kT"),
        ("300K", "300"),
        ("5", "5 K C"),
        ("5", "5 K + 1"),
        ("5", "5 K^2"),
        ("5 K", "5 C"),
        ("x", "300 K"),
        ("300 K", "300 x"),
        ("300 x", "300 K"),
        ("300 T", "300 K"),
        ("300 K", "300 cm"),
        ("300 cm", "300 K"),
        ("300 K", "300 apples"),
        ("300 apples", "300 K"),
        ("300 \\text{ apples}", "300 K"),
        ("300 K", "300 ^\\circ C"),
        ("37 ^\\circ C", "37 C"),
        ("37 ^\\circ C", "37 F"),
        ("3 atm", "3 bar"),
        ("3 \\text{ atm}", "3 bar"),
        ("3 cm", "3 atm"),
        ("300 K", "300, 300"),
        ("300 K", "300\\%"),
        ("1.22", "1,22 K"),
        ("1, 22", "1,22 K"),
        ("300 K", "x = 3"),
        ("\\$300", "300 K"),
        ("$\\$300$", "300 K"),
        ("$300", "300 K"),
        ("300 K", "\\$300"),
        ("3 \\text{ h}", "3 H"),  # hours, henries
    ],
)
def test_what_was_no_unit_is_none(gold, answer):
    assert not equivalent(gold, answer)


def test_known_ones_are_converted():
    assert equivalent("2400 MHz", "2.4 GHz")
    assert equivalent("2.4 GHz", "2400 MHz")
    assert equivalent("3 \\text{ nC}", "3.0 nC")
    assert equivalent("300 \\text{ K}", "300.0 K")
    assert equivalent("2 \\text{ L}", "2 l")
    assert not equivalent("2.4 MHz", "2.4 GHz")
    assert not equivalent("2.4 s", "2.4 GHz")


def test_what_is_none_of_these():
    for text in (
        "",
        "K",
        "300",
        "300  ",
        "K 300",
        "300 K K",
        "300 kg",
        "300 m",
        "3e5 K",
        "x K",
        "1 \\times 10^{9999} K",
    ):
        assert number_and_unit(text) is None, text
    assert number_and_unit("1 \\times 10^{999} K") is not None
    assert not NAMES & VARIABLES
    assert DOUBTFUL < PRODUCTS < UNITS.keys() - VARIABLES
    assert not {name for name in NAMES & UNITS.keys() if len(name) > 1}
