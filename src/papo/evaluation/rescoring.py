"""Saved answers graded anew, without a model: with the present rules, another one, or a grader of your own.

    python evaluate.py rescore=DIR [rescore.rule=RULE] ['compare=[DIR, ...]'] hydra.run.dir=ELSEWHERE
    python evaluate.py rescore=FILE 'benchmarks=[...]' hydra.run.dir=ELSEWHERE

writes what an evaluation writes, but for report.html, and says which verdicts changed. A FILE is what another tool
wrote, see papo.evaluation.exchange. Two graders that are both not the one of DIR are compared by grading its answers
with one, and the result with the other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from papo.errors import ConfigError
from papo.evaluation.catalogue import Catalogue, source_of
from papo.evaluation.changes import Regraded, change_tables
from papo.evaluation.exchange.exporting import write_exports
from papo.evaluation.exchange.matching import read_file, records_of
from papo.evaluation.judge import RULE, Judge
from papo.evaluation.published import Protocol, protocol_of, protocol_tables, settings_tables
from papo.evaluation.regrading import regraded
from papo.evaluation.result_tables import tables, to_markdown
from papo.evaluation.results import (
    SCHEMA,
    benchmark_results,
    estimates,
    missing,
    published,
    records_file,
    start_or_continue,
)
from papo.evaluation.saved import Records, Saved, of_file, read_evaluation, side_by_side
from papo.files import write_text
from papo.interrupts import stopping_at_once
from papo.rewards.grading import own
from papo.run_dir import RunDir, peak_memory_gib, provenance

# Overrides that change something here; a group's file may be put at such a place: source@benchmarks.folder=...
CHANGED = re.compile(r"([^=]*@)?(rescore|benchmarks|compare|limit|export|published|run_dir|guessable)\b")


def rescore(cfg: DictConfig) -> dict[str, Any]:
    """Grades the answers in rescore.path, and in those of compare, and returns what it wrote to results.json.

    That is as of an evaluation, with "rescored" besides: from where, the rule, and per benchmark and model the counts
    of verdicts that changed, and each metric's paired difference, now - before. changes.jsonl has every change.

    Raises:
        ConfigError: there are no such answers, their items cannot be had, or the rule cannot grade them; nothing is
            written.
        GraderFailed: a grader of your own kept failing.
        Interrupted: it was asked to stop; nothing is written.
    """
    started = time.perf_counter()
    places, judge = places_of(cfg), Judge.of(cfg.rescore.judge)
    saved, files = {}, {}
    for key, path in places.items():
        if Path(path).is_dir():
            saved[path] = read_evaluation(Path(path), key)
        else:
            files[path] = read_file(Path(path), key)
    settings = source_settings(cfg, [*saved.values()], files)
    # In a configuration of their own, so that what is wrong with one is said of benchmarks.
    sources = OmegaConf.create({"benchmarks": settings}).benchmarks
    looked_at = {
        name: {
            record.id
            for of in saved.values()
            for records in of.records.get(name, {}).values()
            for record in records
            if record.picture is not None
        }
        for name in settings
    }
    catalogues = {
        name: Catalogue.of(source_of(sources, name), name, decode=bool(files) or looked_at[name]) for name in settings
    }
    for key, path in places.items():
        if path in files:
            (name,) = settings
            how = (f"{key}={path}", cfg.rescore.min_agreement, cfg.rescore.score)
            saved[path] = of_file(path, name, *records_of(files[path], catalogues[name], *how))
    rules = {entry.item.rule for of in catalogues.values() for entry in of.by_id.values()}
    if judge is not None and RULE not in ({cfg.rescore.rule} if cfg.rescore.rule else rules):
        raise ConfigError(
            f"rescore.judge.url={judge.url} would never be asked: it reads what the rule {RULE} cannot, and nothing "
            f"here is graded by that; leave it out, or set rescore.rule={RULE}"
        )
    before, origins = side_by_side({path: saved[path] for path in places.values()}, list(settings), cfg.limit)
    run = RunDir(cfg.run_dir)
    with stopping_at_once("stopped; nothing was written"):
        now = {
            name: regraded(of_models, catalogues[name], cfg.rescore.rule, origins, cfg.rescore.min_agreement, judge)
            for name, of_models in before.items()
        }
    found = {
        name: {
            model: Regraded.of(before[name][model], records)
            for model, records in of_models.items()
            if origins[model].judged
        }
        for name, of_models in now.items()
    }
    first = saved[cfg.rescore.path]
    about = {"compare": list(cfg.compare), "rescore": OmegaConf.to_container(cfg.rescore), "benchmarks": settings}
    cards = OmegaConf.to_container(cfg.published, resolve=True) or first.settings.get("published", {})
    about = {**first.settings, **about, "published": cards}
    start_or_continue(run, about)
    origin = {"from": list(places.values()), "rule": cfg.rescore.rule}
    if judge is not None:
        origin["judge"] = {"model": judge.model, "asked": len(judge.kept)}
        write_text(run.path / "judge.jsonl", "".join(json.dumps(row) + "\n" for row in judge.kept))
    limits = {name: limit_of(name, first, cfg.limit) for name in settings}
    graders = {name: f"rule {cfg.rescore.rule}" if cfg.rescore.rule else of.grader for name, of in catalogues.items()}
    if judge is not None and judge.kept:
        graders = {name: f"{grader}, then the judge {judge.model}" for name, grader in graders.items()}
    protocols = {
        name: {
            model: protocol_of(origins[model].settings, graders[name], origins[model].results["temperature"])
            for model in of_models
        }
        for name, of_models in now.items()
    }
    answered = {model: of.settings for model, of in origins.items()}
    results = write_results(run, first, now, found, origin, about, protocols, answered, limits=limits)
    write_exports(run.path, cfg.export, now, {name: of.exported for name, of in catalogues.items()})
    seconds = time.perf_counter() - started
    responses = sum(
        record.responses for of_models in now.values() for records in of_models.values() for record in records
    )
    pace = {"seconds": seconds, "responses": responses, "peak_memory_gib": peak_memory_gib()}
    run.write("provenance.json", provenance(cfg) | pace)
    print(*own.failures(), sep="\n", end="")
    asked = "" if judge is None else f"; asked of the judge {judge.model}: {len(judge.kept)}"
    print(f"\n{responses} responses graded in {seconds:.0f} s{asked}, {run.path}")
    return results


def places_of(cfg: DictConfig) -> dict[str, str]:
    """Where answers are, by the key that says so; the first is what the others are compared with."""
    return {"rescore.path": cfg.rescore.path} | {f"compare.{n}": path for n, path in enumerate(cfg.compare)}


def check_places(cfg: DictConfig) -> None:
    """Raises ConfigError where answers cannot be read and new ones written as the configuration says."""
    if cfg.guessable:
        raise ConfigError("guessable must be false with rescore=DIR: blind answers are drawn from a model")
    places = places_of(cfg)
    for key, path in places.items():
        if not Path(path).exists():
            raise ConfigError(f"{key} must exist, got {path}")
        if Path(path).resolve() == Path(cfg.run_dir).resolve():
            raise ConfigError(f"hydra.run.dir={cfg.run_dir} holds the answers themselves; choose another folder")
    if len(set(places.values())) < len(places):
        raise ConfigError(f"rescore.path and compare name answers twice: {', '.join(places.values())}")
    if cfg.rescore.score is not None and all(Path(path).is_dir() for path in places.values()):
        raise ConfigError(
            f"rescore.score={cfg.rescore.score} must be null where no file of another tool is read: the folders of "
            "evaluations have verdicts"
        )
    idle = [override for override in overridden() if not CHANGED.match(override)]
    if idle:
        raise ConfigError(
            f"with rescore=DIR no model answers, and {', '.join(idle)} would change nothing: leave them out (limit=N "
            "grades the first N items)"
        )


def overridden() -> list[str]:
    """What this command sets, but for Hydra's own settings; nothing where it is none of Hydra's."""
    task = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
    return [override.lstrip("+~") for override in task]


def source_settings(cfg: DictConfig, saved: Sequence[Saved], files: Sequence[str]) -> dict[str, Any]:
    """How the items are made: by this command where it names any benchmarks, else as for the first evaluation.

    Raises:
        ConfigError: neither says it, or several benchmarks are named for a file, which answers one.
    """
    if any(override.startswith(("benchmarks=", "benchmarks.")) for override in overridden()) or not saved:
        settings = OmegaConf.to_container(cfg.benchmarks, resolve=True)
    else:
        settings = dict(saved[0].settings["benchmarks"])
    if files and len(settings) > 1:
        raise ConfigError(f"benchmarks must name the one that {next(iter(files))} answers, got {', '.join(settings)}")
    return settings


def limit_of(name: str, saved: Saved, limit: int | None) -> int | None:
    """How many items of a benchmark count, the first ones, where that is not all: of those that were answered, too."""
    before = saved.results.get("limits", {}).get(name, saved.results.get("limit"))
    answered = len(next(iter(saved.records[name].values())))
    now = limit if limit is not None and limit < answered else None
    return min(filter(None, (before, now)), default=None)


def write_results(
    run: RunDir,
    saved: Saved,
    now: Records,
    found: Mapping[str, Mapping[str, Regraded]],
    origin: Mapping[str, Any],
    settings: Mapping[str, Any],
    protocols: Mapping[str, Mapping[str, Protocol]],
    answered: Mapping[str, Mapping[str, Any]],
    *,
    limits: Mapping[str, int | None],
) -> dict[str, Any]:
    """results.json, results.md (printed too), changes.jsonl and records/.

    Args:
        found: what the new grades changed, by benchmark and model.
        origin: where the answers are from, and what graded them.
        settings: of the evaluation, in plain types.
        protocols: by benchmark and model.
        answered: with which settings, by model.
        limits: by benchmark, items that count, the first ones; None = all.

    Returns:
        What is in results.json.
    """
    models = list(next(iter(now.values())))
    # The k of the first: others may have more or fewer responses.
    measured = {name: estimates(of_models) for name, of_models in now.items()}
    rescored = {name: {model: of.to_dict() for model, of in of_models.items()} for name, of_models in found.items()}
    results = {
        **saved.results,
        "schema": SCHEMA,
        "limit": min(filter(None, limits.values()), default=None),
        "limits": limits,
        "models": models,
        "rescored": {**origin, "benchmarks": rescored},
        "benchmarks": {name: benchmark_results(of_models, measured[name]) for name, of_models in now.items()},
    }
    for name, of_models in now.items():
        for number, (model, records) in enumerate(of_models.items()):
            file = records_file(run.path, number, model, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, "".join(f"{record.to_json()}\n" for record in records))
    rows = [
        {"benchmark": name, "model": model, **change.to_dict()}
        for name, of_models in found.items()
        for model, of in of_models.items()
        for change in of.changes
    ]
    write_text(run.path / "changes.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    beside = published(settings, measured, protocols, limits)
    results["published"] = beside.results
    shown = []
    for name, of in measured.items():
        shown += tables(name, *of, limits[name], missing(results["benchmarks"][name]))
        shown += protocol_tables(name, protocols[name])
        shown += [beside.tables[name]] if name in beside.tables else []
        shown += change_tables(name, found[name]) if found[name] else []
    text = "\n\n".join(map(to_markdown, [*shown, *settings_tables(answered)]))
    run.write("results.json", results)
    write_text(run.path / "results.md", text + "\n")
    print(f"\n{text}")
    return results
