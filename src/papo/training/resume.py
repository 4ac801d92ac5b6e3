"""Checkpoints are checked before anything is written: that they fit, and that the run which goes on is the same."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from papo.data.screened import Screened
from papo.errors import ConfigError
from papo.run_dir import holds_run
from papo.settings import leaves, settings_of
from papo.training.base import PolicyModule
from papo.training.history import GUESSABLE, HELD_OUT, HELD_OUT_LOG
from papo.visible import line

# What may differ in a run that goes on: how far, what it leaves behind, and where.
FREE = ("name", "ckpt_path", "overwrite", "run_dir", "resume", "logger", "callbacks", "data.num_workers")
FREE += (
    "trainer.max_steps",
    "trainer.lightning.max_time",
    "trainer.checkpoint_every",
    "trainer.images_every",
    "trainer.accelerator",
    "val.every",
)
# A run computes the same on any number of processes.
FREE += ("strategy", "trainer.lightning.strategy", "trainer.lightning.devices", "trainer.lightning.num_nodes")
NAMED = 4  # of the settings that differ
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def check_same(cfg: DictConfig) -> None:
    """Whether a run goes on with the settings that it began with.

    Args:
        cfg: of the run that is to go on; `ckpt_path` lies in the folder that it left, `resume.allow` names settings
            that may differ, by their key or the beginning of it.

    Raises:
        ConfigError: others differ.
    """
    folder = Path(cfg.ckpt_path).parent.parent
    if not holds_run(folder):  # a checkpoint that was moved: nothing is known of its run
        return
    try:
        before = yaml.load((folder / "config.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"ckpt_path={cfg.ckpt_path}: {folder / 'config.yaml'} cannot be read") from error
    allowed = (*FREE, *cfg.resume.allow)
    differing = {
        key: f"{key}={now} (was {then})"
        for key, now, then in differences(cfg, before)
        if not any(f"{key}.".startswith(f"{name}.") for name in allowed)
    }
    if differing:
        more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        named = ", ".join([*differing.values()][:NAMED]) + more
        raise ConfigError(
            f"ckpt_path={cfg.ckpt_path} is of a run with other settings: {named}; set them as they were, or mean it "
            f"with 'resume.allow=[{','.join(differing)}]'"
        )


def check_held_out(cfg: DictConfig, path: str, held_out: Screened) -> None:
    """Whether the items that a run was measured on are still held out. Rows of tables are looked at, whose shares are
    drawn by names and ids: a file that was written anew, or another version's way to draw them, holds out others.

    One is gone, too, where its id is by now that of another question or picture than the run's held_out.jsonl has.

    Args:
        path: of the checkpoint.
        held_out: what data.val has now.

    Raises:
        ConfigError: more of them are not than may be bad, and no setting that chooses rows is allowed to differ.
    """
    if not hasattr(held_out.source, "draft"):
        return
    history = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["history"]
    measured = history.get("items_before", {})  # which older checkpoints lack
    before = {item for name, items in measured.items() if name != GUESSABLE for item in items}
    others = changed(Path(path).parent.parent, held_out) if before else set()
    gone = sorted(before - (held_out.ids() - others)) if before else []
    rows = max(len(before), len(held_out.source))  # not all could be graded
    if len(gone) <= held_out.screen.max_bad_share * rows:  # as many as may turn bad
        return
    said = (
        f"ckpt_path={path}: {len(gone)} of the {len(before)} held-out items that its run was measured on are not in "
        f"data.val now, or are others, such as {line(gone[0], 100)}, and it may have been trained on those that are"
    )
    if not any(chooses_rows(name) for name in cfg.resume.allow):
        raise ConfigError(
            f"{said}: the data is another, or its shares are drawn in another way since (CHANGELOG.md); go on with the "
            "data and the version that it began with (provenance.json), begin anew, or mean it with "
            "'resume.allow=[data.val]'"
        )
    print(f"{said}: before and after are of different items")


def changed(folder: Path, held_out: Screened) -> set[str]:
    """The held-out items that ask or show something else by now than when the run in `folder` was measured on them, by
    id; none where nothing is known of it. Runs of before know their pictures alone.
    """
    file = folder / HELD_OUT_LOG
    if not (holds_run(folder) and file.is_file()):
        return set()
    with file.open(encoding="utf-8") as lines:
        whole = (json.loads(line) for line in lines if line.endswith("\n"))  # the last one may be cut off
        rows = [row for row in whole if row["set"] == HELD_OUT]
    # As it was first: a run that was once allowed other rows has their lines behind.
    measured = {row["item"]: (row.get("asked"), row["picture"]) for row in reversed(rows)}
    found = set()
    for item in held_out.items():
        if item.id in measured:
            asked, picture = measured[item.id]
            if asked not in (None, item.asked) or picture != item.picture:
                found.add(item.id)
    return found


def chooses_rows(name: str) -> bool:
    """Whether a setting can hold out other rows."""
    return (
        name in ("data", "data.train")
        or name.startswith("data.val")
        or (name.startswith("data.train.") and name.rpartition(".")[2] in ("path", "share", "split"))
    )


def differences(cfg: DictConfig, before: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each setting whose value is not what it was: key, now, then.

    A reference to another setting that followed it then, too, differs no more than that one. A setting that only one of
    the two has, and that is off there, is one of another version.
    """
    resolved = OmegaConf.to_container(cfg, resolve=True)
    written = dict(leaves(OmegaConf.to_container(cfg, resolve=False)))
    had = dict(leaves(before))
    # What stands inside of something that is a reference now is looked at with that.
    gone = [key for key in had if not any(f"{key}.".startswith(f"{other}.") for other in written)]
    for key in [*written, *gone]:
        now, then = (value_at(of, key) for of in (resolved, before))
        text = written.get(key)
        reference = REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if now == then or (reference and then == value_at(before, reference[1])):
            continue
        if isinstance(text, str) and "${" in text and not reference:  # a path, or a text about others
            continue
        if (key not in had and is_off(now)) or (key not in written and is_off(then)):
            continue
        yield key, now, then


def value_at(node: Any, key: str) -> Any:
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def is_off(value: Any) -> bool:
    return value is None or value is False or value in ([], {}, "")


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the last one is."""
    return path.with_name("previous.ckpt")


@dataclass
class HowFar:
    """How far a run has come, and how it can be continued: what it says when it is stopped at once.

    Args:
        last: where it keeps its last checkpoint.
        ckpt_path: what it goes on from itself; None = it began anew.
    """

    last: Path
    ckpt_path: str | None
    when: str = "before anything was written"
    begun: bool = False  # whether what lies at `last` is its own
    done: bool = False

    def __str__(self) -> str:
        saved = self.begun and (self.last.is_file() or previous_of(self.last).is_file())
        path = self.last if saved else self.ckpt_path
        if path is None or self.done:
            return f"stopped {self.when}: there is nothing to continue"
        return f"stopped {self.when}: ckpt_path={path} goes on"


def usable(path: str, key: str = "ckpt_path") -> str:
    """The checkpoint to go on from: the one at `path`, or the one before where that is damaged or was being replaced.

    Args:
        key: the setting that named it.

    Raises:
        ConfigError: it is damaged, and there is no other.
    """
    problem = damage(Path(path))
    if problem is None:
        return path
    previous = previous_of(Path(path))
    if Path(path).name != "last.ckpt" or not previous.is_file() or damage(previous) is not None:
        raise ConfigError(f"{key}={path} {problem}")
    print(f"{key}={path} {problem}; going on from {previous}, the one before it")
    return str(previous)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's file, whose parts each carry a checksum; None = nothing."""
    if not path.is_file():
        return "does not exist; a run keeps its own at <run>/checkpoints/last.ckpt"
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception:  # a bit in a header may make anything of it
        return "is no whole checkpoint: it was cut off, or is something else"
    return None if part is None else f"is damaged: {part} is not what was written"


def steps_behind(path: str, module: PolicyModule) -> int:
    """The steps that the checkpoint at `path` has behind it, if `module` can continue from it.

    Raises:
        ConfigError: no checkpoint of this package, one of another model or of other parts of it, or nothing left to do.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        saved = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        step: int = checkpoint["step"]
    except (RuntimeError, pickle.UnpicklingError, KeyError, EOFError, OSError) as error:
        raise ConfigError(f"ckpt_path={path} is no checkpoint of this package") from error
    if ("damping" in checkpoint) != hasattr(module, "damping"):  # the weights of an objective's terms
        kind = "reinforcement" if "damping" in checkpoint else "supervised training"
        raise ConfigError(
            f"ckpt_path={path} is of {kind}, which this run is not; it may begin with that model: export={path}, then "
            "model.path"
        )
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    if saved != expected:
        differing = sorted(name for name in saved.keys() | expected.keys() if saved.get(name) != expected.get(name))
        name = differing[0]
        raise ConfigError(
            f"ckpt_path={path} does not fit model.path: {len(differing)} tensors differ, e.g. {name} is "
            f"{describe(saved.get(name))} in the checkpoint and {describe(expected.get(name))} in the model"
        )
    trained, asked = (
        sum(len(group["params"]) for optimizer in optimizers for group in optimizer["param_groups"])
        for optimizers in (checkpoint["optimizer_states"], [module.configure_optimizers().state_dict()])
    )
    if trained != asked:  # else each one's moments would be taken for another one's
        raise ConfigError(
            f"ckpt_path={path} is of a run that trained {trained} tensors, and this one would train {asked}: set "
            f"model.train as it was, or begin anew with that model: export={path}, then model.path"
        )
    # One that ended after its last step and before its last validation has that left to do.
    if step > module.total_steps or (step == module.total_steps and measured_after(step, Path(path).parent.parent)):
        raise ConfigError(f"ckpt_path={path} has {step} steps behind it; continue with trainer.max_steps above {step}")
    return step


def replanned(path: str, module: PolicyModule) -> list[dict[str, int]]:
    """What `module` is to note of the steps behind the checkpoint at `path`: for which other lengths of the run they
    were planned, and up to which step. Where something depends on that they are not those of one run of the new length,
    which is said.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    step, now, before = checkpoint["step"], module.total_steps, checkpoint.get("replanned", [])
    folder = Path(path).parent.parent
    recorded = settings_of(folder) if "total_steps" not in checkpoint and holds_run(folder) else {}  # of an older one
    then = checkpoint.get("total_steps", recorded.get("trainer.max_steps", now))
    made, asked = ([module.planned(behind, total) for behind in range(step)] for total in (then, now))
    changes = []
    for name in module.planned(step, now):
        had, would = ([factors[name] for factors in of] for of in (made, asked))
        if had != would:
            most = max(range(step), key=lambda behind: abs(had[behind] - would[behind]))
            changes.append(f"{name} {apart(had[most], would[most])} at step {most + 1}")
    if not changes:
        return before
    print(
        f"ckpt_path={path}: its {step} steps were planned for trainer.max_steps={then}, the next for {now} "
        f"({', '.join(changes)}): this is not what one run of {now} steps would be"
    )
    return [*before, {"step": step, "max_steps": then}]


def apart(had: float, would: float) -> str:
    """Two different factors, with as many digits as tell them apart."""
    digits = next((n for n in range(3, 17) if f"{had:.{n}g}" != f"{would:.{n}g}"), 17)
    return f"x {had:.{digits}g} instead of x {would:.{digits}g}"


def measured_after(step: int, folder: Path) -> bool:
    """Whether the run in a folder, if there is one, came to its end with that step."""
    if not holds_run(folder):
        return True  # nothing is known of it
    file = folder / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return metrics is not None and metrics["steps"] == step and not metrics["interrupted"]


def describe(shape: torch.Size | None) -> str:
    return "absent" if shape is None else str(list(shape))
