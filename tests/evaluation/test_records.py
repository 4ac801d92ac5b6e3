"""Records as lines of JSON, and what an interrupted run leaves of them."""

import json
from dataclasses import replace

import pytest

from papo.evaluation.records import Record, RecordFile
from papo.report import GradedResponse

RIGHT = GradedResponse("\\boxed{1}", "correct", "1", "'1' against '1'")
WRONG = GradedResponse("a \ud800 b </script>\n", "wrong", None, "no box", ("a", " b"), (0.5, 0.25), error="format")


def record(id: str, *responses: GradedResponse) -> Record:
    return Record(id, "one?", "1", {"family": "charts"}, {"image": responses, "blind": responses[:1]})


def test_a_record_comes_back_from_its_line():
    written = record("a", RIGHT, WRONG)
    assert "\n" not in written.to_json()
    assert Record.from_json(written.to_json()) == written


def test_records_of_before_do_not_know_what_was_cut_off():
    fields = json.loads(record("a", RIGHT, replace(RIGHT, finished=False)).to_json())
    assert [response.finished for response in Record.from_fields(fields).views["image"]] == [None, False]
    for responses in fields["views"].values():
        for response in responses:
            del response["finished"]
    assert Record.from_fields(fields) == record("a", RIGHT, RIGHT)


def test_accuracy_and_scorability():
    assert record("a", RIGHT, WRONG).accuracy("image") == 0.5
    assert record("a", RIGHT, WRONG).accuracy("blind") == 1.0
    assert record("a", RIGHT, WRONG).scorable
    assert not record("a", RIGHT, GradedResponse("", "unscorable", None, "no gold")).scorable


def test_a_file_grows_and_is_read_again(tmp_path):
    path, records = tmp_path / "deep" / "lab.jsonl", [record(str(n), RIGHT, WRONG) for n in range(5)]
    file = RecordFile(path, batch_size=2, total=5)
    assert file.records == []
    assert not path.parent.exists()
    for start in (0, 2):
        file.append(records[start : start + 2])
    assert file.records == RecordFile(path, batch_size=2, total=5).records == records[:4]
    file.append(records[4:])
    assert RecordFile(path, batch_size=2, total=5).records == records  # finished, though the last batch is small
    assert RecordFile(path, batch_size=2, total=6).records == records[:4]


@pytest.mark.parametrize("torn", [1, 40, 10_000], ids=["a byte", "half a line", "one line and a half"])
def test_a_torn_batch_is_dropped(tmp_path, torn):
    path, records = tmp_path / "lab.jsonl", [record(str(n), RIGHT, WRONG) for n in range(6)]
    RecordFile(path, batch_size=3, total=6).append(records)
    text = path.read_text()
    line = len(records[0].to_json()) + 1
    path.write_text(text[: len(text) - min(torn, line * 3 // 2)])
    there = path.read_text()
    file = RecordFile(path, batch_size=3, total=6)
    assert file.records == records[:3]
    assert file.found == (5 if torn <= line else 4)
    assert path.read_text() == there  # nothing is lost before there is something in its place
    file.append(records[3:])
    assert path.read_text() == text
