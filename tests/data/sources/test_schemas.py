"""Every listed data set in every format: what its rows say, and what a wrong column is told."""

import pickle
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Image, List
from hypothesis import given, settings
from hypothesis import strategies as st
from replicas import FORMATS, REPLICAS, Replica, encoded, picture, plain_parquet, stored, tars, write_lines

from papo.data.sources import TableSource, table_source
from papo.data.sources.own_data import LAYOUTS
from papo.data.sources.raw_items import parse_list, place_images
from papo.data.sources.schemas import SCHEMAS, mmmu_pro, mmmu_pro_vision
from papo.errors import BadRow, SettingError
from papo.rewards.grading.options import option


def plain(items) -> list[dict[str, Any]]:
    """Items as values that can be compared."""
    return [vars(item) | {"images": [(image.size, image.tobytes()) for image in item.images]} for item in items]


def expected_pictures(name: str) -> list[list]:
    """The pictures of a replica's rows, in the order of its columns."""
    replica = REPLICAS[name]
    return [
        [row[column] for column in replica.pictures() if row[column] is not None]
        + [image for column in replica.picture_lists() for image in row[column]]
        for row in replica.rows
    ]


def test_every_schema_has_a_replica():
    """But for the layouts that users' own data may have besides, see test_own_data.py."""
    assert REPLICAS.keys() == SCHEMAS.keys() - (LAYOUTS.keys() - {"folder"})


@pytest.mark.parametrize("name", REPLICAS)
def test_every_format_gives_the_same_items(name, tmp_path):
    """With the pictures that were written, bit for bit, in every format."""
    found = []
    for write in FORMATS:
        (tmp_path / write.__name__).mkdir()
        path = write(REPLICAS[name], tmp_path / write.__name__)
        source = table_source(schema=name, path=str(path), split="train")
        assert len(source) == len(REPLICAS[name].rows)
        found.append(plain(source[i] for i in range(len(source))))
        if write is tars and SCHEMAS[name].id is None:  # several files, whose rows are numbered in each
            assert len({item["id"] for item in found[-1]}) == len(source)
            found[-1] = [item | {"id": one["id"]} for item, one in zip(found[-1], found[0], strict=True)]
        assert found[-1] == found[0], write.__name__
    pictures = [[(image.size, image.tobytes()) for image in images] for images in expected_pictures(name)]
    if name == "mmmu_pro":
        pictures[1].reverse()  # its question names the second first
    assert [item["images"] for item in found[0]] == pictures
    assert all(item["question"] for item in found[0])


@pytest.fixture
def items(tmp_path):
    """The items of a replica."""

    def items(name: str, **settings):
        source = table_source(schema=name, path=str(plain_parquet(REPLICAS[name], tmp_path)), **settings)
        return [source[i] for i in range(len(source))]

    return items


def facts(item, *names: str) -> tuple:
    return tuple(getattr(item, name) for name in names)


def test_chartqa(items):
    item = items("chartqa", template="{question}\nOne word.")[1]
    assert facts(item, "id", "question", "rule") == ("chartqa-1", "Share of blue?\nOne word.", "chartqa")
    assert facts(item, "answer", "labels") == ("12%", ("12%", "0.12"))
    assert [item.tags for item in items("chartqa")] == [{"author": by} for by in ("human", "augmented") * 2]


def test_mathvista(items):
    hints = {"choice": "Letter.", "integer": "Whole.", "float": "{precision} decimals.", "list": "List."}
    choice, whole, decimal, several = items("mathvista", template="{hint}\n{question}", hints=hints)
    assert choice.question == "Letter.\nWhich bar is higher?\nChoices:\n(A) red\n(B) blue"
    assert facts(choice, "answer", "answer_type", "choices") == ("red", "choice", ("red", "blue"))
    assert whole.question == "Whole.\nHow many bars?"
    assert decimal.question == "2 decimals.\nHow long is it? (Unit: cm)"
    assert facts(decimal, "answer", "answer_type", "precision") == ("1.25", "float", 2)
    assert type(decimal.precision) is int  # the file says 2.0
    assert facts(several, "answer", "answer_type", "rule") == ("[1, 2]", "list", "mathvista")
    assert [item.id for item in (choice, whole, decimal, several)] == ["1", "2", "3", "4"]
    assert choice.tags == {
        "question_type": "multi_choice",
        "answer_type": "text",
        "category": "math-targeted-vqa",
        "context": "bar chart",
        "grade": "daily life",
        "language": "english",
        "source": "ours",
        "task": "figure question answering",
        "skill a b": "yes",
        "skill c d": "yes",
    }


def test_mathvista_as_a_folder_of_files(tmp_path):
    """Its first layout: no decoded picture, but a path that starts at the folder, not at the data file."""
    rows = [dict(row) for row in REPLICAS["mathvista"].rows]
    (tmp_path / "images").mkdir()
    (tmp_path / "data").mkdir()
    for row in rows:
        row.pop("decoded_image").save(tmp_path / row["image"], "PNG")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "testmini.parquet")
    source = table_source(schema="mathvista", path=str(tmp_path), split="testmini")
    assert source[2].images[0].tobytes() == picture(3).tobytes()


def test_problems(items):
    boxed, choice, pair, blind = items("virl39k")
    assert facts(boxed, "id", "question", "answer", "answer_type") == (
        "virl39k-0",
        "<image>How many circles?",
        "3",
        "integer",
    )
    assert facts(choice, "answer", "answer_type") == ("B", "choice")
    assert facts(pair, "answer", "answer_type", "rule") == ("\\frac{1}{2}", "text", "math")
    assert [len(item.images) for item in (boxed, choice, pair, blind)] == [1, 1, 2, 0]


def test_mathverse(items):
    choice, only, decimal, whole = items("mathverse")
    assert facts(choice, "id", "answer", "answer_type", "choices") == ("1", "B", "choice", ("3", "4"))
    assert facts(only, "answer", "answer_type", "choices") == ("A", "choice", ())
    assert only.question == "Answer the question in the picture."
    assert facts(decimal, "answer_type", "rule") == ("float", "math")
    assert facts(whole, "answer_type", "rule") == ("integer", "math")
    assert only.tags == {
        "problem_version": "Vision Only",
        "question_type": "multi-choice",
        "subject": "Plane Geometry",
        "subfield": "Angle",
    }


def test_logicvista_leaves_what_nobody_answers_to_its_grader(items):
    assert [item.answer for item in items("logicvista")] == ["A", "B, D", "", "C"]
    assert {item.rule for item in items("logicvista")} == {"logicvista"}


def test_mmmu_pro(items):
    ten, pair, in_options, bare = items("mmmu_pro")
    assert ten.question.startswith("What is in <image>?\n(A) option 0\n(B) option 1")
    assert ten.question.endswith("\n(J) option 9")
    assert facts(ten, "id", "answer", "rule", "tags") == ("test_Art_1", "J", "mmmu_pro", {"subject": "Art"})
    assert pair.question == "Is <image> like <image>?\n(A) yes\n(B) no"
    assert [image.size for image in pair.images] == [(84, 56), (56, 56)]  # the second is named first
    assert in_options.question == "Which one?\n(A) <image>\n(B) <image>"
    assert in_options.choices == ("image 1", "image 2")
    assert bare.question == "<image>Without a marker?\n(A) <a>\n(B) it's"


@pytest.mark.parametrize("schema", [mmmu_pro, mmmu_pro_vision])
def test_a_letter_of_mmmu_pro_is_no_options_text(schema):
    row = {"options": "['H', 'A', 'E']", "answer": "A", "question": "Which label shows the nose?"}
    item = schema(row)
    assert (item.answer, option(item.answer, item.choices)) == ("(A)", "A")


def test_mmmu_pro_vision(items):
    item = items("mmmu_pro_vision")[1]
    assert facts(item, "question", "answer", "choices") == (
        "Answer the question in the picture.",
        "B",
        ("x", "y", "z"),
    )


def test_own_data(items):
    pair, counted, blind, choice = items("folder")
    assert facts(pair, "id", "answer", "answer_type", "rule", "tags") == (
        "one",
        "red",
        "text",
        "exact",
        {"level": "hard"},
    )
    assert facts(counted, "answer_type", "rationale") == ("integer", "seven = 7")
    assert facts(blind, "answer", "answer_type", "precision", "rule", "images") == ("2.0", "float", 1, "math", ())
    assert facts(choice, "question", "answer_type", "choices", "labels") == (
        "Which?\n(A) a\n(B) b",
        "choice",
        ("a", "b"),
        ("B",),
    )


def test_own_data_in_the_fewest_words(tmp_path):
    """Two columns; numbers need no quotes, and one decimal does not make decimals of the others."""
    path = tmp_path / "table.jsonl"
    path.write_text(
        '{"question": "a?", "answer": 3}\n{"question": "b?", "answer": 2.5}\n{"question": "c?", "answer": "x"}'
    )
    source = table_source(schema="folder", path=str(path))
    assert [facts(source[i], "id", "answer", "answer_type") for i in range(3)] == [
        ("folder-0", "3", "integer"),
        ("folder-1", "2.5", "float"),
        ("folder-2", "x", "text"),
    ]


@pytest.mark.parametrize("name", ["chartqa", "mathvista", "mathverse", "logicvista", "mmmu_pro_vision"])
def test_where_every_row_has_a_picture_none_is_asked_blind(name, tmp_path):
    rows = stored(REPLICAS[name], encoded)
    for row in rows[:1]:
        row |= dict.fromkeys(REPLICAS[name].pictures()) | ({"image": "images/1.jpg"} if name == "mathvista" else {})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    source = table_source(schema=name, path=str(tmp_path / "a.parquet"))
    with pytest.raises(BadRow, match=r"picture is missing|picture file .* does not exist"):
        source[0]
    assert len(source[1].images) == 1


# --------------------------------------------------------------------------------------------------------- wrong schema

COLUMNS = [(name, column) for name in REPLICAS for column in SCHEMAS[name].needed(["answer"])]


def rows_of(name: str) -> list[dict[str, Any]]:
    return stored(REPLICAS[name], encoded)


def refusal(name: str, rows, tmp_path) -> str:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "wrong.parquet")
    with pytest.raises(SettingError) as caught:
        table_source(schema=name, path=str(tmp_path / "wrong.parquet"))
    return str(caught.value)


@pytest.mark.parametrize(("name", "column"), COLUMNS, ids=lambda value: value)
def test_a_missing_column_is_named_with_what_was_found(name, column, tmp_path):
    rows = rows_of(name)
    top, _, inside = column.partition(".")
    for row in rows:
        if inside:
            row[top] = {name: value for name, value in row[top].items() if name != inside}
        else:
            del row[top]
    message = refusal(name, rows, tmp_path)
    assert f"column {column!r}" in message
    assert message.startswith(f"path must be data that looks like {name}, got ")
    for other in rows[0]:
        assert re.search(rf"\b{other} \(", message.partition("found")[2]), other


@pytest.mark.parametrize(("name", "column"), [pair for pair in COLUMNS if "." not in pair[1]], ids=lambda value: value)
def test_a_column_of_the_wrong_kind_is_named_with_what_it_is(name, column, tmp_path):
    message = refusal(name, [row | {column: [{"a": 1}]} for row in rows_of(name)], tmp_path)
    assert re.search(rf"column '{column}' must be .*, but is list<.*struct<a: int64>", message)


def test_optional_columns_have_kinds_too(tmp_path):
    message = refusal("folder", [{"question": "a?", "answer": "b", "choices": 3}], tmp_path)
    assert (
        "column 'choices' must be a list of texts or numbers or a group of named fields or text, but is int64"
        in message
    )


def test_columns_may_have_other_names(tmp_path):
    rows = [{"prompt": "a?", "answer": "the prompt's", "solution": "b"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "own.parquet")
    columns = {"question": "prompt", "answer": "solution"}
    source = table_source(schema="folder", path=str(tmp_path / "own.parquet"), columns=columns)
    assert facts(source[0], "question", "answer") == ("a?", "b")
    with pytest.raises(SettingError, match=r"^columns must name .*\(prompt, answer, solution\), got 'answr'"):
        table_source(schema="folder", path=str(tmp_path / "own.parquet"), columns={"question": "answr"})


# ----------------------------------------------------------------------------------------------------------- text lists


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=6))
def test_a_list_that_python_wrote_is_read(values):
    assert parse_list(repr(values)) == tuple(value.strip() for value in values)


@pytest.mark.parametrize(
    "written",
    ["", "A", "['a'", "{'a': 1}", "[__import__('os')]", "[open('/etc/passwd')]", "[['a']]", "[" * 9000, "['a']" * 9000],
    ids=lambda written: written[:12],
)
def test_whatever_else_is_refused(written):
    with pytest.raises(ValueError, match="options"):
        parse_list(written)


@given(st.lists(st.integers(1, 9), max_size=6), st.lists(st.booleans(), min_size=7, max_size=7))
def test_every_picture_is_placed_once(named, there):
    """Whatever the question names, there are as many markers as pictures, and no picture is lost."""
    pictures = [n if present else None for n, present in enumerate(there, 1)]
    question = "".join(f"<image {n}> " for n in named)
    if any(n > 7 or not there[n - 1] for n in named):
        with pytest.raises(ValueError, match="which the row does not have"):
            place_images(question, pictures)
        return
    text, shown = place_images(question, pictures)
    assert text.count("<image>") == len(shown)
    assert sorted(shown) == [n for n in pictures if n is not None]
    firsts = list(dict.fromkeys(named))
    assert shown[len(shown) - len(firsts) :] == firsts


# ------------------------------------------------------------------------------------------------------ other pictures


def paired(tmp_path, *others) -> TableSource:
    """Rows with one picture of 56 x 56 pixels each, and the given other ones, as paths beside the table."""
    rows = []
    for n, other in enumerate(others):
        picture(n).save(tmp_path / f"{n}.png")
        if other is not None:
            other.save(tmp_path / f"other-{n}.png")
        rows.append({"question": "?", "answer": n, "image": f"{n}.png", "changed": other and f"other-{n}.png"})
    path = write_lines(tmp_path / "rows.jsonl", rows)
    return table_source(schema="folder", path=str(path), columns={"counterfactual_image": "changed"})


def test_a_row_may_have_another_picture_for_its_words(tmp_path):
    source = paired(tmp_path, picture(7), None)
    (shown,) = source[0].counterfactual(3)
    assert shown.tobytes() == picture(7).tobytes()
    assert pickle.loads(pickle.dumps(source[0].counterfactual))(5)[0].tobytes() == shown.tobytes()
    assert source[1].counterfactual is None
    assert source.draft(0).counterfactual is not None


@pytest.mark.parametrize("name", ["chartqa", "virl39k"])
def test_any_data_set_may_have_it(name, tmp_path):
    rows = [row | {"counterfactual_images": [picture(9), picture(8)]} for row in REPLICAS[name].rows[:1]]
    features = REPLICAS[name].features | {"counterfactual_images": List(Image())}
    if name == "virl39k":
        rows[0]["images"] = [picture(1), picture(2)]
        rows[0]["problem"] = "<image> or <image>?"
    source = table_source(schema=name, path=str(plain_parquet(Replica(features, rows), tmp_path)))
    if name == "virl39k":
        assert [shown.tobytes() for shown in source[0].counterfactual(0)] == [picture(n).tobytes() for n in (9, 8)]
    else:
        with pytest.raises(BadRow, match=r"56 x 56 and 56 x 56 pixels for a picture of 56 x 56$"):
            source[0]


@pytest.mark.parametrize("look", ["draft", "__getitem__"])
def test_another_size_is_a_bad_row(tmp_path, look):
    """Known from the headers alone, when the rows are looked through."""
    source = paired(tmp_path, picture(7, 84, 56))
    with pytest.raises(BadRow, match=r"^folder-0: counterfactual picture of 84 x 56 pixels for a picture of 56 x 56$"):
        getattr(source, look)(0)
