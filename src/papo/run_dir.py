"""The folder of a run: what is in it, and that it can be written at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from papo import code
from papo.errors import ConfigError
from papo.files import write_text

PACKAGES = ("transformers", "lightning", "hydra-core", "datasets", "torchmetrics", "numpy")


# What a training run leaves in its folder; TensorBoard's and other loggers' files besides, and a study's log.
LEFT = (
    "config.yaml", "provenance.json", "metrics.json", "rollouts.jsonl", "held_out.jsonl", "skipped.jsonl",
    "guessable.jsonl", "hparams.yaml", "metrics.csv", "checkpoints", "model",
)  # fmt: skip
EVENTS = "events.out.tfevents.*"

CLEAR_PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class RunDir:
    """config.yaml, provenance.json, TensorBoard events, checkpoints/, model/, rollouts.jsonl and metrics.json.

    skipped.jsonl too, where rows of the data were bad, and guessable.jsonl, where data.max_guessable left some out.

    Args:
        path: created where missing.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Permission bits bind everybody but root; a folder without any write bit is meant to stay as it is.
            if not self.path.stat().st_mode & 0o222 or not self.path.parent.stat().st_mode & 0o222:
                raise PermissionError("the folder is marked read-only")
            probe = self.path / ".write_probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"hydra.run.dir={self.path} cannot be written ({error.strerror or error}); "
                "choose another with hydra.run.dir=..."
            ) from error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, no other run gets the folder. The end of the process frees it, too.

        Where a folder cannot be locked, as on some network file systems, it is not, with a word about that.

        Raises:
            ConfigError: another run has it.
        """
        folder = os.open(self.path, os.O_RDONLY)  # the folder itself is locked: nothing is left behind
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"hydra.run.dir={self.path} is being written by another run; choose another with hydra.run.dir=..."
                ) from None
            except OSError as error:
                print(f"{self.path} cannot be locked ({error.strerror}): let no other run write there", file=sys.stderr)
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(folder, fcntl.LOCK_UN)  # closing alone would leave it to children that were forked
            os.close(folder)

    def clear(self) -> None:
        """Removes what an earlier training run left, but for the files of other loggers than TensorBoard's."""
        for path in (*(self.path / name for name in LEFT), *self.path.glob(EVENTS)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def start(self, cfg: DictConfig, **facts: Any) -> None:
        """Records what is about to run; `facts` go into provenance.json.

        The figures of a finished run that is continued stay until the new end, with its model/, as those of an
        interrupted one: beside what is written from here on they are no run's.
        """
        self.checkpoints.mkdir(exist_ok=True)
        metrics = finished(self.path)
        if metrics is not None:
            self.write("metrics.json", metrics | {"interrupted": True})
        of_now, file = provenance(cfg) | facts, self.path / "provenance.json"
        if not file.is_file() and cfg.ckpt_path is not None:  # it goes on in another folder than it began in
            file = Path(cfg.ckpt_path).parent.parent / file.name
        if file.is_file():  # else nothing goes on, or from a checkpoint that was moved
            of_now["earlier_code"] = code.earlier_code(json.loads(file.read_text(encoding="utf-8")), of_now)
        write_text(self.path / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
        self.write("provenance.json", of_now)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """As JSON."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def continues(path: str | Path, ckpt_path: str | None) -> bool:
    """Whether a checkpoint is the folder's own."""
    if ckpt_path is None:
        return False
    folder = Path(path).absolute() / "checkpoints"  # which may be a link to another disk
    return Path(ckpt_path).absolute().parent == folder or Path(ckpt_path).resolve().parent == folder.resolve()


def holds_run(path: Path) -> bool:
    """Whether a training run has begun in a folder."""
    return all((path / name).is_file() for name in ("config.yaml", "provenance.json"))


def finished(folder: Path) -> dict[str, Any] | None:
    """The metrics.json of a run that came to its end; None for any other."""
    file = folder / "metrics.json"
    metrics = json.loads(file.read_text()) if file.is_file() else None
    return None if metrics is None or metrics["interrupted"] else metrics


def check_unused(path: str | Path, ckpt_path: str | None, overwrite: bool, model: str | None) -> None:
    """Whether a training run may begin in a folder.

    Args:
        model: the path of what it begins with; None where that is made anew.

    Raises:
        ConfigError: it holds a run, which is neither to be continued from its own checkpoint nor overwritten; or what
            the new run needs would be overwritten with it.
    """
    folder = Path(path)
    if not isinstance(overwrite, bool):
        raise ConfigError(f"overwrite must be true or false, got {overwrite!r}")
    if not holds_run(folder) or continues(path, ckpt_path):
        return
    needed = {"model.path": model, "ckpt_path": ckpt_path}
    inside = [key for key, of in needed.items() if of and Path(of).resolve().is_relative_to(folder.resolve())]
    if overwrite and inside:
        raise ConfigError(f"overwrite=true would remove {inside[0]}={needed[inside[0]]}; choose another hydra.run.dir")
    if not overwrite:
        last = folder / "checkpoints" / "last.ckpt"
        go_on = f"continue that one with ckpt_path={last}, " if last.is_file() else ""
        raise ConfigError(f"hydra.run.dir={path} holds a run; choose another, {go_on}or replace it with overwrite=true")


def provenance(cfg: DictConfig) -> dict[str, Any]:
    """Commit, code, versions, machine, seed, and what the command line set; of a sweep's, what it set for this run."""
    return {
        "command": sys.argv,
        "overrides": list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else [],
        **code.state(OmegaConf.to_container(cfg, resolve=True)),
        # torch's own version names the build (+cpu, +cu130), which its metadata may not.
        "packages": {"torch": str(torch.__version__)} | {name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "seed": cfg.seed,
    }


def forget_peak_memory() -> None:
    """`peak_memory_gib` begins anew where that can be had: a process may train one run after another."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError), CLEAR_PEAK.open("a") as switch:  # Linux's, and not in every container
        switch.write("5")


def peak_memory_gib() -> float:
    """Largest memory since `forget_peak_memory`: the accelerator's where it was used, else this process's, which keeps
    some of what earlier runs took."""
    if torch.cuda.is_available() and (there := torch.cuda.max_memory_allocated()):
        return there / 2**30
    with contextlib.suppress(OSError):
        peak = re.search(r"^VmHWM:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        if peak:
            return int(peak[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
