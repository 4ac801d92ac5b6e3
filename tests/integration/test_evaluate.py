"""evaluate.py: what it writes, and that it measures what training measures."""

import json
import re

import pytest
import torch

from papo.policy.vlm import Policy

N, K = 6, 2


@pytest.fixture
def evaluate(command, tiny_model, tmp_path):
    """Results of evaluate.py on a few items."""

    def evaluate(*overrides, path=tiny_model):
        folder = tmp_path / f"evaluation-{len(list(tmp_path.iterdir()))}"
        sizes = [f"k={K}", "rollout.max_new_tokens=8", f"benchmarks.lab.size={N}"]
        finished = command("evaluate.py", f"model.path={path}", *sizes, *overrides, f"hydra.run.dir={folder}")
        assert finished.status == 0, finished.err
        assert [file.name for file in folder.iterdir()] == ["results.json"]
        return json.loads((folder / "results.json").read_text())

    return evaluate


def test_results(evaluate, tiny_model):
    results = evaluate("benchmarks=[lab,lab_prior]", "benchmarks.lab_prior.size=3", "rollout.temperature=0.7")
    assert (results["schema"], results["k"], results["temperature"]) == (1, K, 0.7)
    assert results["model"] == str(tiny_model)
    assert results["provenance"]["seed"] == 0
    assert results["seconds"] > 0
    assert results["peak_memory_gib"] > 0
    assert list(results["benchmarks"]) == ["lab", "lab_prior"]
    for name, n in (("lab", N), ("lab_prior", 3)):
        metrics = results["benchmarks"][name]
        assert metrics[f"avg@{K}"]["n"] == metrics[f"blind/avg@{K}"]["n"] == n
        for metric, estimate in metrics.items():
            assert re.fullmatch(rf"(blind/)?avg@{K}(/\w+=\w+)?", metric)
            assert list(estimate) == ["mean", "ci95", "n"]
            low, high = estimate["ci95"]
            assert 0 <= low <= estimate["mean"] <= high <= 1
        families = [estimate["n"] for metric, estimate in metrics.items() if metric.startswith(f"avg@{K}/family=")]
        assert sum(families) == n
        assert {metric for metric in metrics if metric.startswith("blind/")} == {
            f"blind/{metric}" for metric in metrics if not metric.startswith("blind/")
        }


def test_training_and_evaluation_measure_the_same(evaluate, four_steps):
    """On the same items, with the same seed, length and k."""
    metrics = four_steps.json()
    results = evaluate("seed=3", "benchmarks.lab.size=4", path=four_steps.path)["benchmarks"]["lab"]
    assert results[f"avg@{K}"] == metrics["after"]
    assert 0 < metrics["accuracy_after"] < 1
    assert metrics["after"] != metrics["before"]


def test_a_run_directory_and_its_model_folder_are_one(evaluate, four_steps):
    of_run, of_folder = (evaluate(path=path) for path in (four_steps.path, four_steps.path / "model"))
    assert of_run["benchmarks"] == of_folder["benchmarks"]
    assert of_run["model"] == of_folder["model"] == str(four_steps.path / "model")


def test_the_batch_size_changes_nothing(evaluate):
    whole, *others = (evaluate(f"batch_size={size}")["benchmarks"] for size in (64, 4, 1))
    assert 0 < whole["lab"][f"avg@{K}"]["mean"] < 1
    assert all(other == whole for other in others)


def test_sampled_answers_follow_the_seed(evaluate):
    answers = [evaluate(f"seed={seed}", "k=8")["benchmarks"] for seed in (0, 0, 1)]
    assert answers[0] == answers[1] != answers[2]


def test_greedy_answers_need_no_seed(evaluate):
    first, second = (evaluate("rollout.temperature=0", "k=1", f"seed={seed}") for seed in (0, 1))
    assert first["temperature"] == 0
    assert first["benchmarks"] == second["benchmarks"]
    assert first["benchmarks"]["lab"]["avg@1"]["mean"] in [pytest.approx(right / N) for right in range(N + 1)]


def test_blind_is_the_same_prompt_with_black_images(evaluate, monkeypatch):
    seen, encode, prefill = [], Policy.encode, Policy.prefill

    def spy_on_encode(policy, images):
        seen.append([images])
        return encode(policy, images)

    def spy_on_prefill(policy, prompts, features):
        seen[-1].append(prompts.prompt_ids)
        return prefill(policy, prompts, features)

    monkeypatch.setattr(Policy, "encode", spy_on_encode)
    monkeypatch.setattr(Policy, "prefill", spy_on_prefill)
    evaluate("batch_size=4")
    assert [len(images.counts) for images, _ in seen] == [4, 4, 2, 2]  # each batch with its images, then blind
    for (images, ids), (blind, blind_ids) in (seen[:2], seen[2:]):
        assert torch.equal(ids, blind_ids)
        assert torch.equal(images.grid, blind.grid)
        for i in range(len(images.grid)):
            assert images.pixels(i).mean() > 0.3
            assert blind.pixels(i).max() < 1e-6
