"""Whether what is held out is held out."""

import json

import pytest
from hydra import compose

from papo.data.apart import doubts
from papo.inspect import main
from papo.overrides import CONF
from papo.study.composing import hydra


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.train.path=a"], []),
        (["data.train.path=a", "data.val.split=test", "data.val.share=[0,1]", "data.train.share=[0,1]"], []),
        (["data.train.path=a", "data.val.path=b", "data.train.share=[0,1]", "data.val.share=[0,1]"], []),
        (
            ["data.train.path=a", "data.val.path=b"],
            [
                "two tables, of which parts are used: data.train.share=[0,0.9] data.val.share=[0.9,1]; "
                "data.train.share=[0,1] data.val.share=[0,1] takes both whole"
            ],
        ),
        (
            ["data.train.path=a", "data.train.share=[0,1]"],
            [
                "held-out rows are trained on: one table has data.train.share=[0,1] data.val.share=[0.9,1], "
                "which overlap"
            ],
        ),
    ],
)
def test_tables_of_ones_own(overrides, said):
    with hydra():
        data = compose("train", ["data=folder", *overrides]).data
        assert doubts(data.train, data.val) == said


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "data").glob("[!_]*.yaml")))
def test_what_is_shipped_is_held_apart(name):
    with hydra():
        data = compose("train", [f"data={name}"]).data
        assert doubts(data.train, data.val) == []


def test_it_is_said_where_data_is_looked_at(tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"question": f"{n}?", "answer": n}) + "\n" for n in range(30)))
    main(["data=folder", f"data.train.path={file}", "data.train.share=[0,1]"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("held-out rows are trained on")
