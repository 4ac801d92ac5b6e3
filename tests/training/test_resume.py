"""Which settings of a run that goes on are those that it had."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from replicas import write_lines

from papo.data.screening import Screen
from papo.data.sources import table_source
from papo.errors import ConfigError
from papo.training.resume import check_held_out, check_same, measured_after

BEGAN = {
    "seed": 3,
    "ckpt_path": None,
    "resume": {"allow": []},
    "optimizer": {"lr": 0.1},
    "data": {"train": {"rule": "math", "tags": {"a": ["b"], "c": ["d"]}}, "val": {"rule": "math"}, "num_workers": 0},
    "trainer": {"max_steps": 4},
    "engine": {"seed": 3},
    "algorithm": {"optimizer": {"lr": 0.1}},
    "old": {"off": None, "on": 7},
}
REFERENCES = {
    "data": {"val": {"rule": "${data.train.rule}"}},
    "engine": {"seed": "${seed}"},
    "algorithm": {"optimizer": "${optimizer}"},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Of a run that recorded BEGAN."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(BEGAN))
    (tmp_path / "provenance.json").write_text("{}")
    return tmp_path


def going_on(folder, *changes, without=()):
    cfg = OmegaConf.merge(BEGAN, REFERENCES, {"ckpt_path": str(folder / "checkpoints" / "last.ckpt")}, *changes)
    for key in without:
        del cfg[key]
    check_same(cfg)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"trainer": {"max_steps": 9}},
        {"data": {"num_workers": 2}},
        {"resume": {"allow": ["seed"]}, "seed": 4, "engine": {"seed": "${seed}"}},
        {"resume": {"allow": ["optimizer"]}, "optimizer": {"lr": 1}},
        {"of": {"a": {"later": {"version": False, "list": []}}}},
    ],
)
def test_the_same_run_goes_on(folder, change):
    going_on(folder, change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed=4 (was 3); set"),  # once, and not what refers to it
        ({"optimizer": {"lr": 1}}, "optimizer.lr=1 (was 0.1)"),
        ({"data": {"train": {"tags": {"a": ["b", "e"]}}}}, "data.train.tags.a=['b', 'e'] (was ['b'])"),
        ({"later": 5}, "later=5 (was None)"),
        ({"resume": {"allow": ["seed"]}, "seed": 4, "optimizer": {"lr": 1}}, "settings: optimizer.lr=1 (was 0.1); set"),
    ],
)
def test_another_one_does_not(folder, change, named):
    with pytest.raises(ConfigError) as caught:
        going_on(folder, change)
    assert named in str(caught.value)


@pytest.fixture
def held_out(tmp_path):
    """Forty rows of which one may be bad, and the checkpoint of a run that was measured on these and on others."""

    def check(*others, rows=40, without=(), allow=(), items=True):
        lines = [{"id": f"r{n}", "question": "?", "answer": n} for n in range(rows) if n not in without]
        source = table_source(schema="folder", path=str(write_lines(tmp_path / "rows.jsonl", lines)))
        ids = [f"r{n}" for n in range(40)] + [*others]
        measured = {"items_before": {"greedy": ids[:-1], "accuracy": ids, "guessable": ["x", "y"]}} if items else {}
        torch.save({"history": measured}, tmp_path / "last.ckpt")
        cfg = OmegaConf.create({"resume": {"allow": [*allow]}})
        val = Screen(max_bad_share=0.025)(source, "data.val", measured=True)
        check_held_out(cfg, str(tmp_path / "last.ckpt"), val)

    return check


def test_the_items_that_were_held_out_are_held_out(held_out, capsys):
    held_out()
    held_out(rows=80)  # of which some could not be graded
    held_out(without=[7])  # as many as may be bad
    held_out("bad-1", "bad-2", rows=80)  # of all rows
    held_out("elsewhere-1", "elsewhere-2", items=False)  # an older checkpoint knows none
    assert "held-out items" not in capsys.readouterr().out


def test_others_that_are_held_out_now_are_refused_or_said(held_out, capsys):
    with pytest.raises(ConfigError, match=r"last\.ckpt: 2 of the 42 held-out items .* such as a-1, ") as caught:
        held_out("a-1", "a-2", allow=["optimizer.lr", "data.batch_size", "data.train.weights"])
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("'resume.allow=[data.val]'")
    for allow in (["data.val"], ["data"], ["data.train.path"]):
        held_out("a-1", "a-2", allow=allow)
        assert (
            "2 of the 42 held-out items that its run was measured on are not in data.val now" in capsys.readouterr().out
        )


@pytest.fixture
def measured(tmp_path):
    """Looks whether a run that was measured on four rows goes on with others; `keys`: what its record has of them."""
    for name, colour in (("red", "red"), ("blue", "blue")):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "provenance.json"):
        (tmp_path / "run" / name).write_text("{}")

    def source(rows):
        lines = [{"question": question, "answer": answer, "image": f"{image}.png"} for question, answer, image in rows]
        return table_source(schema="folder", path=str(write_lines(tmp_path / "rows.jsonl", lines)))

    def check(now, *, keys=("asked", "picture"), then=ASKED, broken=""):
        items = [*Screen()(source(then), "data.val", measured=True).items()]
        named = [{"item": i.id} | {"asked": i.asked, "picture": i.picture} for i in items]
        of_rows = [
            {"step": 0, "set": kind, **{key: row[key] for key in ("item", *keys)}}
            for row in named
            for kind in ("held_out", "guessable")
        ]
        write_lines(tmp_path / "run" / "held_out.jsonl", of_rows)
        with (tmp_path / "run" / "held_out.jsonl").open("a") as file:
            file.write(broken)
        path = tmp_path / "run" / "checkpoints" / "last.ckpt"
        torch.save({"history": {"items_before": {"accuracy": [item.id for item in items]}}}, path)
        val = Screen()(source(now), "data.val", measured=True)
        check_held_out(OmegaConf.create({"resume": {"allow": []}}), str(path), val)

    return check


ASKED = [("Which?", "1", "red"), ("Which?", "1", "blue"), ("Why?", "2", "red"), ("Why?", "3", "red")]


def test_rows_of_the_same_names_that_are_others_are_refused(measured, tmp_path):
    """Without ids of their own rows are called by their places."""
    measured(ASKED)
    moved = [*ASKED[1:], ASKED[0]]
    with pytest.raises(ConfigError, match=r"4 of the 4 held-out items .* are not in data\.val now, or are others"):
        measured(moved)
    with pytest.raises(ConfigError, match=r" 1 of the 4 held-out items .* such as folder-2, "):
        measured([*ASKED[:2], ("Who?", "2", "red"), ASKED[3]])
    with pytest.raises(ConfigError, match=r" 1 of the 4 held-out items .* such as folder-3, "):
        measured([*ASKED[:3], ("Why?", "4", "red")])
    with pytest.raises(ConfigError, match=r" 1 of the 4 held-out items .* such as folder-1, "):
        measured([ASKED[0], ("Which?", "1", "red"), *ASKED[2:]])
    measured([*ASKED[:3], ("Why?", "4", "red")], keys=["picture"])  # a run of before, which knows pictures alone
    with pytest.raises(ConfigError, match=r" 2 of the 4 held-out items .* such as folder-0, "):
        measured([("Which?", "1", "blue"), ("Which?", "1", "red"), *ASKED[2:]], keys=["picture"])
    measured(ASKED, broken='{"step": 3, "set": "held_o')  # killed while it wrote
    later = json.dumps({"step": 3, "set": "held_out", "item": "folder-3", "asked": "?", "picture": "?"})
    measured(ASKED, broken=f"{later}\n")  # when other rows were allowed once; those of before and after are the first
    (tmp_path / "run" / "provenance.json").unlink()  # what lies there is no run of ours
    measured(ASKED, then=moved)


def test_an_override_that_was_dropped_differs(folder):
    """Where a reference stands again."""
    (folder / "config.yaml").write_text(yaml.safe_dump(BEGAN | {"data": BEGAN["data"] | {"val": {"rule": "exact"}}}))
    with pytest.raises(ConfigError, match=r"data.val.rule=math \(was exact\).*resume.allow=\[data.val.rule\]"):
        going_on(folder)


def test_a_setting_that_is_gone_differs_where_it_was_on(folder):
    with pytest.raises(ConfigError, match=r"old.on=None \(was 7\); set"):
        going_on(folder, without=["old"])


def test_all_that_differ_may_be_allowed_by_what_the_message_says(folder):
    changes = {"seed": 4, "optimizer": {"lr": 1}, "trainer": {"devices": 2}, "a": 1, "b": 2, "c": 3}
    with pytest.raises(ConfigError) as caught:
        going_on(folder, changes)
    assert " and 2 more;" in str(caught.value)
    allowed = str(caught.value).partition("resume.allow=[")[2].rstrip("]'").split(",")
    going_on(folder, changes, {"resume": {"allow": allowed}})


def test_of_a_moved_checkpoint_nothing_is_known(folder, tmp_path):
    (folder / "provenance.json").unlink()  # the config.yaml beside it is another program's
    going_on(folder, {"seed": 9})
    assert measured_after(4, folder)


def test_a_record_that_cannot_be_read_says_so(folder):
    (folder / "config.yaml").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        going_on(folder)


@pytest.mark.parametrize(
    ("metrics", "measured"),
    [
        (None, False),
        ({"steps": 4, "interrupted": False}, True),
        ({"steps": 4, "interrupted": True}, False),
        ({"steps": 2, "interrupted": False}, False),  # it ended there once, and was continued
    ],
)
def test_what_is_left_to_measure(folder, metrics, measured):
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    assert measured_after(4, folder) is measured
