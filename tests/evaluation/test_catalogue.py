"""Items by id and by row of their data, whatever chooses among the rows."""

import json

import pytest
from PIL import Image

from papo.data.module import first_of
from papo.data.screening import Screen
from papo.data.sources import table_source
from papo.evaluation.catalogue import Catalogue, row_of
from papo.lab import LabDataset


@pytest.fixture
def table(tmp_path):
    """Six rows about two pictures, of which the second is bad; with size=3 that one and the last two are drawn."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / name)
    rows = [
        {"id": f"q{n}", "question": f"What is {n}?", "answer": str(n) if n != 1 else "", "image": "ab"[n // 3] + ".png"}
        for n in range(6)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda **settings: table_source(schema="folder", path=str(tmp_path / "data.jsonl"), **settings)


def test_rows_are_those_of_the_data(table):
    drawn = table(size=3)
    assert [row_of(drawn, n) for n in range(3)] == [1, 4, 5]
    first = first_of(drawn, 2)
    assert [row_of(first, n) for n in range(len(first))] == [1, 4]
    assert len(drawn) == 3
    screened = Screen(max_bad_share=1, decode_at_start=False)(first_of(table(), 4), "benchmarks.x")
    assert [row_of(screened, n) for n in range(len(screened))] == [0, 2, 3]
    assert [screened.draft(n).id for n in range(len(screened))] == ["q0", "q2", "q3"]


def test_what_is_drawn_is_numbered_by_its_place():
    screened = Screen(max_bad_share=0, decode_at_start=False)(
        first_of(LabDataset("val", 5, seed=0), 2), "benchmarks.lab"
    )
    assert [row_of(screened, n) for n in range(len(screened))] == [0, 1]


def test_more_rows_than_there_are_are_all(table):
    source = table()
    assert first_of(source, 6) is first_of(source, None) is source


def test_a_catalogue_has_what_can_be_read(table):
    catalogue = Catalogue.of(table(), "x", decode=True)
    assert list(catalogue.by_id) == ["q0", "q2", "q3", "q4", "q5"]
    assert catalogue.bad == {"q1": "empty answer"}
    assert {row: entry.item.id for row, entry in catalogue.by_row().items()} == {
        0: "q0",
        2: "q2",
        3: "q3",
        4: "q4",
        5: "q5",
    }
    pictures = [entry.picture for entry in catalogue.by_id.values()]
    assert pictures[0] == pictures[1] != pictures[2] == pictures[3] == pictures[4]
    assert not any(entry.item.images for entry in catalogue.by_id.values())
    assert catalogue.grader == "rule exact"
    assert {entry.picture for entry in Catalogue.of(table(), "x", decode=False).by_id.values()} == {None}
