"""Which item a row of another tool answers."""

import pytest

from papo.errors import ConfigError
from papo.evaluation.catalogue import Catalogue, Entry
from papo.evaluation.exchange.foreign import Foreign
from papo.evaluation.exchange.matching import agree, records_of
from papo.types import Item

ITEMS = [Item(f"{n + 1}", f"What is {n}?", (), str(n), "integer") for n in range(4)]
CATALOGUE = Catalogue({item.id: Entry(item, row, f"p{row}") for row, item in enumerate(ITEMS)}, {}, "mine")


def row(index, question="", answer="", by_id=True):
    origin = {"format": "vlmevalkit", "row": {"index": index}}
    return Foreign(("said",), str(index) if by_id else None, index, question, answer, origin)


def ids(found, min_agreement=0.9, catalogue=CATALOGUE):
    records, judged = records_of(found, catalogue, "rescore.path=x", min_agreement, None)
    assert not judged
    return [record.id for record in records]


def test_by_its_id():
    assert ids([row(3, "What is 2?"), row(1, "What is 0?")]) == ["3", "1"]


def test_by_its_number_where_ids_are_others():
    assert ids([row(index, answer=str(index), by_id=False) for index in (0, 3)]) == ["1", "4"]
    assert ids([row(index, f"What is {index}?") for index in range(4)]) == ["1", "2", "3", "4"]  # 0 is no id


def test_by_what_agrees_where_either_could_be():
    assert ids([row(index, f"What is {index}?") for index in (1, 2, 3)]) == ["2", "3", "4"]
    assert ids([row(index, f"What is {index - 1}?") for index in (1, 2, 3)]) == ["1", "2", "3"]


def test_a_picture_is_known():
    records, _ = records_of([row(1, "What is 0?")], CATALOGUE, "x", 0.9, None)
    assert (records[0].picture, records[0].question) == ("p0", "What is 0?")


@pytest.mark.parametrize(
    ("question", "answer", "agrees"),
    [
        ("  what IS\n0? ", "", True),
        ("Look.\nWhat is 0?\nBe brief.", "", True),
        ("is 0?", "", True),
        ("Otherwise?", "0", True),
        ("Otherwise?", "1", False),
        ("", "", False),
    ],
)
def test_the_question_or_the_answer(question, answer, agrees):
    assert agree(row(0, question, answer), ITEMS[0]) == agrees


@pytest.mark.parametrize("answer", ["A", "red", "RED"])
def test_an_option_is_its_letter_and_its_text(answer):
    for gold in ("A", "red", "(A)"):
        item = Item("i", "Which?", (), gold, "choice", choices=("red", "blue"))
        assert agree(row(0, answer=answer), item)
        assert not agree(row(0, answer="B"), item)


def test_other_data_is_refused():
    with pytest.raises(ConfigError, match="2 of 4 rows have neither the question nor the answer"):
        ids([row(n + 1, answer=str(n % 2)) for n in range(4)])
    assert ids([row(n + 1, answer=str(n % 2)) for n in range(4)], min_agreement=0.5) == ["1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="lacks 1 of the 2 items that were answered, such as 9"):
        ids([row(1), row(9)])
    with pytest.raises(ConfigError, match="answers row 9, and 0 more"):
        ids([row(1, by_id=False), row(9, by_id=False)])


def test_of_one_question_for_all_the_answers_tell_the_order():
    """Shifted by one: each row has its item's question, and the right answer of the next."""
    items = [Item(f"{n}", "How many?", (), str(n % 3), "integer") for n in range(6)]
    alike = Catalogue({item.id: Entry(item, row, None) for row, item in enumerate(items)}, {}, "mine")
    rows = [row(n, "How many?", str((n + 1) % 3)) for n in range(5)]
    with pytest.raises(ConfigError, match=r"5 of 5 rows .* that of another one that asks the same"):
        ids(rows, catalogue=alike)
    assert ids(rows, 0, alike) == ["0", "1", "2", "3", "4"]
    assert ids([row(n, "How many?", str(n % 3)) for n in range(5)], catalogue=alike) == ["0", "1", "2", "3", "4"]
    # In a form that is none of ours, or not said: the question stands.
    assert ids([row(n, "How many?", said) for n, said in enumerate(("[0]", "one", ""))], catalogue=alike)


@pytest.mark.parametrize("by_id", [True, False])
def test_answers_to_bad_rows_are_left_out_and_told(by_id, capsys):
    items = {item.id: Entry(item, number + (number > 1), None) for number, item in enumerate(ITEMS)}
    bad = Catalogue(items, {"odd": "empty answer"}, "mine", {2: "odd"})
    names = ("1", "2", "odd", "3", "4")
    found = [
        Foreign(("said",), id if by_id else None, number, "", item.answer, {"row": {}})
        for number, (id, item) in enumerate(zip(names, (*ITEMS[:2], ITEMS[0], *ITEMS[2:]), strict=True))
    ]
    assert ids(found, 0.7, bad) == ["1", "2", "3", "4"]
    said = "1 of 5 answers are to rows that benchmarks.mine cannot use, such as odd (empty answer), and left out"
    assert said in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"1 of 5 answers .* or lower rescore.min_agreement to leave so many out"):
        ids(found, 0.9, bad)
    with pytest.raises(
        ConfigError, match=r"none but rows that benchmarks.mine cannot use, such as odd \(empty answer\)"
    ):
        ids(found[2:3], catalogue=bad)
