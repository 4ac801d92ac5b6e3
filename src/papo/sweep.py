"""Folders of runs that nobody named: unused ones; and sweeps (-m): a folder for each run, going on, a table at the end.

Hydra's callbacks in conf/ name this module, so that whatever process a launcher starts has its resolvers too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from papo.errors import ConfigError
from papo.settings import changed_setting, leaves, lies_in

# Of a folder's name. File systems take 255 bytes, and whole paths are shown in tables and in TensorBoard.
LONGEST_NAME = 120

TABLE = "sweep.md"  # in the sweep's folder
FAILED_RUNS = "failed.txt"  # likewise, while it goes on: a line for each run that did not come through

failed: list[str] = []  # the same, in the process of the command

# Columns of the table by what is read of metrics.json, where it is called NAME_before and NAME_after; "" is avg@k.
MEASURES = {"greedy": "greedy", "": None, "guessed": "guessed", "readable_masked": "readable, masked"}
BECAME = " -> "


def sweeping() -> bool:
    return HydraConfig.get().mode == RunMode.MULTIRUN


# ---------------------------------------------------------------------------------------------------------- resolvers


def unused(wanted: str) -> str:
    """Makes the folder, or the first of wanted_2, wanted_3, ... that is not there: of many that ask at once each gets
    another one. `${unused:FOLDER}` in conf/ asks once for each command."""
    folder = Path(wanted)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(2):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                break
            folder = Path(f"{wanted}_{number}")
    except OSError:
        return wanted  # Hydra meets the same when it makes the folder, and is asked what (papo.cli)
    return str(folder)


def folder_name(number: int | str, overrides: Sequence[str], alike: Sequence[str]) -> str:
    """The name of a sweep's run: its number, and as many of its overrides as there is room for.

    Args:
        number: of the run.
        overrides: key=value.
        alike: keys of those that all runs have alike, which are left out.

    >>> folder_name(3, ["experiment=papo_qwen", "mask_ratio=0.4", "model.path=a/b"], ["experiment"])
    '3_mask_ratio=0.4,model.path=a_b'
    """
    name, separator = str(number), "_"
    for override in overrides:
        if override.partition("=")[0] in alike:
            continue
        # What a file system, a shell or a pattern would take for something else.
        longer = name + separator + re.sub(r"[^A-Za-z0-9.,=+@_-]+", "_", override)
        if len(longer) > LONGEST_NAME:
            return name if separator == "," else longer[:LONGEST_NAME]
        name, separator = longer, ","
    return name


# Once for a command, by how it is written in conf/: who asks again is told the same, and so are all runs of a sweep,
# whatever their `name`.
OmegaConf.register_new_resolver("unused", unused, use_cache=True, replace=True)
OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)


# ------------------------------------------------------------------------------------------------------------- sweeps


class Sweep(Callback):
    """What a sweep does before its first run and after its last one."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Says to all runs what they have alike."""
        with contextlib.suppress(OSError):  # where nothing can be written other words are said
            (Path(config.hydra.sweep.dir) / FAILED_RUNS).unlink()
        keys = ",".join(map(quoted, alike(config)))
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{keys}]")

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Learns which runs failed, writes and prints the table."""
        from papo.evaluation.result_tables import to_markdown
        from papo.files import write_text

        folder = Path(config.hydra.sweep.dir)
        noted = folder / FAILED_RUNS
        if noted.is_file():
            failed.extend(name for name in noted.read_text(encoding="utf-8").splitlines() if name not in failed)
            noted.unlink(missing_ok=True)
        found = table(folder, alike(config))
        if found is not None:
            text = to_markdown(found)
            write_text(folder / TABLE, text + "\n")
            print(f"\n{text}\n\n{folder / TABLE}")


def note_failed() -> str:
    """Has the command learn that this run of a sweep failed, whose process may be one of a launcher's plugin; returns
    the run's name."""
    hydra = HydraConfig.get()
    name = Path(hydra.runtime.output_dir).name
    failed.append(name)
    noted = Path(hydra.runtime.cwd, hydra.sweep.dir, FAILED_RUNS)
    with contextlib.suppress(OSError), noted.open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")
    return name


def alike(config: DictConfig) -> list[str]:
    """The keys that a sweep's command line sets to one value."""
    given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    return [override.get_key_element() for override in given if not override.is_sweep_override()]


def quoted(text: Any) -> str:
    """As a value of an override."""
    return QuotedString(str(text), Quote.single).with_quotes()


def going_on(task: Callable[[DictConfig], dict[str, Any]]) -> Callable[[DictConfig], dict[str, Any]]:
    """`papo.train`, which in a sweep that was begun before makes no finished run again, and goes on with others.

    Raises:
        ConfigError: a run that is there has other settings.
    """

    def run_task(cfg: DictConfig) -> dict[str, Any]:
        from papo.run_dir import finished, holds_run  # which imports torch

        folder = Path(str(cfg.run_dir))  # a number, which is refused with the other settings
        if not sweeping() or cfg.overwrite is True or not holds_run(folder):
            return task(cfg)
        difference = changed_setting(folder, cfg, besides=("ckpt_path",))
        if difference is not None:
            raise ConfigError(
                f"{folder} is of a sweep with other settings ({difference}); choose another hydra.sweep.dir, or "
                "replace its runs with overwrite=true"
            )
        metrics = finished(folder)
        if metrics is not None:
            print(f"{folder.name} is finished: skipped", flush=True)
            return metrics
        saved = folder / "checkpoints" / "last.ckpt"
        if saved.is_file() or saved.with_name("previous.ckpt").is_file():
            print(f"{folder.name} goes on from {saved}", flush=True)
            return task(OmegaConf.merge(cfg, {"ckpt_path": str(saved)}))
        print(f"{folder.name} had saved nothing and begins anew", flush=True)
        return task(OmegaConf.merge(cfg, {"overwrite": True}))

    return run_task


def table(folder: Path, alike: Sequence[str]) -> Any:
    """A papo.report.ReportTable with a row for each run of a sweep; None where there is none.

    Args:
        folder: the sweep's.
        alike: see `folder_name`.
    """
    from papo.report import ReportTable

    runs = list(of_sweep(folder))
    if not runs:
        return None
    keys = list(dict.fromkeys(key for _, overrides, *_ in runs for key in overrides if key not in alike))
    names = list(dict.fromkeys(name for *_, found in runs for name in found)) or ["result"]
    answered = [of for *_, of, found in runs if found]
    other = [key for key in sorted(set().union(*answered)) if len({of.get(key) for of in answered}) > 1]
    other = [key for key in other if not lies_in(key, keys)]
    rows = []
    for number, overrides, drawn, found in runs:
        cells = [found.get(name, "") for name in names] if found else ["not finished", *[""] * (len(names) - 1)]
        rows.append((number, *(overrides.get(key, "") for key in keys), *(drawn.get(key, "") for key in other), *cells))
    note = "%, with 95 % interval over items"
    if any(BECAME in cell for row in rows for cell in row):
        note += f"; before training{BECAME}after it"
    if other:
        note += f"; what one policy answers moves with {', '.join(other)}, which evaluate.py rollout=NAME makes alike"
    return ReportTable("Sweep", ("run", *keys, *other, *names), tuple(rows), note)


def of_sweep(folder: Path) -> Iterator[tuple[str, dict[str, str], dict[str, str], dict[str, str]]]:
    """The runs in order: number, overrides, how an evaluation's responses were drawn, and what was found by its column
    in the table; {} = not finished."""
    from papo.run_dir import holds_run

    found = [path for path in folder.iterdir() if path.name.partition("_")[0].isdigit() and holds_run(path)]
    for path in sorted(found, key=lambda path: int(path.name.partition("_")[0])):
        given = json.loads((path / "provenance.json").read_text(encoding="utf-8")).get("overrides", ())
        overrides = {key: value for key, _, value in (override.partition("=") for override in given)}
        yield path.name.partition("_")[0], overrides, drawn_as(path), result(path)


def drawn_as(folder: Path) -> dict[str, str]:
    """The settings of an evaluation's rollout, which is that of each model's own training unless the command chooses
    one; {} of a training run."""
    if not any((folder / name).is_file() for name in EVALUATED):
        return {}
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {}
    return {key: str(value) for key, value in leaves(config.get("rollout", {}), "rollout")}


def result(folder: Path) -> dict[str, str]:
    """What a run found, by its column in the table; {} = it is not finished."""
    for name, read in EVALUATED.items():
        file = folder / name
        if file.is_file():
            return read(json.loads(file.read_text(encoding="utf-8")))
    return trained(folder)


def trained(folder: Path) -> dict[str, str]:
    """Of a training run's metrics.json."""
    from papo.run_dir import finished
    from papo.statistics import Estimate

    metrics = finished(folder)
    if metrics is None:
        return {}
    found = {}
    for name, column in MEASURES.items():
        before, after = (metrics.get(f"{name}_{when}" if name else when) for when in ("before", "after"))
        if after is not None:
            said = f"{100 * before['mean']:.1f}{BECAME}" if before else ""
            found[column or metrics["accuracy"]] = said + str(Estimate(**after))
    return found | {"s": f"{metrics['seconds']:.0f}"}


def evaluated(content: Mapping[str, Any]) -> dict[str, str]:
    """avg@k of each benchmark and model in an evaluation's results.json."""
    average = f"avg@{content['k']}"
    return {
        f"{benchmark} {average}" + (f", {model}" if len(of["models"]) > 1 else ""): estimated(metrics.get(average))
        for benchmark, of in content["benchmarks"].items()
        for model, metrics in of["models"].items()
    }


def guessed_blind(content: Mapping[str, Any]) -> dict[str, str]:
    """The share of right blind answers to each benchmark in guessability.json."""
    return {
        f"{benchmark} answered blind": estimated(
            {name: of[name] for name in ("mean", "ci95", "n")} if "n" in of else None
        )
        for benchmark, of in content.items()
    }


def estimated(figures: Mapping[str, Any] | None) -> str:
    """None where no item could be graded."""
    from papo.statistics import Estimate

    return "no item can be graded" if figures is None else str(Estimate(**figures))


EVALUATED = {"results.json": evaluated, "guessability.json": guessed_blind}  # what an evaluation leaves, and its reader
