"""What JSON files say is what their rows have, whatever the first ones were."""

import base64
import json
from dataclasses import fields

import pyarrow as pa
import pytest
from replicas import encoded, picture, write_lines

from papo.data.sources import table_source
from papo.data.sources.json_rows import LOOKED_AT, MOST_FIELDS, TOGETHER, both, decoded, rows_of, type_of
from papo.data.sources.opening import open_table
from papo.errors import BadRow, SettingError

PNG = base64.b64encode(encoded(picture(1))).decode()
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
    assert [*table[0]] == ["question", "answer", "options"]
    assert table.schema.names == ["question", "answer", "options", "rule"]


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
    table = open_table(str(write_lines(tmp_path / "a.jsonl", rows)), None, None, {}, streaming=False)
    assert table.schema.field("a").type == found
    again = open_table(str(tmp_path / "a.jsonl"), None, None, {}, streaming=False)
    assert (again.schema, again[0]) == (table.schema, rows[0])  # of the copy


BROKEN = {
    "cut off": ('{"a": 1}\n\n{"a"', "line 3: Expecting"),
    "no object": ('{"a": 1}\n[1]', "line 2: list is not an object"),
    "no objects": ('[{"a": 1}, 2]', "entry 2: int is not an object"),
    "a text": ('"a"', "line 1: str is not an object"),
    "no JSON": ('{"a": 1}\n{\n"a": b}', "line 3: Expecting value"),
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


@pytest.mark.parametrize(
    "content",
    [
        '{"a": [1]}\n{"a": 2.0}',
        '\ufeff{"a": [1]}\r\n\r\n  {"a": 2.0}\n',
        '{"a": [1]} {"a": 2.0}',
        '{\n "a": [\n1]\n}\n{\n"a": 2.0}',
        '{"a": [1]}\n{\n"a":\n2.0}\n',
        '\n[{"a": [1]},\n{"a": 2.0}]\n',
        '\ufeff[{"a": [1]}, {"a": 2.0}]',
    ],
)
def test_objects_stand_one_a_line_or_in_a_list_or_one_behind_the_other(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content.encode())
    rows = list(rows_of(tmp_path / "a.json"))
    assert [row for _, row in rows] == [decoded(text) for text, _ in rows] == [{"a": [1]}, {"a": 2.0}]


def test_what_json_has_not_and_programs_write(tmp_path):
    """Nothing is None, what no float is as large as is text, and a line may have a tab."""
    (tmp_path / "a.jsonl").write_text('{"a": NaN, "b": [-Infinity, 1e400, 10], "c": "\t\\u00e4\\ud83d\\ude00"}')
    ((_, row),) = rows_of(tmp_path / "a.jsonl")
    assert row == {"a": None, "b": [None, "1e400", 10], "c": "\tä\N{GRINNING FACE}"}


@pytest.mark.parametrize("list_", [False, True], ids=["lines", "list"])
def test_half_of_a_character_is_a_bad_row(list_, tmp_path):
    rows = [{"question": "?", "answer": "a"}, {"question": "\ud83d?", "answer": "b"}]
    written = json.dumps(rows) if list_ else "\n".join(map(json.dumps, rows))
    (tmp_path / "a.json").write_text(written)
    source = table_source(schema=None, path=str(tmp_path))
    assert source[0].answer == "a"
    with pytest.raises(BadRow, match=r"question has half of a character \(position 0\)"):
        source[1]


LATE = [
    {"answer": "red"},
    {"answer": 2.5, "labels": [1.5]},
    {"answer": 10**19},
    {"answer": True},
    {"answer": "C", "options": {"A": 1, "B": "r", "C": "s"}},
    {"answer": "A", "choices": ["x", "y"], "rule": "math", "tags": {"kind": "late"}},
    {"answer": "[3, 5]", "image": PNG},
]


@pytest.mark.parametrize("several", [False, True], ids=["one file", "several"])
def test_a_stream_has_the_rows_of_its_table(several, tmp_path):
    """Whatever comes behind the rows that are looked at first: of any type, and under any name."""
    first = [{"question": f"{n}?", "answer": n, "options": None} for n in range(LOOKED_AT)]
    rows = [*first, *({"question": f"late {n}?"} | row for n, row in enumerate(LATE))]
    for number, start in enumerate(range(0, len(rows), 500) if several else [0]):
        write_lines(tmp_path / f"{number}.jsonl", rows[start : start + 500 if several else None])
    table = table_source(schema=None, path=str(tmp_path))
    items = [table[index] for index in range(LOOKED_AT, len(rows))]
    reader = table_source(schema=None, path=str(tmp_path), streaming=True).endless(0)
    streamed = {item.id: item for item in map(reader.__getitem__, range(len(rows)))}
    for item in items:
        same = [field.name for field in fields(item) if field.name != "images"]
        assert [getattr(streamed[item.id], name) for name in same] == [getattr(item, name) for name in same]
        assert [image.tobytes() for image in streamed[item.id].images] == [image.tobytes() for image in item.images]
    assert [item.answer for item in items] == ["red", "2.5", "10000000000000000000", "True", "C", "A", "[3, 5]"]
    assert [item.choices for item in items[4:]] == [("1", "r", "s"), ("x", "y"), ()]
    assert items[-1].images


def test_a_name_with_brackets_is_a_file(tmp_path):
    write_lines(tmp_path / "a[1].jsonl", [{"question": "?", "answer": "brackets"}])
    write_lines(tmp_path / "a1.jsonl", [{"question": "?", "answer": "none"}])
    assert answers_of(tmp_path / "a[1].jsonl") == ["brackets"]
    assert sorted(answers_of(tmp_path)) == ["brackets", "none"]


def test_the_gold_of_a_group_may_have_several_types(tmp_path):
    golds = ["x", 3, True, 2.5]
    rows = [{"prompt": "?", "reward_model": {"style": n, "ground_truth": gold}} for n, gold in enumerate(golds)]
    source = table_source(schema=None, path=str(write_lines(tmp_path / "a.jsonl", rows)))
    assert source.layouts[0] == "verl"
    assert answers_of(tmp_path) == ["x", "3", "True", "2.5"]


def test_a_row_may_name_the_row_that_has_its_picture(tmp_path):
    """As VLMEvalKit's tables do."""
    shown = [PNG, "7", None, [PNG]]
    rows = [{"index": 7 + n, "image": each, "question": "?", "A": "x", "B": "y"} for n, each in enumerate(shown)]
    path = write_lines(tmp_path / "a.jsonl", [row | {"answer": "A"} for row in rows])
    source = table_source(schema=None, path=str(path))
    assert source.layouts[0] == "vlmevalkit"
    assert [len(source[row].images) for row in range(4)] == [1, 1, 0, 1]
    assert source[0].images[0].tobytes() == source[1].images[0].tobytes()
