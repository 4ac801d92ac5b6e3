"""Files of lmms-eval and VLMEvalKit, read as they wrote them (theirs/make.py), and written so that they can be read."""

import csv
import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from papo.evaluation.exchange import lmms_eval, vlmevalkit, xlsx
from papo.evaluation.exchange.foreign import OWN, Exported
from papo.evaluation.records import Record
from papo.report import GradedResponse

THEIRS = Path(__file__).parent / "theirs"
GOLDS = {"half": r"\frac{1}{2}", "twelve": "12", "root": r"\sqrt{2}"}
THOUGHT = "<think>a\nb</think> \\boxed{0.5}"
HOSTILE = 'tab\t "quoted"\nline\r_x0041_ 12 \x07 ü'


def samples(name):
    return [json.loads(line) for line in (THEIRS / name).read_text().split("\n") if line]


@pytest.mark.parametrize(
    ("name", "responses"),
    [
        ("lmms_eval_k1.jsonl", [(THOUGHT,), ("12",), ("",)]),
        ("lmms_eval_reasoning.jsonl", [(THOUGHT,), ("12",), ("",)]),
        (
            "lmms_eval_k2.jsonl",
            [
                (THOUGHT, r"\boxed{2/4}"), ("12", "\\boxed{13} \u2028 \r ü \x07"), ("", r"\boxed{\sqrt{2}}"),
            ],
        ),
    ],
)  # fmt: skip
def test_samples_of_lmms_eval(name, responses):
    """Reasoning that its filter strips is read all the same."""
    found = list(lmms_eval.read(THEIRS / name))
    assert [each.responses for each in found] == responses
    assert [each.row for each in found] == [0, 1, 2]
    assert [each.answer for each in found] == list(GOLDS.values())
    assert [each.question for each in found] == [f"How much is {id}?\nAnswer." for id in GOLDS]
    assert {each.own for each in found} == {None}


def test_several_requests_for_an_item_are_several_answers():
    sample = {"doc_id": 1, "filtered_resps": ["a", "b"], "resps": [["a"], ["b"]]}
    assert lmms_eval.foreign(sample).responses == ("a", "b")
    assert lmms_eval.foreign({"doc_id": 1, "filtered_resps": ["a", "b"]}).responses == ("a", "b")
    of_old = {"doc_id": 1, "filtered_resps": ["True"], "resps": [["True", "False"]]}  # no likelihoods
    assert lmms_eval.foreign(of_old).responses == ("True", "False")


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_response_that_is_missing_is_empty(missing):
    """Not the word None, which would be graded as an answer."""
    assert lmms_eval.foreign({"doc_id": 1, "resps": [[missing, "a"]], "filtered_resps": ["a"]}).responses == ("", "a")
    found = lmms_eval.foreign({"doc_id": 1, "resps": None, "filtered_resps": [missing], "target": missing})
    assert (found.responses, found.answer) == (("",), "")
    assert lmms_eval.foreign({"doc_id": 1, "resps": None, "filtered_resps": ["a"]}).responses == ("a",)
    row = {"index": 0, **dict.fromkeys(("prediction", "thinking", "question", "answer"), missing)}
    found = vlmevalkit.foreign(row)
    assert (found.responses, found.question, found.answer) == (("",), "", "")


@pytest.mark.parametrize("name", ["vlmevalkit.tsv", "vlmevalkit.xlsx"])
def test_predictions_of_vlmevalkit(name):
    found = list(vlmevalkit.read(THEIRS / name))
    assert [each.responses for each in found] == [(THOUGHT,), (HOSTILE,), ("NA",)]
    assert [(each.id, each.row) for each in found] == [("0", 0), ("1", 1), ("2", 2)]
    assert [each.answer for each in found] == list(GOLDS.values())
    assert [each.origin["row"].get("category") for each in found] == ["c", None, None]


def test_thinking_that_was_split_off_comes_back():
    row = {"index": 3, "prediction": "\\boxed{1}", "thinking": "one"}
    assert vlmevalkit.foreign(row).responses == ("<think>one</think>\\boxed{1}",)


def test_predictions_as_json(tmp_path):
    (tmp_path / "m_d.json").write_text(json.dumps([{"index": 0, "prediction": "4"}, {"index": 1, "prediction": None}]))
    found = list(vlmevalkit.read(tmp_path / "m_d.json"))
    assert [each.responses for each in found] == [("4",), ("",)]


def records():
    def response(text, **more):
        return GradedResponse(text, "correct", "1", "why", **more)

    hostile = "".join(map(chr, [*range(32), 0x2028, 0xFFFE, 0xD800, 0x1F600])) + '"\t_x0041_ &<>\r\n\\'
    seen = {"image": (response(hostile, tokens=("a",), kl=(0.5,)), response("NA")), "blind": (response(""),)}
    return [
        Record("half", "How much is half?", "B", {"family": "x"}, seen, "p1"),
        Record("7", hostile, "4", {}, {"image": (response("x" * 500_000), response("2"))}),
    ]


def answered(id, gold, each):
    """A record of a row of theirs."""
    graded = tuple(GradedResponse(text, "wrong", None, "") for text in each.responses)
    return Record(id, "?", gold, {}, {"image": graded}, None, each.origin)


def texts(row):
    return {name: str(value) for name, value in row.items()}


def exported(of):
    return [Exported(record, row, ("one", "two")) for row, record in enumerate(of)]


WRITTEN = [(lmms_eval, "m_samples_d.jsonl"), (vlmevalkit, "m_d.tsv"), (vlmevalkit, "m_d.xlsx")]


@pytest.mark.parametrize(("format", "name"), WRITTEN[:2])
def test_our_records_come_back_whole(tmp_path, format, name):
    format.write(tmp_path / name, exported(records()))
    assert [each.own for each in format.read(tmp_path / name)] == records()


def test_a_right_answer_is_a_plain_letter_for_others():
    """(A) says here that no option's text is meant."""
    of = Exported(records()[0], 0, ("H", "A"))
    for gold, written in (("(A)", "A"), ("(B)", "B")):
        each = replace(of, record=replace(of.record, answer=gold))
        assert lmms_eval.sample(each)["target"] == vlmevalkit.prediction(each)["answer"] == written


def test_what_a_cell_of_xlsx_does_not_hold_is_counted(tmp_path):
    path = tmp_path / "m_d.xlsx"
    assert vlmevalkit.write(path, exported(records())) == 1
    first, second = vlmevalkit.read(path)
    assert first.own == records()[0]
    assert second.own is None
    assert second.responses == ("x" * xlsx.LONGEST,)


@pytest.mark.parametrize(("format", "name"), WRITTEN)
@pytest.mark.parametrize(
    "theirs",
    ["lmms_eval_k1.jsonl", "lmms_eval_k2.jsonl", "lmms_eval_reasoning.jsonl", "vlmevalkit.tsv", "vlmevalkit.xlsx"],
)
def test_their_rows_come_back_whole(tmp_path, theirs, format, name):
    """Read, graded here, written in any format, read again."""
    reader = lmms_eval if theirs.startswith("lmms") else vlmevalkit
    found = list(reader.read(THEIRS / theirs))
    of = [answered(id, gold, each) for each, (id, gold) in zip(found, GOLDS.items(), strict=True)]
    format.write(tmp_path / name, exported(of))
    again = list(format.read(tmp_path / name))
    typed = texts if theirs.endswith("xlsx") and name.endswith("tsv") else dict  # TSV knows no numbers
    if typed is dict:
        assert [each.own for each in again] == of
    if format is reader:
        assert [typed(each.origin["row"]) for each in again] == [typed(each.origin["row"]) for each in found]
        assert [each.responses for each in again] == [each.responses for each in found]


def test_a_graded_file_of_lmms_eval_is_theirs_with_a_field_more(tmp_path):
    found = list(lmms_eval.read(THEIRS / "lmms_eval_k2.jsonl"))
    of = [answered(id, gold, each) for each, (id, gold) in zip(found, GOLDS.items(), strict=True)]
    lmms_eval.write(tmp_path / "s.jsonl", exported(of))
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in row if name != OWN} for row in rows] == samples("lmms_eval_k2.jsonl")


def test_lmms_eval_finds_in_ours_what_it_looks_for(tmp_path):
    """Rows by number, responses as it has them, and the first field with score in its name."""
    lmms_eval.write(tmp_path / "s.jsonl", exported(records()))
    first, second = (json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines())
    assert (first["doc_id"], second["doc_id"]) == (0, 1)
    assert second["resps"] == ["x" * 500_000, "2"]
    assert second["filtered_resps"] == "x" * 500_000
    assert (first["target"], first["score"]) == ("B", 1.0)
    assert [name for name in first if "score" in name.lower()] == ["score"]


@pytest.mark.parametrize("name", ["m_d.tsv", "m_d.xlsx"])
def test_pandas_reads_ours_as_vlmevalkit_does(tmp_path, name):
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    record = Record(
        "7", "How much?", "two", {}, {"image": (GradedResponse(HOSTILE.replace("_x0041_\x20", ""), "wrong", None, ""),)}
    )
    path = tmp_path / name
    vlmevalkit.write(path, exported([record]))
    table = pd.read_excel(path) if name.endswith("xlsx") else pd.read_csv(path, sep="\t")
    (row,) = table.to_dict("records")
    assert (row["index"] == 7) or (row["index"] == "7")
    assert (row["question"], row["A"], row["B"], row["answer"]) == ("How much?", "one", "two", "B")
    expected = record.views["image"][0].text
    assert row["prediction"] == (expected.replace("\x07", "_x0007_") if name.endswith("xlsx") else expected)


@pytest.mark.parametrize("name", ["m_d.tsv", "m_d.xlsx"])
def test_fields_that_are_no_scalars_are_written_as_pandas_does(tmp_path, name):
    """Of a table that came as JSON; both files say the same."""
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    row = {"index": "7", "prediction": "a", "skills": ["x", "y"], "more": {"a": [1]}, "score": float("nan")}
    row |= {"most": float("inf"), "hit": True, "n": 3}
    record = answered("7", "a", vlmevalkit.foreign(row))
    vlmevalkit.write(tmp_path / name, exported([record]))
    (found,) = vlmevalkit.rows_of(tmp_path / name)
    expected = texts(row | {"more": "{'a': [1]}", "skills": "['x', 'y']"})
    assert texts(found) == {name: expected[name] for name in row if name != "score"} | {OWN: found[OWN]}
    table = pd.DataFrame([row])
    path = tmp_path / f"theirs_{name}"
    table.to_excel(path, index=False) if name.endswith("xlsx") else table.to_csv(path, sep="\t", index=False)
    (theirs,) = vlmevalkit.rows_of(path)
    assert texts(theirs) == {name: text for name, text in texts(found).items() if name != OWN}


# ------------------------------------------------------------------------------------------------------------- XLSX


def test_a_table_comes_back_from_xlsx(tmp_path):
    rng = random.Random(0)
    letters = [*map(chr, range(0x20)), *"ab_x0041_<>&\"'é\u2028\ufffe\U0001f600"]
    rows = [["".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(30)] for _ in range(40)]
    rows += [[1, -2.5, True, False, None, "1", 1e300, " padded ", "_x005F_", "_x0041_"]]
    xlsx.write(tmp_path / "t.xlsx", rows)
    assert xlsx.read(tmp_path / "t.xlsx") == rows
    xlsx.write(tmp_path / "again.xlsx", rows)
    assert (tmp_path / "again.xlsx").read_bytes() == (tmp_path / "t.xlsx").read_bytes()


def test_cells_that_are_left_out_are_empty(tmp_path):
    xlsx.write(tmp_path / "t.xlsx", [[None, "b", None, 4], [None], ["a"]])
    assert xlsx.read(tmp_path / "t.xlsx") == [[None, "b", None, 4], [], ["a"]]


def test_a_text_that_no_cell_holds_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"32768 characters, more than a cell of XLSX holds \(32767\)"):
        xlsx.write(tmp_path / "t.xlsx", [["x" * 32_768]])
    assert list(tmp_path.iterdir()) == []


def bomb(path, text):
    xlsx.write(path, [["a"]])
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (files | {"xl/sharedStrings.xml": text}).items():
            archive.writestr(name, content)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><sst>&c;</sst>'


def test_a_hostile_xlsx_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    bomb(path, ENTITIES)
    with pytest.raises(ValueError, match="declares a document type"):
        xlsx.read(path)
    bomb(path, b"<sst>" + b" " * 10_000 + b"</sst>")
    monkeypatch.setattr(xlsx, "MOST_BYTES", 9_000)
    with pytest.raises(ValueError, match="unfolds to more than 9000 bytes"):
        xlsx.read(path)
    xlsx.write(path, [["a" * 1000]])
    monkeypatch.undo()
    damaged = bytearray(path.read_bytes())
    for place in range(100, len(damaged) - 300, 7):
        damaged[place] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="no XLSX file"):
        xlsx.read(path)
    path.write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="no XLSX file"):
        xlsx.read(path)


# ---------------------------------------------------------------------------------------------------- damaged files


def own(**changes):
    """A sample whose record of ours is damaged."""
    record = json.loads(records()[0].to_json()) | changes
    return json.dumps({"doc_id": 0, "filtered_resps": "a", OWN: record})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.jsonl", '{"doc_id": 0, "filtered_resps": "a"}\nno json', "line 2 is no sample of lmms-eval"),
        ("s.jsonl", '{"doc_id": 0}', "line 1 is no sample of lmms-eval: KeyError: 'filtered_resps'"),
        ("s.jsonl", '{"filtered_resps": "a"}', "line 1 is no sample of lmms-eval: KeyError: 'doc_id'"),
        ("s.jsonl", '{"doc_id": 0, "filtered_resps": [["-1.5", "False"]]}', "likelihoods of given answers"),
        ("s.jsonl", '{"doc_id": 0, "filtered_resps": "a", "papo": {"id": 1}}', "line 1 is no sample"),
        ("s.jsonl", own(views={}), "line 1 is no sample of lmms-eval: ValueError: papo holds no answers"),
        ("s.jsonl", own(id=5), "ValueError: papo holds what is no text"),
        ("s.jsonl", own(views={"image": [{"text": "a", "verdict": "maybe"}]}), "line 1 is no sample"),
        ("s.jsonl", "[1]", "line 1 is no sample"),
        ("p.tsv", "question\tprediction\na\tb", "row 1 is no prediction of VLMEvalKit: KeyError: 'index'"),
        ("p.tsv", "index\tprediction\tpapo\n1\tb\tno", "row 1 is no prediction"),
        ("p.json", "{}", "it is no list of rows"),
    ],
)
def test_damaged_files_say_where(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        list((lmms_eval if name == "s.jsonl" else vlmevalkit).read(tmp_path / name))


def test_the_limit_of_csv_is_given_back(tmp_path):
    (tmp_path / "p.tsv").write_text(f'"index"\t"prediction"\n"1"\t"{"x" * 200_000}"\n')
    before = csv.field_size_limit()
    (found,) = vlmevalkit.read(tmp_path / "p.tsv")
    assert len(found.responses[0]) == 200_000
    assert csv.field_size_limit() == before
