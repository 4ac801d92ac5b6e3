"""evaluate.py's work: answer the benchmarks, write results.json, print the table."""

from __future__ import annotations

import time
from typing import Any

import torch
from omegaconf import DictConfig

from papo.building import built
from papo.errors import ConfigError
from papo.evaluation.measure import measure
from papo.evaluation.metrics import Estimate
from papo.policy.loading import Loaded
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.run_dir import RunDir, peak_memory_gib, provenance

SCHEMA = 1  # of results.json


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Answers every item of every benchmark k times and returns what it wrote to results.json.

    Args:
        cfg: as composed from conf/evaluate.yaml; `run_dir` is where results.json goes.

    Raises:
        ConfigError: a setting cannot work; raised before anything is written.
    """
    started = time.perf_counter()
    for name in ("k", "batch_size"):
        if cfg[name] < 1:
            raise ConfigError(f"{name} must be at least 1, got {cfg[name]}")
    loaded: Loaded = built(cfg.model)
    sampling: Sampling = built(cfg.rollout)
    sources = {name: built(source) for name, source in cfg.get("benchmarks", {}).items()}
    if not sources:
        raise ConfigError("benchmarks=[] measures nothing; name at least one, e.g. benchmarks=[lab]")
    run = RunDir(cfg.run_dir)
    policy = loaded.policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    processor = PromptProcessor(loaded.processor, cfg.prompt.instruction)
    settings = {"k": cfg.k, "batch_size": cfg.batch_size, "sampling": sampling, "seed": cfg.seed}
    estimates = {name: measure(policy, processor, source, name=name, **settings) for name, source in sources.items()}

    results = {
        "schema": SCHEMA,
        "model": loaded.source,
        "k": cfg.k,
        "temperature": sampling.temperature,
        "seconds": time.perf_counter() - started,
        "peak_memory_gib": peak_memory_gib(),
        "provenance": provenance(cfg.seed),
        "benchmarks": {
            name: {metric: estimate.to_dict() for metric, estimate in metrics.items()}
            for name, metrics in estimates.items()
        },
    }
    run.write("results.json", results)
    for name, metrics in estimates.items():
        print(f"\n{name}: accuracy of {loaded.source}, % [95 % interval over items]\n{table(metrics)}")
    print(f"\n{results['seconds']:.0f} s, {run.path / 'results.json'}")
    return results


def table(metrics: dict[str, Estimate]) -> str:
    """One row per group of items, with the image beside blind."""
    rows = [f"{'':<28}{'with image':<22}{'blind':<22}items"]
    for metric, estimate in metrics.items():
        if not metric.startswith("blind/"):
            _, _, group = metric.partition("/")
            rows.append(f"{group or 'all':<28}{estimate!s:<22}{metrics['blind/' + metric]!s:<22}{estimate.n}")
    return "\n".join(rows)
