"""Whether it is said that a model is measured on what it was trained on."""

import pytest
from hydra import compose
from omegaconf import OmegaConf

from papo.evaluation.run import own_settings
from papo.evaluation.unseen import seen
from papo.study.composing import hydra


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run with these overrides, as far as it says what it was trained on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")

    def run(*overrides):
        with hydra():
            data = compose("train", list(overrides)).data
            folder = tmp_path / "run"
            (folder / "model").mkdir(parents=True)
            (folder / "model" / "config.json").write_text("{}")
            OmegaConf.save(OmegaConf.create({"data": OmegaConf.to_container(data)}), folder / "config.yaml")
        return str(folder)

    return run


def benchmarks(*overrides):
    with hydra():
        return own_settings(compose("evaluate", [*overrides, "run_dir=."]))["benchmarks"]


FOLDER = ("benchmarks=[folder,lab]", "benchmarks.folder.path=rows.jsonl")


@pytest.mark.parametrize("place", ["", "/model"])
def test_rows_that_were_trained_on(run, place):
    folder = run("data=folder", "data.train.path=rows.jsonl") + place
    assert seen(benchmarks(*FOLDER), [folder, "lab_qwen"]) == [
        f"folder: {folder} may have been trained on rows of this table: its run had data.train.share=[0,0.9], "
        "benchmarks.folder.share=[0,1]; what it gets on those says little of others"
    ]
    assert seen(benchmarks(*FOLDER, "benchmarks.folder.share=[0.9,1]"), [folder]) == []


def test_another_table_the_lab_and_a_model_of_no_run(run, tmp_path):
    assert seen(benchmarks(*FOLDER), [run("data=folder", "data.train.path=others.jsonl")]) == []
    assert seen(benchmarks(*FOLDER), ["lab_qwen", str(tmp_path)]) == []


def test_what_a_run_says_in_other_words_is_nothing(run, tmp_path):
    folder = run("data=lab")
    trains = (
        "null",
        "rows.jsonl",
        "[a, b]",
        "{sources: [a]}",
        "{sources: {a: null}}",
        "{share: 0.9, path: rows.jsonl}",
    )
    trains += ("{share: [0, 1], path: [rows.jsonl]}", "{share: [0, 1], path: rows.jsonl, tags: [a]}")
    for text in ("data: [1, 2]", "{", "", *(f"data: {{train: {train}}}" for train in trains)):
        (tmp_path / "run" / "config.yaml").write_text(text)
        assert seen(benchmarks(*FOLDER), [folder]) == []
