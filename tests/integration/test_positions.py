"""A prompt beyond what the model has positions for is a bad row of a run, and of an evaluation."""

import json
import shutil

import pytest
from replicas import picture, write_lines

DATA = ["data.train.share=[0,1]", "data.val.share=[0,1]", "data.val.size=null", "data.max_bad_share=0.2"]


@pytest.fixture(scope="module")
def short_sighted(tiny_model, tmp_path_factory):
    """A model of 256 positions, and a table of which one row is longer than that."""
    folder = tmp_path_factory.mktemp("short_sighted")
    shutil.copytree(tiny_model, folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 256
    (folder / "model" / "config.json").write_text(json.dumps(config))
    picture(1).save(folder / "1.png")
    rows = [{"question": "red? " * (300 if n == 5 else 1), "answer": str(n), "image": "1.png"} for n in range(8)]
    return folder / "model", write_lines(folder / "rows.jsonl", rows)


def test_a_run_leaves_it_out(train, short_sighted):
    model, table = short_sighted
    run = train("data=folder", f"data.train.path={table}", *DATA, f"model.path={model}", "trainer.max_steps=1")
    assert run.json()["skipped_rows"] == 2  # one of train, one of val
    (reason,) = {json.loads(line)["reason"] for line in (run.path / "skipped.jsonl").read_text().splitlines()}
    assert "prompt of" in reason
    assert "more than the 256 positions that the model has" in reason


def test_an_evaluation_leaves_it_out(command, short_sighted, tmp_path):
    model, table = short_sighted
    settings = [f"model.path={model}", "k=1", "rollout.max_new_tokens=8", "benchmarks=[folder]", "views=[image]"]
    settings += [f"benchmarks.folder.path={table}", "report.first_items=0", f"hydra.run.dir={tmp_path / 'run'}"]
    refused = command("evaluate.py", *settings)
    assert refused.status == 2
    assert "1 of 8 rows cannot be used, more than max_bad_share=0.01 allows" in refused.err
    assert "more than the 256 positions that the model has" in refused.err
