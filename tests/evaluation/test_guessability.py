"""Blind accuracy per item, as rows and as a table."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from papo.errors import ConfigError
from papo.evaluation.answering import BLIND
from papo.evaluation.guessability import blind_only, overview, row, write_guessability
from papo.evaluation.measure import Examination
from papo.evaluation.records import Record
from papo.report import GradedResponse
from papo.run_dir import RunDir
from papo.statistics import mean_over_items
from papo.types import Item


def record(id: str, *verdicts: str) -> Record:
    return Record(id, "?", "1", {}, {"blind": tuple(GradedResponse("", verdict, None, "") for verdict in verdicts)})


ALWAYS = record("always", *["correct"] * 4)
RARELY = record("rarely", "wrong", "correct", "wrong", "wrong")
NEVER = record("never", *["wrong"] * 4)
BROKEN = record("broken", *["unscorable"] * 4)


def test_a_row_by_hand():
    low, high = mean_over_items([0.0, 1.0, 0.0, 0.0]).ci95
    asked = {"asked": Item("", "?", (), "1", "integer").asked, "picture": "p"}
    assert row(replace(RARELY, picture="p")) == {"item": "rarely", **asked, "mean": 0.25, "ci95": [low, high], "k": 4}
    assert 0 < low < 0.25 < high < 1
    assert row(BROKEN) == {"item": "broken", **asked, "picture": None, "mean": None, "ci95": None, "k": 4}


def test_the_overview_is_over_items_that_can_be_graded():
    found = overview([ALWAYS, RARELY, NEVER, BROKEN])
    assert (found["items"], found["n"], found["mean"]) == (4, 3, pytest.approx(1.25 / 3))
    # Above, not at: 25 is where the second item lies.
    assert found["above"] == {"0.25": pytest.approx(1 / 3), "0.5": pytest.approx(1 / 3), "0.75": pytest.approx(1 / 3)}
    assert overview([BROKEN]) == {"items": 1}


def test_items_about_one_picture_count_once(tmp_path, capsys):
    records = [
        replace(record, id=f"{record.id} {n}", picture=f"{record.id} {n // 4}")
        for record in (ALWAYS, NEVER, RARELY, BROKEN)
        for n in range(8)
    ]
    found = overview(records)
    pictures = [record.picture for record in records if record.scorable]
    expected = mean_over_items([1.0] * 8 + [0.0] * 8 + [0.25] * 8, pictures)
    assert (found["ci95"], found["pictures"]) == (list(expected.ci95), 6)
    apart = overview([replace(record, picture=None) for record in records])
    assert found["ci95"][1] - found["ci95"][0] > 1.5 * (apart["ci95"][1] - apart["ci95"][0])
    write_guessability(RunDir(tmp_path), {"one": records})
    assert "| one, about 6 pictures, over which its interval is | 41.7 [" in capsys.readouterr().out


def test_what_is_written_and_printed(tmp_path, capsys):
    found = write_guessability(RunDir(tmp_path), {"one": [ALWAYS, RARELY], "none": [BROKEN]})
    assert json.loads((tmp_path / "guessability.json").read_text()) == found
    lines = (tmp_path / "guessability" / "one.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row(ALWAYS), row(RARELY)]
    out = capsys.readouterr().out
    assert "| one            | 62.5 [" in out
    assert "| none           | no item can be graded |" in out


def test_one_model_is_examined_blind_and_nothing_else():
    whole = Examination({"image": None, "blind": BLIND}, 2, 3, SimpleNamespace(), 5, None, 0, 0)
    only = blind_only(whole, ["a"])
    assert (only.views, only.k, only.batch_size, only.seed) == ({"blind": BLIND}, 2, 3, 5)
    with pytest.raises(ConfigError, match=r"^compare must be \[\] with guessable=true"):
        blind_only(whole, ["a", "b"])
