"""A process that trains one run after another: what is imported once serves them all."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from papo.interrupts import end_with_parent

# A process grows by 5 MiB or so with each run, most of it what allocators keep; after so many another takes its place.
RUNS_EACH = 20

LOG = "log.txt"  # in a run's folder: what it would have printed

# Fresh, not forked: threads of the process that starts it would be missing in its copy.
SPAWN = multiprocessing.get_context("spawn")


class Worker:
    """The process, seen from the one that gives it work.

    Args:
        threads: of torch and of what it calls.
    """

    def __init__(self, threads: int) -> None:
        self.connection, theirs = SPAWN.Pipe()
        # No daemon: those may have no processes of their own, and data.num_workers are such.
        self.process = SPAWN.Process(target=serve, args=(theirs, threads))
        self.process.start()
        self.runs = 0
        theirs.close()  # ours alone would keep the pipe open when the process is gone

    def start(self, cfg: DictConfig) -> None:
        self.runs += 1
        with contextlib.suppress(OSError):  # it is gone, as `result` will say
            self.connection.send(cfg)

    def result(self) -> str | None:
        """Why the run that was started failed; None = it is finished."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return f"its process ended with status {self.process.exitcode}"

    @property
    def worn(self) -> bool:
        """Whether another one must take its place."""
        return self.runs >= RUNS_EACH or not self.process.is_alive()

    def end(self) -> None:
        self.connection.close()
        self.process.join()

    def stop(self) -> None:
        """Ends it in the middle of a run."""
        self.process.terminate()
        self.end()


def train_all(configs: Sequence[DictConfig], jobs: int, threads: int) -> Iterator[tuple[DictConfig, str | None]]:
    """Trains all, so many at a time, and yields each when it ends, with the reason where it failed.

    A run that fails ends no other, not even when its process dies.
    """
    waiting, busy = deque(configs), {}
    idle = [Worker(threads) for _ in range(min(jobs, len(configs)))]
    try:
        while waiting or busy:
            while waiting and idle:
                worker, cfg = idle.pop(), waiting.popleft()
                worker.start(cfg)
                busy[worker.connection] = worker, cfg
            for connection in wait(list(busy)):
                worker, cfg = busy.pop(connection)
                failure = worker.result()
                if waiting and not worker.worn:
                    idle.append(worker)
                else:
                    worker.end()
                    idle += [Worker(threads)] if waiting else []
                yield cfg, failure
    finally:
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.stop()


def serve(connection: Connection, threads: int) -> None:
    """Trains what comes in until nobody is there any more."""
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    from papo import cli, train

    cli.bound_caches()
    cli.quieten()
    import torch

    torch.set_num_threads(threads)
    cli.hush_lightning()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(outcome(train, connection.recv()))


def outcome(train: Callable[[DictConfig], dict[str, Any]], cfg: DictConfig) -> str | None:
    """None where the run is finished, else why not, in a line."""
    folder = Path(cfg.run_dir)
    folder.mkdir(parents=True)
    with printing_to(folder / LOG):
        try:
            return "interrupted" if train(cfg)["interrupted"] else None
        except Exception as error:
            traceback.print_exc()
            return f"{type(error).__name__}: {error}"
        finally:
            gc.collect()  # modules, trainers and callbacks hold one another


@contextlib.contextmanager
def printing_to(file: Path) -> Iterator[None]:
    """Inside, whatever the process prints, and not only its Python code, goes into a file."""
    with file.open("a") as log:
        kept = os.dup(1), os.dup(2)
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            yield
        finally:
            for number, stream, own in zip((1, 2), (sys.stdout, sys.stderr), kept, strict=True):
                stream.flush()
                os.dup2(own, number)
                os.close(own)
