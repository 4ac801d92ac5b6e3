"""What a comparison leaves behind."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from study.fake_runs import write_run

from papo.errors import ConfigError
from papo.study.__main__ import main


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two arms of two seeds at two levels, and a run that is not finished."""
    runs, out = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("out") / "deep"
    rng = np.random.default_rng(0)
    for share, name, seed in ((s, n, d) for s in (0.0, 1.0) for n in ("grpo", "papo") for d in (0, 1)):
        values = {(step, "held_out", "accuracy"): rng.random(12) for step in (0, 20, 40)}
        values[40, "held_out", "error_perception"] = rng.random(12)
        write_run(runs / f"{name}-{share}-{seed}", name, seed, values=values, guessable_share=share)
    (write_run(runs / "half", "papo", 5) / "metrics.json").unlink()
    command = [str(runs), "--baseline", "grpo", "--out", str(out), "--by", "guessable_share", "--reach", "0.1"]
    assert main(command) == 0
    return out


def test_the_table_has_a_row_for_each_run_and_metric(compared):
    with (compared / "study.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["run", "arm", "seed", "metric", "value", "guessable_share"]
    metrics = {"accuracy", "accuracy_gain", "error_perception", "seconds_per_step", "peak_memory_gib"}
    metrics |= {"steps_to_0.1", "seconds_to_0.1"}
    assert {row["metric"] for row in rows} == metrics
    assert len(rows) == 8 * len(metrics)
    assert {(row["arm"], row["seed"], row["guessable_share"]) for row in rows if row["run"] == "papo-1.0-1"} == {
        ("papo", "1", "1.0")
    }


def test_json_holds_comparisons_arms_curves_and_what_runs_have_in_common(compared):
    found = json.loads((compared / "study.json").read_text())
    effect = found["comparisons"]["papo guessable_share=1.0"]["accuracy"]
    assert effect.keys() == {"mean", "ci95", "seeds"}
    assert effect["ci95"][0] < effect["mean"] < effect["ci95"][1]
    assert set(found["comparisons"]) == {"papo guessable_share=0.0", "papo guessable_share=1.0"}
    assert set(found["arms"]) == set(found["comparisons"]) | {"grpo guessable_share=0.0", "grpo guessable_share=1.0"}
    assert set(found["curves"]["grpo guessable_share=0.0"]["accuracy"]) == {"0", "20", "40"}
    assert found["left_out"] == {"half": "not finished"}
    assert found["settings"]["model.path"] == "lab_qwen"
    assert not {"seed", "name", "guessable_share", "run_dir"} & found["settings"].keys()


def test_markdown_names_what_is_left_out_and_points_to_the_figure(compared):
    text = (compared / "study.md").read_text()
    assert "- half is left out: not finished" in text
    assert "### Accuracy: difference from the baseline" in text
    assert "### What went wrong: each arm" in text
    assert "![The study at a glance](figure.png)" in text


def test_the_page_and_the_figure_are_there(compared):
    assert Image.open(compared / "figure.png").size[0] > 500
    page = (compared / "study.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "Items</h2>" not in page
    assert "half is left out: not finished" in page


def test_unlike_runs_leave_nothing_behind(tmp_path):
    for name, share in (("grpo", 0.0), ("papo", 1.0)):
        write_run(tmp_path / name, name, data__train__guessable_share=share)
    with pytest.raises(ConfigError, match=r"data\.train\.guessable_share is 0\.0 in grpo and 1\.0 in papo"):
        main([str(tmp_path), "--baseline", "grpo", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changed", [{"git_commit": "def"}, {"git_dirty": True}, {"code": {"papo": "1"}}])
def test_runs_of_several_codes_are_named(changed, tmp_path, capsys):
    """Of commits, where a run was made before there were digests of the code."""
    before = {} if "code" not in changed else {"code": {"papo": "0"}}
    for name, seed in (("grpo", 0), ("grpo", 1), ("papo", 0), ("papo", 1)):
        provenance = changed if (name, seed) == ("papo", 1) else before
        write_run(tmp_path / "runs" / f"{name}-{seed}", name, seed, provenance=provenance)
    assert main([str(tmp_path / "runs"), "--baseline", "grpo", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "- papo-1 was made by other code (" in said
    assert ") than grpo-0, grpo-1, papo-0 (" in said


def test_a_run_that_ended_early_is_named(tmp_path, capsys):
    """As on_collapse=stop ends it."""
    for name, seed, steps in (("grpo", 0, 40), ("papo", 0, 40), ("grpo", 1, 40), ("papo", 1, 12)):
        write_run(tmp_path / "runs" / f"{name}-{seed}", name, seed, metrics={"steps": steps})
    assert main([str(tmp_path / "runs"), "--baseline", "grpo", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "- papo-1 ended after 12 of 40 steps\n" in said
    assert said.count("ended after") == 1
    assert "papo-1 ended after 12 of 40 steps." in (tmp_path / "out" / "study.html").read_text()


@pytest.mark.parametrize(("seeds", "said"), [((0,), True), ((0, 1), False)])
def test_one_seed_says_nothing_of_others(seeds, said, tmp_path):
    for name in ("grpo", "papo"):
        for seed in seeds:
            write_run(tmp_path / "runs" / f"{name}-{seed}", name, seed)
    assert main([str(tmp_path / "runs"), "--baseline", "grpo", "--out", str(tmp_path / "out")]) == 0
    assert (", of one seed over items alone." in (tmp_path / "out" / "study.md").read_text()) is said


def test_detect_says_what_it_takes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, seed in (("grpo", 0), ("grpo", 1), ("papo", 0), ("papo", 1)):
        values = {(40, "held_out", "accuracy"): rng.random(12)}
        write_run(tmp_path / "runs" / f"{name}{seed}", name, seed, values=values)
    main([str(tmp_path / "runs"), "--baseline", "grpo", "--out", str(tmp_path / "out"), "--detect", "20"])
    assert "To see a difference of 20 points of accuracy four times in five:\n  papo: " in capsys.readouterr().out
