"""corruption=counterfactual from a table to a run and to an evaluation, or refused before anything is written."""

import json

import pytest
from replicas import picture, write_lines

FOLDER = ["data=folder", "corruption=counterfactual", "data.val.size=null", "val.samples=1", "val.blind=false"]
SHARES = ["data.train.share=[0,1]", "data.val.share=[0,1]"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The path of a table of eight rows, with another picture for the words of each, or without."""
    folder = tmp_path_factory.mktemp("table")
    for n in range(8):
        picture(n).save(folder / f"{n}.png")
        picture(100 + n).save(folder / f"other-{n}.png")
    rows = [{"question": "red?", "answer": str(n), "image": f"{n}.png"} for n in range(8)]
    with_others = [row | {"counterfactual_image": f"other-{n}.png"} for n, row in enumerate(rows)]
    return {
        "with": str(write_lines(folder / "with.jsonl", with_others)),
        "without": str(write_lines(folder / "without.jsonl", rows)),
        "but one": str(write_lines(folder / "but_one.jsonl", [*with_others[:5], rows[5], *with_others[6:]])),
    }


def test_a_run_looks_at_it_from_wherever_it_was_loaded(train, table):
    """In another process or this one, prompts of refills too; and it is another view than a mask."""
    settings = [*FOLDER, *SHARES, f"data.train.path={table['with']}", "algorithm=papo_d", "perception_coef=0.1"]
    here = train(*settings)
    assert here.scalars["group/refills"][1] > 0
    assert here.scalars["perception/kl"][1] > 0
    there = train(*settings, "data.num_workers=1")
    assert there.weights == here.weights
    masked = train(*settings, "corruption=random_patch")
    assert masked.weights != here.weights


def test_data_without_it_is_refused_at_start(command, tiny, table, tmp_path):
    run = tmp_path / "run"
    finished = command(
        "train.py", *tiny, *FOLDER, *SHARES, f"data.train.path={table['without']}", f"hydra.run.dir={run}"
    )
    assert finished.status == 2
    assert "corruption=counterfactual needs data with a second picture" in finished.err
    assert not (run / "metrics.json").exists()
    assert not (run / "config.yaml").exists()


def test_a_row_without_it_is_a_bad_row(train, table):
    settings = [*FOLDER, *SHARES, f"data.train.path={table['but one']}", "data.max_bad_share=0.2"]
    assert train(*settings).json()["skipped_rows"] == 1


def test_a_run_that_does_not_look_at_it_takes_any_data(train, table):
    train(*FOLDER, *SHARES, f"data.train.path={table['without']}", "perception_coef=0", "trainer.max_steps=1")


def test_an_evaluation_shows_it(command, tiny_model, table, tmp_path):
    settings = [f"model.path={tiny_model}", "k=2", "rollout.max_new_tokens=8", "benchmarks=[folder]"]
    settings += ["corruption=counterfactual", f"benchmarks.folder.path={table['with']}"]
    finished = command("evaluate.py", *settings, f"hydra.run.dir={tmp_path / 'run'}")
    assert finished.status == 0, finished.err
    (file,) = (tmp_path / "run" / "records").glob("*/folder.jsonl")
    answered = [json.loads(line)["views"] for line in file.read_text().splitlines()]
    assert [set(views) for views in answered] == [{"image", "masked", "blind"}] * 8
    assert any(views["masked"] != views["image"] for views in answered)
    refused = command(
        "evaluate.py", *settings, f"benchmarks.folder.path={table['without']}", f"hydra.run.dir={tmp_path / 'other'}"
    )
    assert refused.status == 2
    assert "corruption=counterfactual needs data with a second picture" in refused.err
