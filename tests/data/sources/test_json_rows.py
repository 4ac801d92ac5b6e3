"""What JSON files say is what their rows have, whatever the first ones were."""

import json

import pyarrow as pa
import pytest
from replicas import write_lines

from papo.data.sources import table_source
from papo.data.sources.json_rows import MOST_FIELDS, TOGETHER, both, columns_of, rows_of, type_of
from papo.data.sources.opening import open_table
from papo.errors import ConfigError, SettingError

WHOLE, DECIMAL, TEXT, NOTHING, MIXED = pa.int64(), pa.float64(), pa.string(), pa.null(), pa.json_()


def answers_of(path) -> list[str]:
    source = table_source(schema=None, path=str(path))
    return [source[row].answer for row in range(len(source))]


@pytest.mark.parametrize("list_", [False, True], ids=["lines", "list"])
def test_another_type_may_come_late(list_, tmp_path):
    """Behind ten megabytes the reader of `datasets` refuses it."""
    rows = [{"question": "?" * 30_000, "answer": n} for n in range(400)] + [{"question": "?", "answer": "red", "id": 1}]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1)) if list_ else write_lines(tmp_path / "a.jsonl", rows)
    assert answers_of(tmp_path) == [*map(str, range(400)), "red"]


def test_files_may_differ_in_types_and_columns(tmp_path):
    rows = [
        {"answer": 1, "options": {"A": 1, "B": 2}},
        {"answer": "a b", "rule": "math"},
        {"answer": 2.5},
        {"answer": 2},
    ]
    for number, row in enumerate(rows):
        write_lines(tmp_path / f"{number}.jsonl", [{"question": "?"} | row])
    assert answers_of(tmp_path) == ["1", "a b", "2.5", "2"]
    table = open_table(str(tmp_path), None, None, {}, streaming=False)
    assert table[0]["options"] == {"A": 1, "B": 2}
    assert table[1]["options"] is None


@pytest.mark.parametrize("beside", [[], [3], [True]], ids=["texts alone", "beside a number", "beside truth"])
def test_a_text_is_what_was_written(beside, tmp_path):
    texts = ["2024-05-01", "12:30", "2024-05-01T12:30:00Z", "007", "[3, 5]", "NaN", '{"a": 1}']
    rows = [{"question": "When?", "answer": gold} for gold in [*beside, *texts]]
    assert answers_of(write_lines(tmp_path / "a.jsonl", rows)) == [*map(str, beside), *texts]


@pytest.mark.parametrize("written", ["2024-05-01", "12:30"])
def test_texts_that_are_all_moments_are_texts(written, tmp_path):
    assert (
        answers_of(write_lines(tmp_path / "a.jsonl", [{"question": "When?", "answer": written}] * 2)) == [written] * 2
    )


@pytest.mark.parametrize(
    ("values", "others", "found"),
    [
        ([1, 2], [2.5], DECIMAL),
        ([None], ["a"], TEXT),
        ([1, "a"], [1], MIXED),
        ([1], ["a"], MIXED),
        ([True], [1], MIXED),
        ([True, 1], [1], MIXED),
        ([2**70], [1], MIXED),
        ([2**53 + 1, 0.5], [1], MIXED),
        ([[1]], [[]], pa.list_(WHOLE)),
        ([["a"]], [[1]], MIXED),
        ([["a"]], ["a"], MIXED),
        ([{"a": 1}], [{"b": "c"}, {"a": 1.5}], pa.struct([("a", DECIMAL), ("b", TEXT)])),
        ([[{"a": None}]], [[{"a": "b", "c": True}]], pa.list_(pa.struct([("a", TEXT), ("c", pa.bool_())]))),
        ([{"a": 1}], [{"a": "b"}], MIXED),
        ([{str(n): n for n in range(MOST_FIELDS)}], [None], pa.struct([(str(n), WHOLE) for n in range(MOST_FIELDS)])),
        ([{str(n): n for n in range(MOST_FIELDS)}], [{"-": 1}], MIXED),
        ([[{str(n): n for n in range(MOST_FIELDS + 1)}]], [None], MIXED),
    ],
    ids=repr,
)
def test_a_column_has_the_type_of_all_its_values(values, others, found, tmp_path):
    assert both(type_of(values), type_of(others)) == found
    rows = [{"a": value} for value in values * TOGETHER + others]
    assert columns_of([write_lines(tmp_path / "a.jsonl", rows)]).field("a").type == found


BROKEN = {
    "cut off": ('{"a": 1}\n\n{"a"', "line 3: Expecting"),
    "no object": ('{"a": 1}\n[1]', "line 2: list is not an object"),
    "no objects": ('[{"a": 1}, 2]', "entry 2: int is not an object"),
    "a text": ('"a"', "line 1: str is not an object"),
    "half of a character": (r'{"a": "\ud83d"}', "line 1: 'utf-8' codec can't encode"),
    "deep": ('{"a": ' + "[" * 100_000, "line 1: maximum recursion depth"),
    "deep list": ("[" * 100_000, ": maximum recursion depth"),
    "no row": ("\n \n", "there is no row"),
    "no row of a list": ("[]", "there is no row"),
    "latin": (b'{"a": "\xe4"}', "'utf-8' codec can't decode"),
}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_row_is_told_with_its_place(content, reason, streaming, tmp_path):
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingError, match=f"^path must be data that can be read, got .*{reason}"):
        open_table(str(tmp_path), None, None, {}, streaming)


def test_what_pandas_writes_for_nothing_is_nothing(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '\ufeff{"a": NaN, "b": [Infinity, 1]}\n\n  {"b": "\\u00e4\\ud83d\\ude00"}', "utf-8"
    )
    assert list(rows_of(tmp_path / "a.jsonl")) == [{"a": None, "b": [None, 1]}, {"b": "ä\N{GRINNING FACE}"}]


def test_a_stream_asks_the_first_rows_of_every_file(tmp_path):
    """A later value of another type ends it, by name; without streaming it does not."""
    many = [{"question": "?", "answer": n} for n in range(600)]
    write_lines(tmp_path / "a.jsonl", [*many, {"question": "?", "answer": "red"}])
    write_lines(tmp_path / "b.jsonl", [{"question": "?", "answer": 1.5, "id": "x"}] * 600)
    reader = table_source(schema=None, path=str(tmp_path), streaming=True).endless(0)
    with pytest.raises(ConfigError, match=r"a\.jsonl cannot be read to its end .*column 'answer'.*streaming=false"):
        [reader[n] for n in range(1300)]
    assert "red" in answers_of(tmp_path)
    write_lines(tmp_path / "b.jsonl", [{"question": "?", "answer": "blue"}] * 600)
    reader = table_source(schema=None, path=str(tmp_path), streaming=True).endless(0)
    assert {"red", "blue", "599"} < {reader[n].answer for n in range(1201)}
