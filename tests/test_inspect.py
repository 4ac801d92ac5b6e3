"""What is said of data before a run, without a model."""

import json

import datasets
import pytest

from papo.errors import ConfigError
from papo.inspect import main

ROOMY = ["data.train.share=[0,1]", "data.val.share=[0,1]"]


@pytest.fixture(autouse=True)
def dataset_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    datasets.disable_progress_bars()


def test_a_file_is_inspected_without_a_model(tmp_path, capsys):
    golds = ["3", "$4$", "red", "a } b", ""]
    rows = [{"prompt": f"{n}?", "solution": gold} for n, gold in enumerate(golds)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["data=folder", f"data.train.path={tmp_path / 'rows.jsonl'}", *ROOMY, "model.path=nowhere"])
    of_train, between, of_val = capsys.readouterr().out.partition("data.val: ")
    assert between
    assert of_train.splitlines() == [
        "data.train: 4 rows, layout trl, 4 without a picture, 1 skipped (see skipped.jsonl); "
        "right answers plain numbers 50%, texts 50%",
        "    1 of 4 right answers are wrong under their rule even in a box, such as trl-3 by exact: 'a } b'",
        "data.train: 4 looked at, graded by exact 100%",
        "    bad row trl-4: empty answer",
        "    cannot be matched: trl-3: a } b",
    ]
    assert of_val.startswith("4 rows, layout trl")


@pytest.mark.parametrize(
    ("override", "message"),
    [("data.train.pth=x", "data.train.pth is unknown"), ("data.train.path=/no/file", "must exist")],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        main(["data=folder", override])
