"""Scripts of experiments/ do what they are for, cut down to a moment.

Their own sizes take minutes to hours, so that nobody sees for weeks that one has stopped working. Those that
tests/test_experiments.py alone looks at need what is not here (trl, Optuna, mutmut, a browser, a device), or processes
of their own, or do nothing of the library that no script here does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from papo.policy import group_attention, vlm

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(monkeypatch) -> Callable[..., ModuleType]:
    """Imports one as its command would begin it, from the folder it is in; `constants` replace its own.

    What it does to the process is undone: arguments, streams, environment, threads, modules found beside it.
    """
    before, threads, generator = set(sys.modules), torch.get_num_threads(), torch.get_rng_state()
    environment = dict(os.environ)
    for owner, replaced in ((sys, "stdout"), (group_attention, "SHARED_FROM"), (vlm, "token_scores")):
        monkeypatch.setattr(owner, replaced, getattr(owner, replaced))  # which undoes what a script does

    def load(name: str, *arguments: object, **constants: object) -> ModuleType:
        path = EXPERIMENTS / name
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        monkeypatch.syspath_prepend(path.parent)
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = sys.modules[path.stem] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        for constant, value in constants.items():
            assert hasattr(module, constant)
            setattr(module, constant, value)
        return module

    yield load
    for name in set(sys.modules) - before:
        if str(EXPERIMENTS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(threads)
    torch.set_rng_state(generator)


def test_a_step_is_timed(script, tmp_path, capfd):
    """By papo_step.py and, with the same arguments, parts.py; on the model that model.py writes."""
    model = script("step_cost/model.py")
    assert model.build(tmp_path) > 2e6
    sizes = {"steps": 1, "prompts": 2, "group-size": 2, "new-tokens": 3, "image-size": 56, "threads": 1}
    arguments = [word for name, size in sizes.items() for word in (f"--{name}", size)]
    script("step_cost/papo_step.py", "--model", tmp_path, "--vision", "trained", *arguments).main()
    facts = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert facts["implementation"] == "papo"
    assert facts["median"] > facts["rollout"] > 0
    # papo_step, whose arguments parts.py takes over, stands in sys.modules
    script("step_cost/parts.py").main()
    parts = json.loads(capfd.readouterr().out)
    assert {"sample", "reference: score", "backward, with gradient", "vocabulary, with gradient"} <= parts.keys()


def test_what_a_view_leaves(script, capsys):
    arms = {"grpo": [], "blur": ["corruption=gaussian_blur"]}  # each of the study's is composed in tests/study
    study = SimpleNamespace(safe_load=lambda text: {"arms": arms, "baseline": "grpo"})
    script("view/left.py", "lab_qwen", "--items", 1, yaml=study).main()
    names = [row.split(" | ")[0] for row in capsys.readouterr().out.splitlines()[2:]]
    assert names == ["| (the picture itself)", "| blur"]


def test_a_classifier_is_asked_about_each_view(script, tmp_path):
    of = script("view_distance/run.py", "--pictures", 25, "--epochs", 1, "--out", tmp_path / "table.md")
    of.VIEWS = {name: of.VIEWS[name] for name in ("mirror, vertical", "swap", "counterfactual")}
    of.main()
    assert len((tmp_path / "table.md").read_text().splitlines()) == 2 + 3


def test_where_a_response_looked(script, capsys):
    script("looking/where.py", ITEMS=18).main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[1:]] == ["| mean", "| mean", "| black", "| black"]


def test_a_page_of_long_responses(script, tmp_path):
    script("looking/long.py", tmp_path / "page.html", ITEMS=1, WIDTH=64, HEIGHT=48).main()
    assert "made up" in (tmp_path / "page.html").read_text()


def test_peaks_with_and_without_checkpointing_and_shared_prompts(script, tmp_path):
    sizes = {"HERE": tmp_path, "LAYERS": (1,), "N": 1, "G": 2, "T": 4, "SIDE": 4}
    script("checkpointing/run.py", **sizes).main()
    assert (tmp_path / "peaks.png").is_file()
    script("prompt_memory/run.py", HERE=tmp_path, LAYERS=1, SIZES=((2, 8, 32),), ROUNDS=1).main()
    *_, row = (tmp_path / "table.md").read_text().splitlines()
    assert len(row.split("|")) == 10


def test_a_precision(script):
    of = script("precision/run.py", STEPS=1, ITEMS=1)
    refused, losses, moved = of.train(of.Setting("bf16-true", "bfloat16", "adamw"), lr=1e-3)
    assert refused
    assert len(losses) == 1
    assert moved.any()


def test_a_vocabulary_in_chunks(script, monkeypatch):
    of = script("vocabulary_memory/run.py", VOCABULARY=50)
    for quantity in of.QUANTITIES:
        of.step("chunked", quantity, tokens=6, chunk_tokens=4)()
    monkeypatch.setattr(sys, "argv", ["", "--one", "plain", "scores", "4"])
    of.main()


def test_pictures_of_photographs(script, capsys):
    script("data_speed/photographs.py", "--count", 2, SIZE=(112, 56)).main()
    assert "2 pictures of 0 megapixels, 0 workers" in capsys.readouterr().out


def test_golds_are_tried(script, capsys):
    cut_down = {"RULES": ("math", "mathvista"), "EQUATIONS": ("x=y", "0"), "another_bar": lambda tolerance: 0.4}
    script("reward_hacking/run.py", "--golds", 40, "--constants", 2, "--neighbours", 1, **cut_down).main()
    said = capsys.readouterr().out
    assert said.startswith("missed 0 of ")
    assert "let through 0 of " in said


def test_another_graders_cases(script, tmp_path, capsys):
    cases = '[("1/2", "so it is $0.5$", True), ("3", "4", True), ("x", ["no text"], False)]'
    (tmp_path / "test_theirs.py").write_text(f"@mark.parametrize('gold,pred,expected', {cases})\ndef test(): ...\n")
    script("grading_oracle/run.py", tmp_path).main()
    assert "{'agree': 1, 'missed': 1, 'let through': 0} of 2" in capsys.readouterr().out


def test_coverage_of_intervals(script, tmp_path):
    of = script("study_coverage/run.py", "--draws", 1, SEEDS=(2,), ITEMS=(64,), SD_SEEDS=(0.0,), RIGHT=(0.95,))
    of.__file__ = str(tmp_path / "run.py")
    of.main()
    assert "greedy, the same items always" in (tmp_path / "table.md").read_text()


def test_a_late_start_is_paired_with_an_early_one(script, tmp_path, capsys):
    of = script("onset/paired.py")
    for name, right in (("from_the_start", 1.0), ("from_step_10", 0.5), ("from_step_20", 0.25)):
        for seed in (50, 51):
            (tmp_path / f"{name}_seed={seed}").mkdir()
            rows = [
                {"set": "held_out", "step": step, "measure": measure, "item": f"{n}", "picture": f"{n}", "value": right}
                for step in (10, 20, 30)
                for measure in ("greedy", "guessed")
                for n in range(8)
            ]
            (tmp_path / f"{name}_seed={seed}" / "held_out.jsonl").write_text("\n".join(map(json.dumps, rows)))
    of.main(tmp_path)
    greedy = [row.split(" | ")[3].split()[0] for row in capsys.readouterr().out.splitlines()[2:]]
    assert greedy == ["-50.0", "-75.0", "-50.0"]


def test_what_is_read_of_a_run(script, train, brief, tmp_path, capsys):
    run = train("experiment=papo_qwen", *brief, "trainer.max_steps=1", "val.greedy=true")
    capsys.readouterr()
    of = script("accelerator/compare.py", run.path, run.path)
    of.main()
    same = len(run.rollouts)
    *_, row = capsys.readouterr().out.splitlines()
    assert f"| {run.path.name} | 1 | {same} of {same} | " in row
    plot = script("collapse/plot.py")
    # of more steps: a validation between them, and as many as the monitor's window
    assert {*plot.TAGS} - run.scalars.keys() == {"course/accuracy", "collapse/score"}
    plot.main(str(tmp_path / "curves.png"), f"A={run.path}")
    assert (tmp_path / "curves.png").is_file()


def test_the_studys_figure(script, tmp_path):
    (tmp_path / "study.json").write_text((EXPERIMENTS / "guess_or_look" / "study.json").read_text())
    script("guess_or_look/phase.py", HERE=tmp_path).main()
    assert (tmp_path / "phase.png").stat().st_size > 10_000
