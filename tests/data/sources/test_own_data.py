"""Fourteen layouts that users' own data comes in, and what their rows say."""

import base64
import json
import random
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Json, Value
from replicas import encoded, picture, write_lines

from papo.data.screening import Screen
from papo.data.sources import TableSource, table_source
from papo.data.sources.choices import lists, marks
from papo.data.sources.own_data import LAYOUTS
from papo.data.sources.reading import Reading
from papo.data.sources.tables import Place, Table
from papo.errors import BadRow, SettingError
from papo.rewards.grading import Verdict, grade
from papo.types import Item

WIDE, MINUS = "\N{FULLWIDTH DIGIT THREE}", "\N{MINUS SIGN}3"
BASE64 = base64.b64encode(encoded(picture(1))).decode()
USER = {"role": "user", "content": "<image>How many?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PARTS = [{"type": "image", "text": None}, {"type": "text", "text": "How many?"}]
TALK = [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "3"}]
OPTIONS = {"A": "3", "B": "4", "C": None}

# What it is called: the layout that is recognised, and a row with the answer 3 about the picture a.png.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "question": ("folder", {"question": "How many?", "answer": "3", "image": "a.png"}),
    "problem": ("problem", {"problem": "<image>How many?", "answer": "3", "images": ["a.png"]}),
    "verl": (
        "verl",
        {
            "data_source": "ours",
            "prompt": [SYSTEM, USER],
            "images": ["a.png"],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "3"},
            "extra_info": {"index": 0},
        },
    ),
    "trl conversation": ("trl", {"prompt": [{"role": "user", "content": PARTS}], "image": "a.png", "solution": "3"}),
    "trl conversation, answer": (
        "trl",
        {"prompt": [{"role": "user", "content": PARTS}], "images": ["a.png"], "answer": 3},
    ),
    "trl plain": ("trl", {"prompt": "How many?", "image": "a.png", "solution": "<answer>3</answer>"}),
    "swift": (
        "swift",
        {"messages": [SYSTEM, USER, {"role": "assistant", "content": "no"}], "images": ["a.png"], "solution": "3"},
    ),
    "swift without a gold": ("swift", {"messages": [USER, {"role": "assistant", "content": "3"}], "images": ["a.png"]}),
    "llava": ("llava", {"id": "7", "image": "a.png", "conversations": TALK}),
    "vlm-r1": (
        "llava",
        {
            "id": 7,
            "image": "a.png",
            "conversations": [TALK[0], {"from": "gpt", "value": "<answer> four </answer>"}],
            "solution": "<answer> 3 </answer>",
        },
    ),
    "r1-v": (
        "problem",
        {"image": {"bytes": None, "path": "a.png"}, "problem": "How many?", "solution": "<answer> 3 </answer>"},
    ),
    "virl39k": (
        "folder",
        {"qid": "q", "question": "<image>How many?", "answer": "\\boxed{3}", "image": ["a.png"], "category": "c"},
    ),
    "named choices": ("folder", {"question": "How many?", "answer": "A", "choices": OPTIONS, "image": "a.png"}),
    "listed choices": ("folder", {"question": "How many?", "answer": "A", "options": ["3", "4"], "image": "a.png"}),
    "vqa": (
        "folder",
        {"question": "How many?", "answers": [{"answer": "3", "answer_id": n} for n in range(10)], "image": "a.png"},
    ),
    "vlmevalkit": (
        "vlmevalkit",
        {
            "index": 7,
            "image": BASE64,
            "question": "How many?",
            "A": "3",
            "B": "None",
            "C": None,
            "answer": "A",
            "category": "c",
            "hint": "Count.",
        },
    ),
}


def as_lines(folder: Path, row: dict) -> Path:
    return write_lines(folder / "rows.jsonl", [row])


def as_list(folder: Path, row: dict) -> Path:
    (folder / "rows.json").write_text(json.dumps([row], indent=1))
    return folder / "rows.json"


def as_parquet(folder: Path, row: dict) -> Path:
    Dataset.from_list([row]).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def as_disk(folder: Path, row: dict) -> Path:
    Dataset.from_list([row]).save_to_disk(folder / "saved")
    picture(1).save(folder / "saved" / "a.png")
    return folder / "saved"


def as_tsv(folder: Path, row: dict) -> Path:
    cells = [["" if value is None else str(value) for value in row.values()]]
    (folder / "rows.tsv").write_text("".join("\t".join(line) + "\n" for line in [list(row), *cells]))
    return folder / "rows.tsv"


@pytest.fixture
def opened(tmp_path):
    """A table of one row, beside a picture."""
    picture(1).save(tmp_path / "a.png")
    picture(2, 84, 56).save(tmp_path / "b.png")

    def opened(row: dict, write=as_lines, **settings) -> TableSource:
        return table_source(schema=settings.pop("schema", None), path=str(write(tmp_path, row)), **settings)

    return opened


@pytest.mark.parametrize("number", range(len(CASES)), ids=CASES)
@pytest.mark.parametrize("lines", [True, False], ids=["lines", "others"])
def test_every_layout_opens(opened, number, lines):
    """From lines, and from one of the other containers, which take turns."""
    layout, row = list(CASES.values())[number]
    source = opened(row, as_lines if lines else (as_list, as_parquet, as_disk)[number % 3])
    item = source[0]
    assert source.layouts[0] == layout
    assert [image.tobytes() for image in item.images] == [picture(1).tobytes()]
    assert "How many?" in item.question
    assert item.question.count("<image>") <= 1
    assert item.system == ("Be brief." if SYSTEM in [*row.get("prompt", []), *row.get("messages", [])] else "")
    assert "no" not in item.question
    assert grade(item, "\\boxed{3}").correct
    assert grade(item, "\\boxed{4}").verdict is Verdict.WRONG
    assert grade(item, "\\boxed{B}").verdict is Verdict.WRONG


def test_a_table_of_cells_opens(opened):
    item = opened(CASES["vlmevalkit"][1], as_tsv)[0]
    assert item.question == "Hint: Count.\nHow many?\n(A) 3\n(B) None"
    assert (item.id, item.choices, item.tags) == ("7", ("3", "None"), {"category": "c"})
    both = CASES["vlmevalkit"][1] | {"image": json.dumps([BASE64, BASE64]).replace('"', '""').join('""')}
    assert [image.size for image in opened(both, as_tsv)[0].images] == [(56, 56)] * 2


def test_what_else_a_layout_says(opened):
    assert opened(CASES["verl"][1])[0].tags == {"data_source": "ours"}
    assert opened(CASES["verl"][1])[0].id == "verl-0"
    assert opened(CASES["llava"][1])[0].id == "7"
    for name in ("named choices", "listed choices"):
        assert opened(CASES[name][1])[0].question == "How many?\n(A) 3\n(B) 4"


@pytest.fixture
def cells(tmp_path):
    """A table of cells, whose ending says how they are parted."""
    picture(1).save(tmp_path / "a.png")

    def cells(*lines: str, name: str = "rows.csv", **settings) -> TableSource:
        text = "".join(line + "\n" for line in lines)
        (tmp_path / name).write_text(text.replace("|", "\t" if name.endswith(".tsv") else ","))
        return table_source(schema=None, path=str(tmp_path / name), **settings)

    return cells


def test_cells_are_what_was_written_and_no_numbers(cells):
    source = cells("id|question|answer|precision", "001|Code?|007|", "002|Price?|1.20|2.0", "|Is it?|True|")
    found = [(item.id, item.answer, item.answer_type, item.precision) for item in map(source.__getitem__, range(3))]
    assert found == [("001", "007", "integer", None), ("002", "1.20", "float", 2), ("folder-2", "True", "text", None)]


def test_options_of_cells_are_what_was_written(cells):
    header = "index|image|question|A|B|C|answer"
    source = cells(header, "0|a.png|Is it?|True|False||A", "1|a.png|Which?|1.50|2.00|007|B", name="rows.tsv")
    assert source.layouts[0] == "vlmevalkit"
    assert [source[n].choices for n in range(2)] == [("True", "False"), ("1.50", "2.00", "007")]


@pytest.mark.parametrize(
    ("gold", "letter"), [("A", "(A)"), ("$A$", "(A)"), ("D. C", "(D)"), ("H", "(A)"), ("1", "(B)")]
)
def test_a_letter_of_vlmevalkit_is_never_an_options_text(cells, gold, letter):
    item = cells("index|image|question|A|B|C|D|answer", f"0|a.png|Which?|H|A|E|C|{gold}", name="rows.tsv")[0]
    assert item.answer == letter
    assert [box for box in "ABCD" if grade(item, f"\\boxed{{{box}}}").correct] == [letter[1]]


def test_pictures_of_cells_are_found_as_vlmevalkit_finds_them(cells):
    """A short cell names the row that has the picture; several are a list as Python writes it, of any length."""
    other = base64.b64encode(encoded(picture(2, 84, 56))).decode()
    several = f"['{BASE64}', '{other}']"
    lines = [f"7|{other}", f"8|{BASE64}", "9|7", "10|8", f"11|{several}", "12|a.png", "13|9", "14|"]
    lines = [f"{line}|How many?|3|4|A" for line in lines]
    columns = {"image": "shown"}
    source = cells("index|shown|question|A|B|answer", *lines, name="rows.tsv", columns=columns)
    sizes = {"a": (56, 56), "b": (84, 56)}
    assert source.layouts[0] == "vlmevalkit"
    for row, shown in enumerate(["b", "a", "b", "a", "ab", "a", None, ""]):
        for look in (source.__getitem__, source.draft):
            if shown is None:  # of a row that has none itself
                with pytest.raises(BadRow, match="picture file '9' does not exist"):
                    look(row)
            else:
                found = [(image.width, image.height) for image in look(row).images]
                assert found == [sizes[name] for name in shown]


@pytest.mark.parametrize("streaming", [False, True])
def test_ten_thousand_numbers_and_a_word_are_one_column(cells, streaming):
    lines = [f"What is {n}?|{n}" for n in range(10_000)]
    source = cells("question|answer", *lines, "What colour?|red", streaming=streaming)
    if streaming:
        assert {row["answer"] for _, row in source.reading.table.stream(random.Random(0))} >= {"7", "red"}
    else:
        assert (source[7].answer, source[10_000].answer) == ("7", "red")


def test_an_empty_column_of_cells_is_of_no_kind(cells):
    assert cells("question|answer|tags|labels|choices", "Which?|red|||")[0].answer == "red"


def test_cells_have_tags_as_text(cells):
    """As JSON has named fields, or Python."""
    tags = ['"{""kind"": ""bars"", ""level"": 2}"', "{'kind': 'lines'}", "", "bars", '"{""kind"": ""bars"']
    source = cells("question|answer|tags", *(f"Which?|red|{each}" for each in tags))
    assert [source[n].tags for n in range(3)] == [{"kind": "bars", "level": "2"}, {"kind": "lines"}, {}]
    for broken in (3, 4):
        with pytest.raises(BadRow, match="tags is a text, but not of named fields"):
            source[broken]


def test_true_and_false_and_decimals_are_answers(opened):
    for answer, said in ((True, "True"), (Decimal("1.20"), "1.20"), (Decimal("1E+2"), "100")):
        item = opened({"question": "Is it?", "answer": answer}, as_parquet)[0]
        assert item.answer == said
        assert grade(item, f"\\boxed{{{said.lower()}}}").correct
    assert opened({"question": "Is it?", "answer": False})[0].answer == "False"
    assert opened({"question": "Is it?", "choices": [True, False], "answer": "B"})[0].choices == ("True", "False")


def test_a_missing_id_is_none_and_leaves_the_others_as_they_are(tmp_path):
    ids = pa.array([7.0, float("nan"), float("nan"), None, 2.5])
    pq.write_table(pa.table({"id": ids, "question": ["?"] * 5, "answer": ["3"] * 5}), tmp_path / "rows.parquet")
    source = table_source(schema=None, path=str(tmp_path / "rows.parquet"))
    assert [source[row].id for row in range(5)] == ["7", "folder-1", "folder-2", "folder-3", "2.5"]


def test_any_id_of_mixed_types_tells_rows_apart(read):
    asked = {"question": "?", "answer": "3"}
    assert [read(asked | {"id": id}).id for id in (["b"], True, "", 7, " x ")] == [
        "['b']",
        "True",
        "folder-0",
        "7",
        "x",
    ]


@pytest.mark.parametrize("type_", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_narrow_float_says_the_decimals_that_were_meant(tmp_path, type_, streaming):
    """0.1, and not the 0.10000000149011612 that its 32 bits are exactly; in lists and groups of fields too."""
    number = pa.scalar(0.1).cast(type_).as_py()
    group = pa.struct([("answer", type_)])
    columns = {
        "question": pa.array(["How long?"]),
        "answer": pa.array([number], type_),
        "labels": pa.array([[number, None]], pa.list_(type_)),
        "tags": pa.array([{"answer": number}], group),
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    source = table_source(schema=None, path=str(tmp_path / "rows.parquet"), streaming=streaming)
    item = source.endless(0)[0] if streaming else source[0]
    assert (item.answer, item.labels, item.tags) == ("0.1", ("0.1", ""), {"answer": "0.1"})
    assert grade(item, "\\boxed{0.1}").correct


GOLDS = "right answers plain numbers 100%\n"


def test_a_run_says_the_layout_and_which_others_fit(opened, capsys):
    screen = Screen(decode_at_start=False)
    for schema, said in (
        (None, ", layout problem (or data.train.schema=trl)"),
        ("trl", ""),
    ):
        row = {"problem": "How many?", "prompt": "And now?", "solution": "3"}
        source = screen(opened(row, schema=schema), "data.train")
        assert capsys.readouterr().out == f"data.train: 1 rows{said}, 1 without a picture; {GOLDS}"
        assert source[0].question == ("And now?" if schema else "How many?")
    screen(opened(CASES["verl"][1], streaming=True), "data.train")
    assert capsys.readouterr().out == f"data.train: a stream, layout verl; {GOLDS}"


def test_what_no_layout_fits_is_held_against_the_nearest(opened):
    for row, expected in (
        ({"prompt": "a?", "image": "a.png"}, r"looks like trl, .*column 'answer'"),
        ({"problem": "a?"}, r"looks like problem, .*column 'answer'"),
        ({"conversations": "a?"}, r"looks like llava, .*column 'conversations' must be a list of turns"),
        ({"text": "a?", "label": "b"}, r"looks like folder, .*column 'question'.*columns=\{question: NAME\}"),
    ):
        with pytest.raises(SettingError, match=expected):
            opened(row)
    assert opened({"text": "a?", "label": "b"}, columns={"prompt": "text", "solution": "label"})[0].answer == "b"
    row = {"question": "a?", "solution": r"so \boxed{4}", "ground_truth": "5"}
    item = opened(row, columns={"rationale": "solution"})[0]  # which goes on being the right answer
    assert (item.answer, item.rationale) == ("4", row["solution"])


@pytest.fixture
def read(tmp_path):
    """The item of a row, without a table."""
    picture(1).save(tmp_path / "a.png")
    picture(2, 84, 56).save(tmp_path / "b.png")

    def read(row: dict, layout: str = "folder") -> Item:
        settings = dict.fromkeys([field.name for field in fields(Reading)])
        settings |= {"schema": LAYOUTS[layout], "table": Table(None, (tmp_path,), {}), "name": layout}
        settings |= {"template": "{question}", "hints": {}, "max_image_pixels": 10**6}
        return Reading(**settings).item(row, Place(0), decode=True)

    return read


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([USER, {"role": "assistant", "content": "3"}, USER], "2 turns of the user, not one question"),
        ([SYSTEM], "0 turns of the user"),
        ([{"role": "tool", "content": "3"}, USER], "a turn of messages is of 'tool'"),
        ([{"role": "user", "content": [{"type": "video", "video": "a"}]}], "of type 'video', neither text nor image"),
        ([{"role": "user", "content": {"a": 1}}], "a turn of messages is dict, not text"),
        ([{"role": "user", "content": [{"type": "text", "text": 3.5}, {"type": "text", "text": {}}]}], "not text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "empty question"),
        ([{"content": "a?"}], "a turn of messages is of None"),
    ],
)
def test_what_is_no_single_question_is_a_bad_row(read, turns, reason):
    with pytest.raises(BadRow, match=reason):
        read({"messages": turns, "solution": "3"}, "swift")


# ------------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"image": "a.png", "images": ["a.png"]}, "a"),
        ({"image": "./a.png", "images": ["b.png", "a.png"]}, "ba"),
        ({"image": "a.png", "images": ["b.png"]}, "ab"),
        ({"image": ".\\a.png", "images": ["a.png"]}, "a"),
        ({"images": ["a.png", "a.png"]}, "aa"),
        ({"image": {"bytes": None, "path": "a.png"}, "images": [{"bytes": None, "path": "a.png"}]}, "a"),
        ({"image": ["a.png", "b.png"]}, "ab"),
        ({"image": '["a.png", "b.png"]'}, "ab"),
        ({"image": "['a.png', \"b.png\",]"}, "ab"),
        ({"image": f"data:image/png;base64,{BASE64}"}, "a"),
        ({"image": BASE64}, "a"),
        ({"images": [BASE64, "b.png"]}, "ab"),
        ({"image": "file://a.png", "images": ["b.png"]}, "ab"),
        ({"question": "Is <image 2> like <image 1>?", "images": ["a.png", "b.png"]}, "ba"),
        (
            {"question": "Which?", "choices": ["<image 1>", "<image 2>"], "answer": "A", "images": ["b.png", "a.png"]},
            "ba",
        ),
    ],
    ids=str,
)
def test_pictures_of_a_row(read, row, shown):
    item = read({"question": "How many?", "answer": "3"} | row)
    sizes = {"a": (56, 56), "b": (84, 56)}
    assert [image.size for image in item.images] == [sizes[name] for name in shown]
    assert item.question.count("<image>") in (0, len(shown))
    assert "<image " not in item.question + "".join(item.choices)


def test_parts_may_hold_their_pictures(read):
    for part in (
        {"type": "image", "image": "a.png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        {"type": "image", "path": "a.png"},
    ):
        prompt = [
            {"role": "user", "content": [{"type": "text", "text": "Is "}, part, {"type": "text", "text": " red?"}]}
        ]
        item = read({"prompt": prompt, "answer": "yes"}, "trl")
        assert (item.question, item.images[0].size) == ("Is <image> red?", (56, 56))
        if part["type"] == "image":
            assert len(read({"prompt": prompt, "answer": "yes", "images": ["a.png"]}, "trl").images) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "https://host/a.png"}, "nothing is fetched"),
        ({"image": "[a.png"}, "image begins a list and is neither JSON nor Python's"),
        ({"image": "[" * 100_000}, "image begins a list and is neither JSON nor Python's"),
        ({"image": "['a.png', open('b.png')]"}, "image begins a list and is neither JSON nor Python's"),
        ({"image": "['a.png'" + ", 'b.png'" * 100_000}, "image begins a list and is neither JSON nor Python's"),
        ({"question": "<image 2>?", "image": "a.png"}, "the question shows picture 2, which the row does not have"),
        ({"image": "file:///etc/hostname"}, "outside of the data's folder"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_picture_that_cannot_be_had_is_a_bad_row(read, row, reason):
    with pytest.raises(BadRow, match=reason):
        read({"question": "How many?", "answer": "3"} | row)


# ---------------------------------------------------------------------------------------------------------------- golds


@pytest.mark.parametrize(
    "gold",
    [
        "3",
        3,
        "$3$",
        "\\boxed{3}",
        "<answer> 3 </answer>",
        "<answer>\\boxed{3}</answer>",
        "1 + 2 = 3\n#### 3",
        "3.",
        WIDE,
    ],
)
def test_a_gold_is_read_as_an_answer_is(read, gold):
    item = read({"question": "How many?", "answer": gold})
    assert item.answer_type == "integer"
    for right in ("3", "03", "$3$", "\\text{3}", WIDE):
        assert grade(item, f"\\boxed{{{right}}}").correct, right
    for wrong in ("4", "3.5", "-3", "", str(gold) + "0"):
        assert not grade(item, f"\\boxed{{{wrong}}}").correct, wrong


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (MINUS, ["-3", MINUS], ["3"]),
        ("3%", ["3\\%", "3%", "3"], ["4", "30"]),
        ("\\frac{1}{2}", ["0.5", "1/2", "\\frac12"], ["2"]),
        ("1/2", ["0.5", "\\frac{1}{2}"], ["2", "12"]),
        ("$2\\sqrt{3}$", ["\\sqrt{12}"], ["6"]),
        ("x = 3", ["3", "x=3"], ["4"]),
        ("$D$", ["D", "(D)", "d", "D. red"], ["A"]),
        ("(D)", ["D", "d"], ["A"]),
        ("Red", ["red", "\\text{Red}"], ["blue", "r"]),
        ("5 March", ["5 march"], ["5", "3 March"]),
    ],
)
def test_golds_that_made_right_answers_wrong(read, gold, right, wrong):
    item = read({"question": "How many?", "answer": gold})
    assert [grade(item, f"\\boxed{{{each}}}").correct for each in right + wrong] == [True] * len(right) + [False] * len(
        wrong
    )


@pytest.mark.parametrize(
    ("choices", "gold"),
    [
        (["3", "4"], "$B$"),
        (["3", "4"], "b"),
        (["3", "4"], "(b)"),
        (["3", "4"], "B. 4"),
        (["3", "4"], "(B) 4"),
        (["3", "4"], "$4$"),
        (["$3$", "$4$"], "4"),
        (["A. 3", "B. 4"], "B"),
        (["A. 3", "B. 4"], "B. 4"),
        (["(A) 3", "(B) 4"], "4"),
        (["A) 3", "B) 4"], "B) 4"),
        (["A: 3", "B: 4"], "\\boxed{B}"),
        (["3", "4", "5"], 1),
        (["3", "4", "5"], "1"),
        ({"A": "3", "B": "4"}, "B"),
        ({"a": "3", "b": "4"}, "4"),
    ],
    ids=str,
)
def test_choices_and_what_names_them(read, choices, gold):
    item = read({"question": "How many?", "choices": choices, "answer": gold})
    assert item.question.startswith(f"How many?\n(A) {item.choices[0]}\n(B) {item.choices[1]}")
    assert [choice.strip("$") for choice in item.choices[:2]] == ["3", "4"]
    for response in ("B", "(B)", "B. 4", "4"):
        assert grade(item, f"\\boxed{{{response}}}").correct, response
    for response in ("A", "3", "C"):
        assert not grade(item, f"\\boxed{{{response}}}").correct, response


def test_options_that_the_question_has_are_not_listed_again(read):
    question = "How many?\nA. 3\nB. 4"
    assert read({"question": question, "choices": ["3", "4"], "answer": "B"}).question == question
    for options in ("A. 3 B. 4", "3, 4", "[A] 3 [B] 4"):
        asked = {"question": "How many? A. 3 B. 4", "options": options, "answer": "B"}
        assert (read(asked).question, read(asked).choices) == (asked["question"], ())
    assert read({"question": "How many? 3, 4", "options": "3, 4", "answer": "B"}).question == "How many? 3, 4"


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("P(A) = 0.3 and P(B) = 0.5. What is P(A or B)?", "A. 0.15\nB. 0.8"),
        ("In the triangle, sin(A) = sin(B). Which kind is it?", "(A) right (B) isosceles (C) scalene"),
        ("Angle A: 30, angle B: 40. How large is C?", "A. 70\nB. 110\nC. 10"),
        ("Given (A) 10 apples and (B) 20 pears, how many tens?", ["1", "2"]),
        ("Given (A) 1.5 apples and (B) 2.5 pears, how many?", ["1", "2"]),
    ],
)
def test_letters_of_something_else_are_no_options(read, question, options):
    asked = read({"question": question, "options": options, "answer": "B"}).question
    shown = options if isinstance(options, str) else "(A) 1\n(B) 2"
    assert asked == f"{question}\n{shown}"


def test_options_are_found_wherever_a_question_has_them():
    for question in ("**A.** red\n**B.** blue", "Which?(A) $red$;(B) blue"):
        assert marks(question) == "AB", question
    for question in ("Which?A. red,B. blue", "Which? (A)red (B)blue", "A: red\nB: blue", "Which?Choices(A)red(B)blue"):
        assert marks(question) == "AB", question
        assert lists(question, ("red", "blue"))
        assert not lists(question, ("re", "blu"))
    for question in ("Which?(A)3(B)4(C)5", "Which?(A)\\frac{1}{2}(B)4"):
        assert len(marks(question)) >= 2, question


@pytest.mark.parametrize(
    ("options", "gold", "right", "wrong"),
    [
        ("(A) dark red (B) blue", "blue", ["B", "(B)", "blue", "Blue"], ["A", "dark red"]),
        ("A. dark red\nB. blue", "Blue", ["B", "blue"], ["A", "dark red"]),
        ("A) $dark red$;\nB) blue.", "$dark red$", ["A", "dark red"], ["B", "blue"]),
        (r"(A) $\frac{1}{2}$ (B) $\frac{1}{3}$", r"\frac{1}{2}", ["A", "0.5", "1/2"], ["B", "1/3"]),
        ("A. 3.5 B. 4.5", "3.5", ["A", "3.50", "7/2"], ["B", "4.5"]),
        ("A. 3\nB. 4", "3", ["A", "+3", "03"], ["B", "4"]),
        ("(A) a long one\nthat goes on (B) blue", "blue", ["B", "blue"], ["A"]),
    ],
)
def test_the_letter_of_an_option_that_is_the_answer_is_right_too(read, options, gold, right, wrong):
    """What is asked stays as it is, and what else is right."""
    item = read({"question": "Which?", "options": options, "answer": gold})
    assert (item.question, item.answer, item.choices) == (f"Which?\n{options}", gold, ())
    assert [box for box in (*right, *wrong) if grade(item, f"\\boxed{{{box}}}").correct] == right


@pytest.mark.parametrize(
    ("options", "gold"),
    [
        ("(A) red (B) red", "red"),
        ("(A) red", "red"),
        ("(B) red (A) blue", "red"),
        ("(A) red (B) blue", "green"),
        ("A: red\nB: blue\nWhich colour has B?\n(A) blue\n(B) red", "blue"),
    ],
)
def test_an_answer_that_is_no_option_has_no_letter(read, options, gold):
    item = read({"question": "Which?", "options": options, "answer": gold})
    assert not any(grade(item, f"\\boxed{{{letter}}}").correct for letter in "AB")
    assert grade(item, f"\\boxed{{{gold}}}").correct


@pytest.mark.parametrize("column", ["choices", "options"])
@pytest.mark.parametrize(
    "written",
    [
        "['3', '4']",
        '["3", "4"]',
        "[3, 4]",
        "['A. 3', 'B. 4']",
        "{'A': '3', 'B': '4'}",
        '{"A": "3", "B": "4", "C": null}',
    ],
)
def test_options_that_are_a_list_as_text_are_read(read, column, written):
    item = read({"question": "How many?", column: written, "answer": "B"})
    assert (item.question, item.choices, item.answer) == ("How many?\n(A) 3\n(B) 4", ("3", "4"), "B")
    assert grade(item, "\\boxed{4}").correct


def test_options_that_are_another_text_are_shown_as_they_are(read):
    item = read({"question": "How many?", "options": "A. 3  B. 4", "answer": "B"})
    assert (item.question, item.choices) == ("How many?\nA. 3  B. 4", ())
    assert read({"question": "How many?", "options": "3, 4", "answer": "4"}).question == "How many?"
    assert read({"question": "How many?", "options": "[]", "answer": "4"}).choices == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"choices": ["x", "y"], "answer": 2}, "answer 2 for 2 choices: an index begins at 0; write letters instead"),
        ({"choices": ["x", "y"], "answer": 3}, "answer '3' is not among the 2 choices"),
        ({"choices": ["x", "y"], "answer": "C"}, "answer 'C' is not among the 2 choices"),
        ({"choices": {"A": "x", "C": "y"}, "answer": "A"}, "choices are named 'A, C', not A, B, C and so on"),
        ({"choices": {"A": "x", "B": "y", "first": "z"}, "answer": "A"}, "not A, B, C"),
        ({"options": "x, y", "answer": "(B)"}, "is a letter, and neither the question nor 'x, y' has letters"),
        ({"choices": "['x' 'y']", "answer": "A"}, "is a list of one"),
        ({"choices": "{1: 'x', 2: 'y'}", "answer": "A"}, "choices are named '1, 2', not A, B, C"),
        ({"choices": "{'x', 'y'}", "answer": "A"}, "choices is set, not a list of texts"),
        ({"options": "[open('x'), 'y']", "answer": "A"}, "'A' is a letter, and neither"),
        ({"options": "['x', 'y'", "answer": "A"}, "'A' is a letter, and neither"),
        ({"options": "['x', ['y']]", "answer": "A"}, "an item of choices is list, not text"),
    ],
    ids=str,
)
def test_choices_that_cannot_be_told_are_a_bad_row(read, row, reason):
    with pytest.raises(BadRow, match=reason):
        read({"question": "Which?"} | row)


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        (0.00001, ["0.00001", "1e-5", "10^{-5}"], ["0.0001", "1"]),
        (6.02e23, ["6.02\\times 10^{23}", "6.02e23"], ["6.02"]),
        (2.0, ["2", "2.0", "2.00"], ["2.5", "3"]),
        (2.5, ["2.5", "2.50"], ["2"]),
    ],
)
def test_decimals_are_graded_as_numbers_however_python_writes_them(read, gold, right, wrong):
    item = read({"question": "How long?", "answer": gold})
    assert [box for box in (*right, *wrong) if grade(item, f"\\boxed{{{box}}}").correct] == right


def test_pictures_are_named_by_the_place_where_they_are_shown(read):
    asked = {"question": "Is <image 2> like <image 1>? Is <image 2> larger?", "images": ["a.png", "b.png"]}
    assert read(asked | {"answer": "no"}).question == "Is <image> like <image>? Is image 1 larger?"
    asked = {
        "question": "<image 2> beside <image 1>. Which is larger, <image 1> or image 2?",
        "images": ["a.png", "b.png"],
    }
    item = read(asked | {"answer": "image 2", "labels": ["Image 2"], "rationale": "image 1 is small"})
    assert item.question == "<image> beside <image>. Which is larger, image 2 or image 1?"
    assert (item.answer, item.labels, item.rationale) == ("image 1", ("Image 1",), "image 2 is small")
    swapped = {"question": "Which is red?", "choices": ["<image 2>", "<image 1>"], "images": ["a.png", "b.png"]}
    for gold in ("A", "<image 2>", "image 2"):
        item = read(swapped | {"answer": gold})
        assert (item.choices, item.images[0].size) == (("image 1", "image 2"), (84, 56))
        assert grade(item, "\\boxed{A}").correct
        assert not grade(item, "\\boxed{B}").correct


@pytest.mark.parametrize(
    ("answers", "right", "wrong"),
    [
        (["red"] * 6 + ["dark red"] * 3 + ["blue"], ["red", "dark red"], ["blue"]),
        (["red", "crimson"], ["red", "crimson"], ["blue"]),
        (["blue", "red", "red"], ["red", "blue"], ["green"]),
        ([3, 3, 3, "three"], ["3"], ["three"]),
        ([{"answer": "red"}] * 3 + [{"answer": "blue"}] * 2, ["red"], ["blue"]),
    ],
)
def test_several_answers(read, answers, right, wrong):
    """As VQA counts them: an answer of three people is right in full, where three agree."""
    item = read({"question": "What?", "answers": answers})
    assert item.answer == right[0]
    assert [grade(item, f"\\boxed{{{each}}}").correct for each in (*right, *wrong)] == [True] * len(right) + [False]


def test_answers_of_several_types_are_what_was_written(tmp_path):
    """Numbers and texts; a list is no answer, but a text of one."""
    golds = [3, "007", "-", "1.50", "NaN", True, "blue", "1e400", 2.0, "[3, 5]"]
    write_lines(tmp_path / "rows.jsonl", [{"question": "?", "answer": gold} for gold in [*golds, [3, 5]]])
    source = table_source(schema=None, path=str(tmp_path / "rows.jsonl"))
    written = ["3", *golds[1:5], "True", "blue", "1e400", "2", "[3, 5]"]
    assert [source[row].answer for row in range(len(golds))] == written
    with pytest.raises(BadRow, match=r"answer is list, not text; columns=\{answers: answer\}"):
        source[len(golds)]


def test_what_the_library_stored_as_json_is_what_was_written(tmp_path):
    """`datasets` leaves a text bare where that could be JSON, among others that it writes as JSON."""
    golds = [3, "007", "-", "1.50", "NaN", True, "blue", "1e400", 2.0]
    features = Features({"question": Value("string"), "answer": Json()})
    rows = Dataset.from_list([{"question": "?", "answer": gold} for gold in golds], features)
    rows.to_parquet(tmp_path / "rows.parquet")
    source = table_source(schema=None, path=str(tmp_path / "rows.parquet"))
    assert [source[row].answer for row in range(len(golds))] == ["3", *golds[1:5], "True", "blue", "1e400", "2"]


def test_a_column_that_is_called_otherwise_leaves_its_name(tmp_path):
    """Else `answer` would still be the gold, which cannot be a list."""
    write_lines(
        tmp_path / "rows.jsonl", [{"question": "?", "answer": ["5"]}, {"question": "?", "answer": ["five", "5"]}]
    )
    source = table_source(schema=None, path=str(tmp_path / "rows.jsonl"), columns={"answers": "answer"})
    assert [(source[row].answer, source[row].labels) for row in (0, 1)] == [("5", ()), ("five", ("5",))]
    twice = table_source(
        schema=None, path=str(tmp_path / "rows.jsonl"), columns={"answers": "answer", "id": "question"}
    )
    assert (twice[0].id, twice[0].question) == ("?", "?")


def test_a_row_of_more_cells_than_names_is_refused(cells):
    """Else the first cell is an index, and every other one stands under its neighbour's name."""
    with pytest.raises(SettingError, match=r"path must have a name for every cell, got .*rows\.csv with more of them"):
        cells("question,answer", "How many, if any?,2", "Who, here?,3", name="rows.csv")
