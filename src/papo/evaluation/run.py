"""evaluate.py's work: answer the benchmarks with every model, compare, write results and report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from papo.building import built, settings_of
from papo.data.module import Source, first_of
from papo.data.screening import Screen
from papo.errors import ConfigError
from papo.evaluation.answer_cache import AnswerCache, check_folder, told
from papo.evaluation.catalogue import Catalogue, source_of
from papo.evaluation.continuing import check_weights, record_files
from papo.evaluation.digests import digest_of_policy
from papo.evaluation.exchange.exporting import write_exports
from papo.evaluation.guessability import blind_only, write_guessability
from papo.evaluation.measure import Examination
from papo.evaluation.published import protocol_of
from papo.evaluation.records import Record
from papo.evaluation.reporting import report_items, report_of
from papo.evaluation.rescoring import check_places, rescore
from papo.evaluation.result_tables import tables, to_markdown
from papo.evaluation.results import SCHEMA, benchmark_results, estimates, missing, published, start_or_continue
from papo.evaluation.rollouts import as_trained, cut_off
from papo.evaluation.unseen import seen
from papo.files import write_text
from papo.interrupts import stopping_at_once
from papo.policy.loading import Loaded, locate
from papo.policy.positions import Within, positions_of
from papo.policy.processing import PromptProcessor
from papo.report import ReportItem, write_report
from papo.rewards.grading import own
from papo.run_dir import RunDir, peak_memory_gib, provenance
from papo.schema import EvaluateKeys, check_all


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Answers every item of every benchmark k times with every model and returns what it wrote to results.json.

    Called again with the same settings and run directory, it goes on where it was interrupted, with the same items and
    weights.

    With guessable=true model.path answers blind and nothing else, and what is written and returned is that of
    `write_guessability`. Training questions are named as any others:

        python evaluate.py guessable=true benchmarks=[folder] benchmarks.folder.path=train.jsonl
        python train.py data=folder data.train.path=train.jsonl data.guessability=RUN/guessability/folder.jsonl

    With rescore=DIR no model is loaded: see papo.evaluation.rescoring.

    Args:
        cfg: as composed from conf/evaluate.yaml; `run_dir` is where everything goes.

    Raises:
        ConfigError: a setting cannot work, or the run directory holds another evaluation, or answers to other items
            or of other weights.
        GraderFailed: a grader of your own kept failing.
        Interrupted: it was asked to stop; what was answered is kept.
    """
    started = time.perf_counter()
    own.count_anew()
    check_settings(cfg)
    if cfg.rescore.path is not None:
        return rescore(cfg)
    cfg = as_trained(cfg)
    models = models_of(cfg)
    examination: Examination = built(cfg.examination)
    if cfg.guessable:
        examination = blind_only(examination, list(models))
    loaded: Loaded = built(cfg.model)
    processor = PromptProcessor(loaded.processor, cfg.prompt.instruction)
    examination.attach(loaded.policy, processor)
    if cfg.answers_cache.path is not None:
        check_folder(cfg.answers_cache.path)
    whole: dict[str, Source] = {name: source_of(cfg.benchmarks, name) for name in cfg.benchmarks}
    sources = {name: first_of(source, cfg.limit) for name, source in whole.items()}
    limits = {name: cfg.limit if len(sources[name]) < len(source) else None for name, source in whole.items()}
    length = Within(processor.length, positions_of(loaded.policy.model.config), cfg.rollout.max_new_tokens)
    screen: Screen = built(cfg.screen, length=length, needs=examination.check)
    sources = {name: screen(source, f"benchmarks.{name}", measured=True) for name, source in sources.items()}
    run = RunDir(cfg.run_dir)
    start_or_continue(run, own_settings(cfg))
    files = record_files(run.path, sources, list(models), cfg.batch_size)
    screen.skips.log_to(run.path / "skipped.jsonl")

    records: dict[str, dict[str, list[Record]]] = {name: {} for name in sources}
    shown: list[ReportItem] = []
    responses = 0  # of this process
    caches: list[AnswerCache] = []  # one for each model, where there are any
    for number, (path, model) in enumerate(models.items()):
        if number:
            loaded = built(model)
            processor = PromptProcessor(loaded.processor, cfg.prompt.instruction)
            examination.attach(loaded.policy, processor)
        weights = digest_of_policy(loaded.policy)  # before they may leave the memory that it reads
        setting = f"compare.{number - 1}={path}" if number else f"model.path={path}"
        check_weights(run.path, setting, weights, [of_models[path] for of_models in files.values()])
        policy = loaded.policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        if cfg.answers_cache.path is not None:
            engine = OmegaConf.to_container(cfg.engine, resolve=True)
            caches.append(
                AnswerCache(
                    policy=policy,
                    engine=engine,
                    fast_layers=loaded.fast_layers,
                    weights=weights,
                    **cfg.answers_cache,
                )
            )
        for name, source in sources.items():
            file = files[name][path]
            responses += (len(source) - len(file.records)) * cfg.k * len(examination.views)
            title = name if len(models) == 1 else f"{path}: {name}"
            with stopping_at_once(f"stopped; the same command with hydra.run.dir={run.path} goes on"):
                records[name][path] = examination(policy, processor, source, file, title, *caches[-1:])
            if not cfg.guessable:
                shown += report_items(name, path, source, file.records, processor, examination, policy.device)
    origin = provenance(cfg)
    if cfg.guessable:
        results = write_guessability(run, {name: of_models[str(cfg.model.path)] for name, of_models in records.items()})
    else:
        named = sources if cfg.export else cfg.published  # whose items are looked at once more
        catalogues = {name: Catalogue.of(sources[name], name, decode=False) for name in named if name in sources}
        results = write_results(
            cfg,
            run,
            examination,
            records,
            shown,
            graders={name: catalogue.grader for name, catalogue in catalogues.items()},
            limits=limits,
            skipped={name: screen.skips.count(f"benchmarks.{name}") for name in sources},
            commit=origin["git_commit"],
        )
        write_exports(run.path, cfg.export, records, {name: of.exported for name, of in catalogues.items()})
    seconds = time.perf_counter() - started
    pace = {"seconds": seconds, "responses": responses, "peak_memory_gib": peak_memory_gib()}
    if caches:
        pace["responses_read"] = sum(cache.read for cache in caches)
    run.write("provenance.json", origin | {"fast_layers": loaded.fast_layers} | pace)
    print(*own.failures(), sep="\n", end="")
    print("", *cut_off(records, examination.sampling.max_new_tokens), sep="\n")
    if not cfg.guessable:  # which is measured on training questions, on purpose
        print(*(f"{line}\n" for line in seen(own_settings(cfg)["benchmarks"], model_paths(cfg))), sep="", end="")
    print(f"{responses} responses in {seconds:.0f} s ({responses / seconds:.0f}/s){told(caches)}, {run.path}")
    return results


def check_settings(cfg: DictConfig) -> None:
    """Looks through the whole configuration, as far as that can be done without a model and data; writes nothing.

    Raises:
        ConfigError: the first setting that cannot work.
    """
    check_all(cfg, EvaluateKeys)
    if not cfg.get("benchmarks"):
        raise ConfigError("benchmarks=[] measures nothing; name at least one, e.g. benchmarks=[lab]")
    if cfg.rescore.path is not None:
        check_places(cfg)
        return
    for key in ("rule", "score", "judge.url", "judge.model"):
        value = OmegaConf.select(cfg.rescore, key)
        if value is not None:
            raise ConfigError(f"rescore.{key}={value} needs rescore=DIR, the answers that are to be graded")
    if cfg.guessable and cfg.export:
        raise ConfigError("export must be [] with guessable=true: what is answered blind alone is no evaluation")


def own_settings(cfg: DictConfig) -> dict[str, Any]:
    """What an evaluation is recorded with, in plain types."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    # Where it goes, where answers may be had besides, and what only refers to the others.
    for key in ("run_dir", "answers_cache", "examination", "screen"):
        del settings[key]
    return settings


def models_of(cfg: DictConfig) -> dict[str, DictConfig]:
    """How to load model.path, then each of those to compare, by path.

    Raises:
        ConfigError: one comes twice, or a local one does not exist.
    """
    paths = model_paths(cfg)
    if len(set(paths)) < len(paths):
        raise ConfigError(f"model.path and compare name a model twice: {', '.join(paths)}")
    models = {paths[0]: cfg.model}
    for number, path in enumerate(paths[1:]):
        # By reference, so that what is wrong with it is said of compare.
        models[path] = OmegaConf.merge(cfg, {"model": {"path": f"${{compare.{number}}}"}}).model
        with settings_of(models[path], "model"):
            locate(path)
    return models


def model_paths(cfg: DictConfig) -> list[str]:
    """model.path, then those to compare."""
    return [str(cfg.model.path), *map(str, cfg.compare)]


def write_results(
    cfg: DictConfig,
    run: RunDir,
    examination: Examination,
    records: Mapping[str, Mapping[str, Sequence[Record]]],
    shown: Sequence[ReportItem],
    *,
    graders: Mapping[str, str],
    limits: Mapping[str, int | None],
    skipped: Mapping[str, int],
    commit: str | None,
) -> dict[str, Any]:
    """results.json, results.md (printed too) and report.html; nothing in them depends on how often the run stopped.

    Args:
        records: by benchmark and model.
        shown: the items of the report.
        graders: by benchmark.
        limits: by benchmark, rows that were asked for, the first ones; None where it has no more.
        skipped: bad rows, by benchmark.
        commit: of the code, where it is known.

    Returns:
        What is in results.json.
    """
    measured = {name: estimates(of_models) for name, of_models in records.items()}
    results = {
        "schema": SCHEMA,
        "models": model_paths(cfg),
        "k": cfg.k,
        "temperature": examination.sampling.temperature,
        "seed": cfg.seed,
        "limit": min(filter(None, limits.values()), default=None),
        "limits": limits,
        "views": {
            name: getattr(view, "mask_ratio", None) if name == "masked" else None
            for name, view in examination.views.items()
        },
        "skipped_rows": sum(skipped.values()),
        "benchmarks": {
            name: benchmark_results(of_models, measured[name], skipped[name]) for name, of_models in records.items()
        },
    }
    settings, temperature = own_settings(cfg), results["temperature"]
    protocols = {
        name: dict.fromkeys(records[name], protocol_of(settings, grader, temperature))
        for name, grader in graders.items()
    }
    beside = published(settings, measured, protocols, limits)
    results["published"] = beside.results
    found = []
    for name, of in measured.items():
        found += tables(name, *of, limits[name], missing(results["benchmarks"][name]))
        found += [beside.tables[name]] if name in beside.tables else []
    text = "\n\n".join(map(to_markdown, found))
    run.write("results.json", results)
    write_text(run.path / "results.md", text + "\n")
    write_report(report_of(results, found, shown, made(examination, commit)), run.path / "report.html")
    print(f"\n{text}")
    return results


def made(examination: Examination, commit: str | None) -> list[tuple[str, str]]:
    """How what the report shows came about. No date: the same evaluation is the same page."""
    found = [("commit", commit[:12])] if commit else []
    corruption = examination.views.get("masked")
    if corruption is not None:
        ratio = getattr(corruption, "mask_ratio", None)
        found.append(("corruption", type(corruption).__name__ + ("" if ratio is None else f", mask ratio {ratio:g}")))
    return found
