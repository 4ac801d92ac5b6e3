"""A folder that is continued holds answers to the same items and of the same weights, or is left as it is."""

import json
import re
from dataclasses import replace

import pytest

from papo.errors import ConfigError
from papo.evaluation.continuing import check_weights, record_files
from papo.evaluation.records import Record
from papo.evaluation.results import records_file
from papo.report import GradedResponse

ANSWERS = {"image": (GradedResponse("\\boxed{1}", "correct", "1", ""),)}


@pytest.fixture
def answered(items, tmp_path):
    """Writes what the models m and n answered: to the first items, with changes to the second record."""

    def answered(most=None, **changes):
        for number, model in enumerate("mn"):
            of = [Record(i.id, i.question, i.answer, dict(i.tags), ANSWERS, i.picture) for i in items[:most]]
            of[1] = replace(of[1], **changes) if model == "n" else of[1]
            file = records_file(tmp_path, number, model, "b")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{record.to_json()}\n" for record in of))

    return answered


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "z"}, "item 2 has the id 'wide', and 'z' when it was answered"),
        (
            {"question": "How many\nsquares?"},
            "item 2 has the question 'How many circles?', and 'How many␊squares?' when",
        ),
        ({"answer": "12"}, "item 2 has the right answer '11', and '12' when"),
        ({"tags": {"a": "b"}}, "item 2 has the tags '{}'"),
        ({"picture": "another"}, "item 2 has the picture '"),
    ],
)
def test_answers_to_other_items_are_not_kept(answered, items, tmp_path, changes, message):
    answered(**changes)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        record_files(tmp_path, {"b": items}, "mn", batch_size=2)
    assert str(refused.value).startswith(f"hydra.run.dir={tmp_path} holds answers to other items than benchmarks.b has")
    assert "\n" not in str(refused.value)
    assert contents(tmp_path) == before


def test_more_answers_than_items_are_not_thrown_away(answered, items, tmp_path):
    answered()
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"holds answers to 5 items of benchmarks\.b, which has 3 now"):
        record_files(tmp_path, {"b": items[:3]}, "mn", batch_size=2)
    assert contents(tmp_path) == before


def test_items_that_came_behind_are_answered_besides(answered, items, tmp_path):
    answered(most=3)
    files = record_files(tmp_path, {"b": items}, "mno", batch_size=2)["b"]
    assert [len(file.records) for file in files.values()] == [2, 2, 0]


def test_what_was_not_answered_is_not_looked_at(answered, items, tmp_path):
    answered(most=2)

    class Source(list):
        def __getitem__(self, index):
            assert index < 2
            return super().__getitem__(index)

    record_files(tmp_path, {"b": Source(items)}, "mn", batch_size=2)


def test_records_of_before_know_no_picture(answered, items, tmp_path):
    answered(picture=None)
    record_files(tmp_path, {"b": items}, "mn", batch_size=2)


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.fixture
def of_m(items, tmp_path):
    return lambda: [record_files(tmp_path, {"b": items}, "mn", batch_size=2)["b"]["m"]]


def test_other_weights_are_refused(answered, of_m, tmp_path):
    check_weights(tmp_path, "model.path=m", "first", of_m())
    answered()
    check_weights(tmp_path, "model.path=m", "first", of_m())
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"holds answers of other weights than model\.path=m has now"):
        check_weights(tmp_path, "model.path=m", "second", of_m())
    assert contents(tmp_path) == before


def test_weights_that_answered_nothing_may_change(answered, of_m, tmp_path, capsys):
    check_weights(tmp_path, "model.path=m", "first", of_m())
    check_weights(tmp_path, "model.path=m", "second", of_m())
    answered()
    check_weights(tmp_path, "model.path=m", "second", of_m())
    assert capsys.readouterr().out == ""


def test_a_folder_of_before_goes_on_and_says_so(answered, of_m, tmp_path, capsys):
    answered()
    check_weights(tmp_path, "model.path=m", "first", of_m())
    assert "does not say which weights gave the answers in it: those of model.path=m now" in capsys.readouterr().out
    (kept,) = tmp_path.rglob("weights.json")
    assert json.loads(kept.read_text()) == {"digest": "first"}
    check_weights(tmp_path, "model.path=m", "first", of_m())
    assert capsys.readouterr().out == ""
