"""The folder of an evaluation: whose settings it has, and what results.json says of each benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from papo.errors import ConfigError
from papo.evaluation.published import Card, Protocol, published_results, published_table
from papo.evaluation.records import Record
from papo.evaluation.result_tables import POINTS_SEEN
from papo.evaluation.summary import differences, powers, summarize
from papo.files import write_text
from papo.report import ReportTable
from papo.run_dir import RunDir
from papo.statistics import Estimate, Power

SCHEMA = 2  # of results.json
WHOLE = [0.0, 1.0]  # the share of a data set that is all of it


def records_file(folder: Path, number: int, model: str, benchmark: str) -> Path:
    """Where an evaluation in `folder` keeps the records of its model of this number."""
    return folder / "records" / f"{number}_{slug(model)}" / f"{benchmark}.jsonl"


def start_or_continue(run: RunDir, settings: Mapping[str, Any]) -> None:
    """Records the settings, or checks that the run directory was begun with the same.

    Args:
        settings: in plain types.

    Raises:
        ConfigError: it was begun with others; nothing is written.
    """
    file = run.path / "config.yaml"
    if file.exists():
        begun = OmegaConf.to_container(OmegaConf.load(file))
        if begun != settings:
            changed = sorted(key for key in settings.keys() | begun.keys() if settings.get(key) != begun.get(key))
            raise ConfigError(
                f"hydra.run.dir={run.path} holds an evaluation with other settings ({', '.join(changed)}); "
                "continue it with its own, or choose another folder"
            )
    else:
        write_text(file, OmegaConf.to_yaml(OmegaConf.create(dict(settings))))


class Estimates(NamedTuple):
    """What one benchmark showed.

    models: metrics by model.
    differences, powers: of the first model, model.path, less each that it is compared with, by "first - other".
    """

    models: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    powers: dict[str, dict[str, Power]]


def estimates(of_models: Mapping[str, Sequence[Record]]) -> Estimates:
    first, *others = of_models
    pairs = {f"{first} - {other}": (of_models[other], of_models[first]) for other in others}
    return Estimates(
        {model: summarize(records) for model, records in of_models.items()},
        {pair: differences(*records) for pair, records in pairs.items()},
        {pair: powers(*records) for pair, records in pairs.items()},
    )


def benchmark_results(
    of_models: Mapping[str, Sequence[Record]], found: Estimates, skipped: int | None = None
) -> dict[str, Any]:
    """One benchmark's part of results.json.

    Args:
        found: what `estimates` makes of the same records.
        skipped: bad rows, which were not asked; None = unknown, as where answers are graded again.
    """
    records = next(iter(of_models.values()))
    models, compared, power = found
    return {
        "items": len(records),
        **({} if skipped is None else {"skipped": skipped}),
        "unscorable": {record.id: record.views["image"][0].reason for record in records if not record.scorable},
        "models": {model: _json(metrics) for model, metrics in models.items()},
        "differences": {pair: _json(metrics) for pair, metrics in compared.items()},
        "power": {pair: {name: seen(of) for name, of in metrics.items()} for pair, metrics in power.items()},
    }


def missing(results: Mapping[str, Any]) -> list[str]:
    """What no metric of a benchmark counts, in words.

    Args:
        results: its part of results.json.
    """
    counts = {
        "more unscorable": len(results["unscorable"]),
        "bad rows left out (skipped.jsonl)": results.get("skipped"),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def seen(power: Power) -> dict[str, Any]:
    """What results.json says of a comparison's power; null where it is unknown."""
    return {
        "detectable": power.detectable() if power.known else None,
        "items_for": {f"{points / 100:g}": power.items_for(points / 100) for points in POINTS_SEEN},
    }


def _json(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in metrics.items()}


class Published(NamedTuple):
    """Published figures beside ours, for results.json and results.md; nothing of benchmarks without any."""

    results: dict[str, Any]
    tables: dict[str, ReportTable]


def published(
    settings: Mapping[str, Any],
    found: Mapping[str, Estimates],
    protocols: Mapping[str, Mapping[str, Protocol]],
    limits: Mapping[str, int | None],
) -> Published:
    """What was published of each benchmark, and how that was made.

    Args:
        settings: of the evaluation, in plain types.
        found: what we measured, by benchmark.
        protocols: of each benchmark and model.
        limits: by benchmark, rows that were asked for, the first ones; None = all.
    """
    results, shown = {}, {}
    for name, of_sources in settings.get("published", {}).items():
        if name not in found:
            continue
        cards = {source: Card(**card) for source, card in of_sources.items()}
        averages = {
            model: str(next(estimate for metric, estimate in metrics.items() if metric.startswith("avg@")))
            for model, metrics in found[name].models.items()
            if metrics
        }
        chosen = settings["benchmarks"][name]
        part = limits[name] is not None or any(chosen.get(key) is not None for key in ("size", "tags"))
        part = part or list(chosen.get("share", WHOLE)) != WHOLE
        results[name] = published_results(cards, next(iter(protocols[name].values())))
        shown[name] = published_table(name, cards, protocols[name], averages, part)
    return Published(results, shown)


def slug(path: str) -> str:
    """The end of a model's path as a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", path)[-60:].strip("_.")
