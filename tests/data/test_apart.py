"""Whether what is held out is held out."""

import base64
import json
import re

import pytest
from hydra import compose
from PIL import Image

from papo.data import apart
from papo.data.apart import doubts, shared
from papo.data.order import Mixture
from papo.data.screening import Screen
from papo.data.sources import table_source
from papo.inspect import main
from papo.overrides import CONF
from papo.study.composing import hydra

WHOLE = ["data.train.share=[0,1]", "data.val.share=[0,1]"]
OVERLAP = ["held-out rows are trained on: one table has data.train.share=[0,1] data.val.share=[0,1], which overlap"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.train.path=a"], []),
        (["data.train.path=a", "data.train.split=b", "data.val.split=c", *WHOLE], []),
        (["data.train.path=a", "data.train.subset=b", "data.val.subset=c", *WHOLE], []),
        (["data.train.path=a", "data.train.tags={t: [b]}", "data.val.tags={t: [c]}", *WHOLE], []),
        (["data.train.path=a", "data.val.split=c", *WHOLE], OVERLAP),  # of its only split
        (["data.train.path=a", "data.train.subset=b", "data.val.subset=null", *WHOLE], OVERLAP),
        (["data.train.path=a", "data.train.tags={t: [b]}", "data.val.tags=null", *WHOLE], OVERLAP),
        (["data.train.path=a", "data.train.tags={t: [b]}", "data.val.tags={u: [c]}", *WHOLE], OVERLAP),
        (["data.train.path=a", "data.train.tags={t: [1, 2]}", "data.val.tags={t: ['2']}", *WHOLE], OVERLAP),
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two files of a folder, of which a link leads to one, and a folder that `save_to_disk` wrote."""
    (tmp_path / "rows").mkdir()
    for name in ("train", "val"):
        (tmp_path / "rows" / f"{name}.jsonl").write_text("{}\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rows" / "train.jsonl")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_dict.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        ({"path": "rows/train.jsonl"}, {"path": "rows/val.jsonl"}, False),
        ({"path": "rows/train.jsonl"}, {"path": "{}/rows/../rows/train.jsonl"}, True),
        ({"path": "rows/train.jsonl"}, {"path": "./link.jsonl"}, True),
        ({"path": "rows/train.jsonl", "split": "train"}, {"path": "rows/train.jsonl", "split": "val"}, True),
        ({"path": "rows"}, {"path": "rows/val.jsonl"}, True),
        ({"path": "rows/*.jsonl"}, {"path": "rows/val.jsonl"}, True),
        ({"path": "rows"}, {"path": "rows", "split": "val"}, True),
        ({"path": "rows", "split": "train"}, {"path": "rows", "split": "val"}, False),
        ({"path": "rows", "split": "none"}, {"path": "rows/val.jsonl"}, False),  # is refused elsewhere
        ({"path": "saved", "split": "train"}, {"path": "saved", "split": "val"}, False),
        ({"path": "saved", "split": "train"}, {"path": "./saved", "split": "train"}, True),
    ],
)
def test_files_are_told_by_where_they_lie(folder, train, val, said):
    train, val = train | {"share": [0, 1]}, val | {"share": [0, 1], "path": val["path"].format(folder)}
    assert doubts(train, val) == (OVERLAP if said else [])
    apart = doubts(train | {"share": [0, 0.5]}, val | {"share": [0.5, 1]})
    assert not any(line.startswith("held-out") for line in apart)


def test_each_table_of_a_mixture_is_looked_at(folder):
    sources = {name: {"path": f"rows/{name}.jsonl", "share": [0, 1]} for name in ("train", "val")}
    val = {"path": "link.jsonl", "share": [0.5, 1]}
    assert doubts({"sources": sources | {"lab": {"size": 3}}}, val) == [
        "held-out rows are trained on: one table has data.train.sources.train.share=[0,1] data.val.share=[0.5,1], "
        "which overlap"
    ]


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


@pytest.fixture
def screened(tmp_path):
    """A table of questions about pictures, (question, name) each, screened; as files of that colour, or as tars have
    them: with the bytes in the row."""

    def screened(name, rows, measured=False):
        for _, colour in rows:
            if colour:
                Image.new("RGB", (28, 28), colour).save(tmp_path / f"{colour}.png")
        lines = [
            {"question": question, "answer": "1"} | ({"image": f"{colour}.png"} if colour else {})
            for question, colour in rows
        ]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return Screen()(table_source(schema=None, path=str(file)), name, measured=measured)

    return screened


def test_pictures_that_training_shows_too_are_counted(screened, monkeypatch):
    train = screened("train", [("red?", "red"), ("blue?", "blue"), ("none?", None)])
    val = screened("val", [("red?", "red"), ("Which?", "blue"), ("none?", None), ("new?", "green")], measured=True)
    said = ["2 of 4 held-out rows show a picture that is trained on, 2 ask what is trained on word for word"]
    assert shared(train, val) == shared(Mixture({"a": train}, {"a": 1}), val) == said
    val = screened("apart", [("red?", "green"), ("other?", None)], measured=True)
    assert shared(train, val) == []
    val = screened("pictures", [("Which?", "blue")], measured=True)
    assert shared(train, val) == ["1 of 1 held-out rows show a picture that is trained on"]
    monkeypatch.setattr(apart, "LOOKED_THROUGH", 2)
    assert shared(train, val) == []  # would take long


def test_pictures_are_told_by_their_bytes_where_a_row_holds_them(tmp_path):
    file = tmp_path / "red.png"
    Image.new("RGB", (28, 28), "red").save(file)
    encoded = base64.b64encode(file.read_bytes()).decode()
    sources = []
    for name in ("train", "val"):
        table = tmp_path / f"{name}.jsonl"
        table.write_text(json.dumps({"question": f"{name}?", "answer": 1, "image": encoded}) + "\n")
        sources.append(Screen()(table_source(schema=None, path=str(table)), name))
    assert shared(*sources) == ["1 of 1 held-out rows show a picture that is trained on"]


def test_shared_pictures_are_said_where_data_is_looked_at(tmp_path, capsys):
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (28, 28), colour).save(tmp_path / f"{name}.png")
    file = tmp_path / "rows.jsonl"
    rows = [{"question": f"{n}?", "answer": n, "images": ["a.png", "b.png"]} for n in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["data=folder", f"data.train.path={file}"])
    said = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"(\d+) of \1 held-out rows show a picture that is trained on", said)
