"""Answers that were saved, as they are read again: of the folder of an evaluation, or of another tool's file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from papo.errors import ConfigError
from papo.evaluation.records import Record
from papo.evaluation.results import records_file
from papo.visible import line

Records = dict[str, dict[str, list[Record]]]  # by benchmark and model


@dataclass(frozen=True)
class Saved:
    """Answers of some models.

    Args:
        records: by benchmark and model.
        settings: that they were drawn with, as config.yaml of their folder has them.
        results: what results.json says beside the benchmarks: k, temperature, seed, views, skipped_rows.
        judged: whether the answers have verdicts.
    """

    records: Records
    settings: Mapping[str, Any]
    results: Mapping[str, Any]
    judged: bool = True

    @property
    def models(self) -> list[str]:
        return list(next(iter(self.records.values()), ()))

    @property
    def instruction(self) -> str | None:
        """That asked for a format; None = not known."""
        return self.settings["prompt"]["instruction"]


def read_evaluation(folder: Path, key: str) -> Saved:
    """The answers of a finished evaluation.

    Args:
        key: the override that named it, for messages.

    Raises:
        ConfigError: the folder holds none, or files of it are missing or damaged.
    """
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        settings = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
        settings["prompt"]["instruction"], settings["benchmarks"]  # without them nothing can be graded
        models, benchmarks = results["models"], results.pop("benchmarks")
        records: Records = {name: {} for name in benchmarks}
        for number, model in enumerate(models):
            for name in benchmarks:
                lines = records_file(folder, number, model, name).read_text(encoding="utf-8").splitlines()
                records[name][model] = [Record.from_json(line) for line in lines]
    except FileNotFoundError as error:
        missing = Path(error.filename).relative_to(folder)
        raise ConfigError(f"{key}={folder} holds no finished evaluation: {missing} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{key}={folder} holds an evaluation that cannot be read: {error}") from error
    return Saved(records, settings, results)


def of_file(path: str, benchmark: str, records: Sequence[Record], judged: bool) -> Saved:
    """Answers of another tool, or exported for one; the model is called as the file."""
    views = {view: None for record in records[:1] for view in record.views}
    k = len(records[0].views["image"])
    results = {"k": k, "temperature": None, "seed": None, "views": views, "skipped_rows": 0}
    return Saved({benchmark: {path: list(records)}}, {"prompt": {"instruction": None}}, results, judged)


def side_by_side(
    saved: Mapping[str, Saved], benchmarks: Sequence[str], limit: int | None = None
) -> tuple[Records, dict[str, Saved]]:
    """All models' records of the items that all of them answered, and where each model's are from.

    Args:
        saved: by the path it was read from.
        benchmarks: names of those that are wanted.
        limit: items of each, the first ones; None = all.

    Returns:
        Records of the same items in the same order under the name of each model, with its path in front where two
        places answered with a model of one name; and by that name the answers that they are from.

    Raises:
        ConfigError: a benchmark was not answered in one of the places, or no item of it in all, or an item of one
            place shows another picture in another.
    """
    names = [model for of in saved.values() for model in of.models]
    labels = {
        (path, model): model if names.count(model) == 1 else f"{path}: {model}"
        for path, of in saved.items()
        for model in of.models
    }
    found: Records = {}
    for name in benchmarks:
        for path, of in saved.items():
            if name not in of.records:
                raise ConfigError(f"{path} has no answers to benchmarks={name}, only to {', '.join(of.records)}")
        answered = {
            label: {record.id: record for record in saved[path].records[name][model]}
            for (path, model), label in labels.items()
        }
        first, *others = answered.values()
        ids = [id for id in first if all(id in other for other in others)]
        if not ids:
            raise ConfigError(f"no item of benchmarks.{name} was answered in all of {', '.join(saved)}")
        if any(len(of_model) > len(ids) for of_model in answered.values()):
            print(f"{name}: {len(ids)} items that were answered in all of {', '.join(saved)}")
        ids = ids[:limit]
        check_pictures(name, {path: answered[label] for (path, _), label in labels.items()}, ids)
        found[name] = {label: [of_model[id] for id in ids] for label, of_model in answered.items()}
    return found, {label: saved[path] for (path, _), label in labels.items()}


def check_pictures(name: str, answered: Mapping[str, Mapping[str, Record]], ids: Sequence[str]) -> None:
    """Raises ConfigError where an item is about other pictures in one place than in another: it is another item.

    Args:
        name: of the benchmark.
        answered: records by id, of each place. Some do not know their pictures.
    """
    for id in ids:
        known = {path: of[id].picture for path, of in answered.items() if of[id].picture is not None}
        if len(set(known.values())) > 1:
            (first, picture), *others = known.items()
            other = next(path for path, its in others if its != picture)
            raise ConfigError(
                f"benchmarks.{name}: {line(id, 200)} shows another picture in {other} than in {first}: answers to "
                "other items cannot be compared"
            )
