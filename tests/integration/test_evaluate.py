"""evaluate.py: what it writes, that it measures what training measures, and that stopping it changes nothing."""

import json
import re
import shutil
import signal

import pytest

from papo.evaluation.measure import Examination

N, K = 6, 2
FILES = {"config.yaml", "provenance.json", "records", "report.html", "results.json", "results.md"}


SIZES = [f"k={K}", "rollout.max_new_tokens=8", f"benchmarks.lab.size={N}"]
SIZES += ["report.first_items=2", "report.looking_items=0"]


@pytest.fixture
def run_evaluate(command, tiny_model, tmp_path):
    """evaluate.py on a few items: how it ended, and its folder."""

    def run(*overrides, path=tiny_model, folder=None):
        folder = folder or tmp_path / f"evaluation-{len(list(tmp_path.iterdir()))}"
        return command("evaluate.py", f"model.path={path}", *SIZES, *overrides, f"hydra.run.dir={folder}"), folder

    return run


@pytest.fixture
def evaluate(run_evaluate):
    """Results of evaluate.py on a few items."""

    def evaluate(*overrides, **settings):
        finished, folder = run_evaluate(*overrides, **settings)
        assert finished.status == 0, finished.err
        assert {file.name for file in folder.iterdir()} == FILES
        return json.loads((folder / "results.json").read_text())

    return evaluate


def metrics(results, benchmark="lab", model=0):
    return results["benchmarks"][benchmark]["models"][results["models"][model]]


def test_results(evaluate, tiny_model):
    results = evaluate("benchmarks=[lab,lab_guessable]", "benchmarks.lab_guessable.size=3", "rollout.temperature=0.7")
    assert (results["schema"], results["k"], results["temperature"], results["seed"]) == (2, K, 0.7, 0)
    assert results["models"] == [str(tiny_model)]
    assert results["views"] == {"image": None, "masked": 0.6, "blind": None}
    assert list(results["benchmarks"]) == ["lab", "lab_guessable"]
    for name, n in (("lab", N), ("lab_guessable", 3)):
        assert (results["benchmarks"][name]["items"], results["benchmarks"][name]["unscorable"]) == (n, {})
        found = metrics(results, name)
        assert found[f"avg@{K}"]["n"] == found[f"blind/avg@{K}"]["n"] == found[f"pass@{K}"]["n"] == n
        for metric, estimate in found.items():
            assert list(estimate) == ["mean", "ci95", "n"]
            low, high = estimate["ci95"]
            assert (-1 if metric.startswith("vision") else 0) <= low <= estimate["mean"] <= high <= 1
        families = [estimate["n"] for metric, estimate in found.items() if metric.startswith(f"avg@{K}/family=")]
        assert sum(families) == n
        errors = sum(found[f"error/{kind}"]["mean"] for kind in ("perception", "reasoning", "calculation", "format"))
        assert errors == pytest.approx(1 - found[f"avg@{K}"]["mean"])


def test_what_else_is_written(run_evaluate, tiny_model):
    finished, folder = run_evaluate("benchmarks=[lab]")
    text = (folder / "results.md").read_text()
    assert "### lab: accuracy" in text
    assert text.strip() in finished.out
    assert re.search(rf"{N * K * 3} responses in \d+ s \(\d+/s\), {folder}", finished.out)
    assert "% of the responses of" in finished.out.splitlines()[-2]
    assert "were cut off after 8 tokens" in finished.out.splitlines()[-2]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert (provenance["seed"], provenance["responses"]) == (0, N * K * 3)
    assert provenance["seconds"] > 0
    page = (folder / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "lab-val-0-0" in page
    assert "<dt>corruption</dt><dd>RandomPatchMask, mask ratio 0.6</dd>" in page
    assert f"<dt>commit</dt><dd>{provenance['git_commit'][:12]}</dd>" in page
    (records,) = (folder / "records").glob("*/lab.jsonl")
    assert [json.loads(line)["id"] for line in records.open()] == [f"lab-val-0-{n}" for n in range(N)]


def test_models_are_compared_on_the_same_items(evaluate, tiny_model, four_steps):
    results = evaluate(f"compare=[{four_steps.path}]", "k=4")
    first, second = results["models"]
    assert (first, second) == (str(tiny_model), str(four_steps.path))
    of_models, compared = results["benchmarks"]["lab"]["models"], results["benchmarks"]["lab"]["differences"]
    assert list(of_models) == [first, second]
    assert list(compared) == [f"{first} - {second}"]  # as it was asked for: model.path less what it is compared with
    difference = compared[f"{first} - {second}"]["avg@4"]
    assert difference["mean"] == pytest.approx(of_models[first]["avg@4"]["mean"] - of_models[second]["avg@4"]["mean"])
    alone = evaluate("k=4", path=four_steps.path)
    assert metrics(alone) == of_models[second]


def test_training_and_evaluation_measure_the_same(evaluate, four_steps):
    """On the same items, with the same seed, length and k."""
    trained = four_steps.json()
    found = metrics(evaluate("seed=3", "benchmarks.lab.size=4", path=four_steps.path))
    assert found[f"avg@{K}"] == trained["after"]
    assert found[f"blind/avg@{K}"] == trained["blind_after"]
    assert 0 < trained["accuracy_after"] < 1
    # And these are figures of the trained model: before its training others were found.
    first, last = ([row["value"] for row in four_steps.held_out if row["step"] == step] for step in (0, 4))
    assert first != last


def test_a_run_directory_and_its_model_folder_are_one(evaluate, four_steps):
    of_run, of_folder = (evaluate(path=path) for path in (four_steps.path, four_steps.path / "model"))
    assert metrics(of_run) == metrics(of_folder)


def test_the_batch_size_changes_nothing(evaluate):
    whole, *others = (evaluate(f"batch_size={size}")["benchmarks"] for size in (64, 4, 1))
    assert all(other == whole for other in others)


def test_sampled_answers_follow_the_seed(evaluate):
    answers = [evaluate(f"seed={seed}", "k=8")["benchmarks"] for seed in (0, 0, 1)]
    assert answers[0] == answers[1] != answers[2]


def test_the_first_rows_alone(run_evaluate, evaluate):
    """The same answers as in an evaluation of all; more rows than there are, are all."""
    finished, folder = run_evaluate("limit=2", "views=[image]")
    results = json.loads((folder / "results.json").read_text())
    assert (results["limit"], results["benchmarks"]["lab"]["items"]) == (2, 2)
    assert "2 items; of the first 2 rows alone" in finished.out
    (records,) = (folder / "records").glob("*/lab.jsonl")
    assert [json.loads(line)["id"] for line in records.open()] == ["lab-val-0-0", "lab-val-0-1"]
    all_rows = evaluate("views=[image]")
    assert all_rows["limit"] is None
    assert evaluate("views=[image]", "limit=99") == all_rows


def test_a_limit_is_of_the_benchmarks_that_have_more_rows(run_evaluate, command):
    """Also where their answers are graded again, with a limit of its own."""
    both = (
        "views=[image]",
        "benchmarks=[lab,lab_guessable]",
        f"benchmarks.lab.size={N}",
        "benchmarks.lab_guessable.size=2",
    )
    finished, folder = run_evaluate(*both, "limit=3")
    assert finished.out.count("of the first") == finished.out.count("3 items; of the first 3 rows alone") == 1
    for limit, said in ((99, {"lab": 3, "lab_guessable": None}), (1, {"lab": 1, "lab_guessable": 1})):
        place = folder.with_name(f"again-{limit}")
        again = command("evaluate.py", f"rescore={folder}", f"limit={limit}", f"hydra.run.dir={place}")
        results = json.loads((place / "results.json").read_text())
        assert (again.status, results["limits"], results["limit"]) == (0, said, min(limit, 3))


def test_rows_that_the_model_was_trained_on(run_evaluate, tiny_model, tmp_path):
    """Are said where they are measured, not where guessability is, of training questions on purpose."""
    run, rows = tmp_path / "run", tmp_path / "rows.jsonl"
    shutil.copytree(tiny_model, run / "model")
    rows.write_text(json.dumps({"question": "1?", "answer": "1"}) + "\n")
    (run / "config.yaml").write_text(json.dumps({"data": {"train": {"path": str(rows), "share": [0, 1]}}}))
    both = ["benchmarks=[folder,lab]", f"benchmarks.folder.path={rows}"]
    finished, _ = run_evaluate(*both, "views=[image]", path=run)
    assert f"\nfolder: {run} may have been trained on rows of this table" in finished.out
    finished, _ = run_evaluate(*both, "guessable=true", path=run)
    assert finished.status == 0
    assert "trained on" not in finished.out


def test_greedy_answers_need_no_seed(evaluate):
    first, second = (evaluate("rollout.temperature=0", "k=1", "views=[image]", f"seed={seed}") for seed in (0, 1))
    assert first["temperature"] == 0
    assert first["benchmarks"] == second["benchmarks"]
    assert metrics(first)["avg@1"]["mean"] in [pytest.approx(right / N) for right in range(N + 1)]


def test_views_that_are_not_wanted_cost_nothing(evaluate):
    found = metrics(evaluate("views=[image,blind]"))
    assert not any(metric.startswith("masked") for metric in found)


@pytest.fixture(scope="module")
def uninterrupted(command, tiny_model, four_steps, tmp_path_factory):
    """The settings of an evaluation of two models, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "evaluation"
    settings = [f"compare=[{four_steps.path}]", "batch_size=2", "report.looking_items=3", "report.looking_cells=2"]
    done = command("evaluate.py", f"model.path={tiny_model}", *SIZES, *settings, f"hydra.run.dir={folder}")
    assert done.status == 0, done.err
    return settings, folder


@pytest.mark.parametrize(("stop_at", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM), (4, signal.SIGINT)])
def test_an_interrupted_evaluation_ends_as_an_uninterrupted_one(
    run_evaluate, uninterrupted, tmp_path, monkeypatch, stop_at, number
):
    """Stopped in the batch `stop_at` (there are three of each model), then called again."""
    settings, expected = uninterrupted
    batches, batch = [], Examination.batch

    def stopping(*args, **kwargs):
        batches.append(1)
        if len(batches) == stop_at:
            signal.raise_signal(number)
            raise AssertionError("still here")
        return batch(*args, **kwargs)

    monkeypatch.setattr(Examination, "batch", stopping)
    folder = tmp_path / "stopped"
    stopped, _ = run_evaluate(*settings, folder=folder)
    assert stopped.status == 130
    assert stopped.messages[-1] == f"stopped; the same command with hydra.run.dir={folder} goes on"
    assert not (folder / "results.json").exists()
    finished, _ = run_evaluate(*settings, folder=folder)
    assert finished.status == 0, finished.err
    assert len(batches) == 7  # six batches and the one that was stopped
    for name in ("results.json", "results.md", "report.html"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name


def test_other_data_or_weights_under_the_same_names_are_not_taken_for_the_first(
    run_evaluate, tiny_model, four_steps, tmp_path
):
    """The settings say nothing of either; what was answered stays."""
    data, model = tmp_path / "data.jsonl", shutil.copytree(tiny_model, tmp_path / "model")
    rows = [{"id": f"q{n}", "question": f"How much is {n}?", "answer": str(n)} for n in range(3)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def again():
        overrides = ["benchmarks=[lab,folder]", f"benchmarks.folder.path={data}", "views=[image]"]
        finished, folder = run_evaluate(*overrides, path=model, folder=tmp_path / "out")
        return finished, {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    finished, before = again()
    assert finished.status == 0, finished.err
    shutil.copy(four_steps.path / "model" / "model.safetensors", model)
    finished, after = again()
    assert finished.status == 2
    assert finished.messages == [
        f"error: hydra.run.dir={tmp_path / 'out'} holds answers of other weights than model.path={model} has now; put "
        "those back, or choose another folder"
    ]
    assert after == before
    shutil.copy(tiny_model / "model.safetensors", model)
    data.write_text(data.read_text().replace("How much", "How many"))
    finished, after = again()
    assert finished.status == 2
    assert (
        "item 1 has the question 'How many is 0?', and 'How much is 0?' when it was answered" in finished.messages[-1]
    )
    assert after == before


# -------------------------------------------------------------------------------------------------------------- cache


def test_answers_are_shared_across_folders(run_evaluate, tiny_model, four_steps, tmp_path):
    """The same bytes as without a cache; under another name of model and benchmark nothing is drawn either."""
    settings = [
        f"compare=[{four_steps.path}]",
        "report.looking_items=3",
        "report.looking_cells=2",
        "rollout.temperature=1",
    ]
    cache = f"answers_cache={tmp_path / 'cache'}"
    _, plain = run_evaluate(*settings, folder=tmp_path / "plain")
    first, cold = run_evaluate(*settings, cache, folder=tmp_path / "cold")
    again, warm = run_evaluate(*settings, cache, folder=tmp_path / "warm")
    for name in ("config.yaml", "results.json", "results.md", "report.html"):
        assert (plain / name).read_bytes() == (cold / name).read_bytes() == (warm / name).read_bytes(), name
    drawn = 2 * 3 * N * K
    assert f"0 of them read from {cache}, {cold}" in first.out
    assert f"{drawn} of them read from {cache}, {warm}" in again.out
    assert json.loads((warm / "provenance.json").read_text())["responses_read"] == drawn
    moved = shutil.copytree(tiny_model, tmp_path / "moved")
    other, folder = run_evaluate(cache, "rollout.temperature=1", "+benchmarks.other=${benchmarks.lab}", path=moved)
    assert other.status == 0, other.err
    assert f"{drawn} responses in" in other.out
    assert f"{drawn} of them read" in other.out
    assert metrics(json.loads((folder / "results.json").read_text()), "other") == metrics(
        json.loads((plain / "results.json").read_text())
    )


def test_an_evaluation_goes_on_with_a_cache(run_evaluate, tmp_path):
    """Which is not one of its settings."""
    folder = tmp_path / "folder"
    run_evaluate(folder=folder)
    finished, _ = run_evaluate(f"answers_cache={tmp_path / 'cache'}", folder=folder)
    assert finished.status == 0, finished.err


def test_a_cache_that_is_no_folder_is_told_before_anything_is_written(run_evaluate, tmp_path):
    (tmp_path / "file").touch()
    finished, folder = run_evaluate(f"answers_cache={tmp_path / 'file'}")
    assert finished.status == 2
    assert finished.messages[-1].startswith(f"error: answers_cache={tmp_path / 'file'} must be a folder")
    assert not folder.exists()


# -------------------------------------------------------------------------------------------------------- guessability

TRAINED_ON = ["benchmarks.lab.split=train", "benchmarks.lab.seed=1"]  # data.train's items by conf/data/lab.yaml


def rows(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_blind_accuracies_are_those_of_an_evaluation_and_go_on_where_they_stopped(
    run_evaluate, evaluate, tmp_path, monkeypatch
):
    whole = evaluate(*TRAINED_ON)
    views, batch = [], Examination.batch

    def stopping(self, *args, **kwargs):
        views.append(list(self.views))
        if len(views) == 2:
            raise KeyboardInterrupt
        return batch(self, *args, **kwargs)

    monkeypatch.setattr(Examination, "batch", stopping)
    folder = tmp_path / "blind"
    with pytest.raises(KeyboardInterrupt):
        run_evaluate("guessable=true", "batch_size=2", *TRAINED_ON, folder=folder)
    finished, _ = run_evaluate("guessable=true", "batch_size=2", *TRAINED_ON, folder=folder)
    assert finished.status == 0, finished.err
    assert views == [["blind"]] * 4  # three batches and the one that was stopped
    assert {file.name for file in folder.iterdir()} == {
        "config.yaml",
        "provenance.json",
        "records",
        "guessability",
        "guessability.json",
    }
    found = rows(folder / "guessability" / "lab.jsonl")
    assert [row["item"] for row in found] == [f"lab-train-1-{n}" for n in range(N)]
    assert {row["k"] for row in found} == {K}
    blind = metrics(whole)[f"blind/avg@{K}"]
    assert sum(row["mean"] for row in found) / N == pytest.approx(blind["mean"])
    assert json.loads((folder / "guessability.json").read_text())["lab"]["ci95"] == blind["ci95"]
    assert f"{100 * blind['mean']:.1f} [" in finished.out


def test_training_reads_them(run_evaluate, train, tmp_path):
    finished, folder = run_evaluate("guessable=true", "k=8", *TRAINED_ON)
    assert finished.status == 0, finished.err
    found = rows(folder / "guessability" / "lab.jsonl")
    limit = max(row["mean"] for row in found) - 0.01
    kept = [row["item"] for row in found if row["mean"] <= limit]
    assert 2 <= len(kept) < N
    read = f"data.guessability={folder}/guessability/lab.jsonl"
    run = train("data=lab", f"data.train.size={N}", "trainer.max_steps=3", read, f"data.max_guessable={limit}")
    metrics = run.json()
    assert (metrics["guessable_rows"], metrics["skipped_rows"]) == (N - len(kept), 0)
    assert {row["id"] for row in run.rollouts} <= set(kept)
    assert [row["id"] for row in rows(run.path / "guessable.jsonl")] == [
        row["item"] for row in found if row["item"] not in kept
    ]


def test_a_folder_of_other_settings_is_left_alone(run_evaluate, tmp_path):
    folder = tmp_path / "here"
    assert run_evaluate(folder=folder)[0].status == 0
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    finished, _ = run_evaluate("seed=1", "k=3", folder=folder)
    assert finished.status == 2
    assert "holds an evaluation with other settings (k, seed)" in finished.err
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


STREAMED = ["benchmarks=[lab,folder]", "benchmarks.folder.path=ROWS.jsonl", "benchmarks.folder.streaming=true"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["compare=[/nowhere]"], "compare.0 must exist, got /nowhere"),
        (["compare=[x,x]"], "model.path and compare name a model twice"),
        (["views=[blind]"], "views must hold image"),
        (["k=0"], "k must be at least 1"),
        (["limit=0"], "limit must be at least 1"),
        (STREAMED, "benchmarks.folder must be one source, not streamed"),
        ([*STREAMED, "limit=2"], "benchmarks.folder must be one source, not streamed"),
        ([*STREAMED, "guessable=true"], "benchmarks.folder must be one source, not streamed"),
        (["guessable=true", "export=[lmms_eval]"], "export must be [] with guessable=true"),
        (["guessable=true", "compare=[lab_qwen]"], "compare must be [] with guessable=true"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(run_evaluate, tmp_path, overrides, message):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "question": "One?", "answer": "1"}\n')
    overrides = [override.replace("ROWS.jsonl", str(rows)) for override in overrides]
    finished, folder = run_evaluate(*overrides)
    assert finished.status == 2
    assert message in finished.err
    assert not folder.exists()


def test_a_run_is_evaluated_as_it_was_trained(command, tiny_model, tmp_path):
    model, folder = tmp_path / "run" / "model", tmp_path / "evaluation"
    shutil.copytree(tiny_model, model)
    (model / "papo.yaml").write_text("rollout: {_target_: papo.policy.sampling.Sampling, max_new_tokens: 3}\n")
    small = ["k=1", "views=[image]", "benchmarks.lab.size=1", "report.looking_items=0"]
    finished = command("evaluate.py", f"model.path={model.parent}", *small, f"hydra.run.dir={folder}")
    assert finished.status == 0, finished.err
    assert "rollout.max_new_tokens=3; " in finished.out.splitlines()[0]
    assert "max_new_tokens: 3\n" in (folder / "config.yaml").read_text()
    assert "were cut off after 3 tokens" in finished.out.splitlines()[-2]
