"""What is said of data before a run, without a model."""

import json

import datasets
import pytest

from papo.data.audit import audit
from papo.errors import ConfigError
from papo.inspect import main
from papo.types import Item

ROOMY = ["data.train.share=[0,1]", "data.val.share=[0,1]"]


@pytest.fixture(autouse=True)
def dataset_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    datasets.disable_progress_bars()


def item(answer: str, answer_type: str = "text", rule: str = "exact") -> Item:
    return Item(answer, "?", (), answer=answer, answer_type=answer_type, rule=rule)


def test_answers_are_counted_by_kind():
    numbers = [item("$3$", "integer"), item("2.5", "float", "math")]
    words = [item("B", "choice"), item("red"), item("x" * 61), item("seven", "integer"), item("a } b")]
    found = audit([*numbers, *words, item("\\frac{1}{2}", rule="math"), item("?", rule="my.grader")])
    assert found.kinds == {"plain numbers": 2, "letters": 1, "texts": 4, "long texts": 1, "formulas": 1}
    assert found.rules == {"exact": 6, "math": 2, "my.grader": 1}
    assert [each.id for each in found.unmatched] == ["seven", "a } b"]


def test_a_file_is_inspected_without_a_model(tmp_path, capsys):
    golds = ["3", "$4$", "red", "a } b", ""]
    rows = [{"prompt": f"{n}?", "solution": gold} for n, gold in enumerate(golds)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["data=folder", f"data.train.path={tmp_path / 'rows.jsonl'}", *ROOMY, "model.path=nowhere"])
    of_train, between, of_val = capsys.readouterr().out.partition("data.val: ")
    assert between
    assert of_train.splitlines() == [
        "data.train: 4 rows, layout trl, 4 without a picture, 1 skipped (see skipped.jsonl)",
        "    bad row trl-4: empty answer",
        "    right answers of 4: plain numbers 50%, texts 50%",
        "    graded by: exact 100%",
        "    1 are graded as wrong even where a response boxes them",
        "        trl-3: a } b",
    ]
    assert of_val.startswith("4 rows, layout trl")


@pytest.mark.parametrize(
    ("override", "message"),
    [("data.train.pth=x", "data.train.pth is unknown"), ("data.train.path=/no/file", "must exist")],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        main(["data=folder", override])
