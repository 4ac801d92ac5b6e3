"""A run of several processes on one machine, started from the one that was asked for it.

torchrun and srun start a run's processes themselves; then nothing here does. Started here, each process has a session
of its own: a Ctrl-C comes to the one in front alone, which passes it on, once, and a SIGTERM as one. When one of them
dies the others, which wait for it, are ended; when the one in front dies, so are all.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from papo import cli
from papo.errors import ConfigError, DiskFull, GraderFailed, ProcessLost, TrainingDiverged
from papo.interrupts import SIGNALS, Interrupted, end_with_parent
from papo.overrides import refusal

# Fresh, not forked: threads of the process that starts it would be missing in its copy.
SPAWN = multiprocessing.get_context("spawn")
LAST_WORDS_S = 600.0  # in which those that have returned may end
GRACE_S = 5.0  # in which the others may end, or say why they cannot, when one has ended


def needed(cfg: DictConfig) -> bool:
    """Whether a run's processes have still to be started.

    Raises:
        ConfigError: its strategy is that of one process, or other machines are to take part, which only
            torchrun and srun can reach.
    """
    count = processes(cfg)
    if count > 1 and OmegaConf.select(cfg, "strategy.lightning._target_") is None:
        raise ConfigError(f"{count} processes need strategy=ddp; strategy=single is one")
    there = int(os.environ.get("WORLD_SIZE", count))
    if there != count and (there > 1 or started_elsewhere()):
        raise ConfigError(
            f"{there} processes were started, and strategy.devices x strategy.num_nodes are {count}: set both alike"
        )
    if count == 1 or started_elsewhere():
        return False
    if cfg.strategy.num_nodes > 1:
        raise ConfigError(
            "strategy.num_nodes above 1 needs torchrun or srun to start the processes; see docs/howto/many_cards.md"
        )
    return True


def processes(cfg: DictConfig) -> int:
    return cfg.strategy.devices * cfg.strategy.num_nodes


def started_elsewhere() -> bool:
    """Whether this is one of several processes already: torchrun's, srun's, or ours."""
    return all(name in os.environ for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")) or (
        int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ
    )


def number(cfg: DictConfig) -> int:
    """The rank that this process will have, known before it has found the others."""
    if processes(cfg) == 1:
        return 0
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0)))


def launched(task: Callable[[DictConfig], dict[str, Any]], cfg: DictConfig) -> dict[str, Any]:
    """Calls `task` in as many processes as the run has, and returns what it returned in the first.

    Raises:
        ProcessLost: one of them died, or met a bug, whose traceback it printed.
        ConfigError, DiskFull, GraderFailed, TrainingDiverged, Interrupted: raised in any of them.
    """
    count, hydra = processes(cfg), hydra_settings(cfg)
    # What is started takes on the default of what starts it; in a worker of joblib's that is joblib's own, of which a
    # fresh process knows nothing.
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method(None, force=True)  # to Python's
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count), "NODE_RANK": "0"}
    started: list[BaseProcess] = []
    connections: list[Connection] = []
    replies: dict[int, Any] = {}
    with passing_on(started) as asked:
        try:
            for rank in range(count):
                ours, theirs = SPAWN.Pipe(duplex=False)
                own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                # No daemon: those may have no processes of their own, and data.num_workers are such.
                process = SPAWN.Process(target=serve, args=(theirs, own, task, cfg, hydra))
                process.start()
                started.append(process)
                theirs.close()  # ours alone would keep the pipe open when the process is gone
                connections.append(ours)
            replies = answers(started, connections)
        finally:
            end(started, replies)
    for rank, reply in replies.items():
        if reply is None:
            last = Path(cfg.run_dir) / "checkpoints" / "last.ckpt"
            kept = f"{last} has what was saved last" if last.is_file() else "nothing was saved yet"
            replies[rank] = ProcessLost(
                f"process {rank} of {count} ended with status {started[rank].exitcode}, and the run with it; {kept}"
            )
    failures = [reply for reply in replies.values() if isinstance(reply, BaseException)]
    if failures:
        # What others say of one that is gone, which is that it is gone, comes last.
        first = min(failures, key=lambda error: bool(getattr(error, "trace", "")))
        if asked and isinstance(first, ProcessLost) and not first.trace:  # it did not know yet how to stop
            raise Interrupted("stopped at once; what was saved last is kept")
        print(getattr(first, "trace", ""), end="", file=sys.stderr)
        raise first
    return replies[0]


def answers(started: Sequence[BaseProcess], connections: Sequence[Connection]) -> dict[int, Any]:
    """By rank what each says in the end, None where it is gone without a word; after a failure those that come soon."""
    waiting = dict(enumerate(connections))
    replies: dict[int, Any] = {}
    left = None  # seconds to wait for more; None = any
    while waiting and wait([*waiting.values(), *(started[rank].sentinel for rank in waiting)], left):
        for rank, connection in list(waiting.items()):
            # Its end alone says nothing: what it said before may still lie there.
            if connection.poll() or not started[rank].is_alive():
                del waiting[rank]
                try:
                    replies[rank] = connection.recv() if connection.poll() else None
                except (EOFError, OSError):
                    replies[rank] = None
                if not isinstance(replies[rank], dict):
                    left = GRACE_S
    return replies


def serve(
    connection: Connection,
    environment: dict[str, str],
    task: Callable[[DictConfig], dict[str, Any]],
    cfg: DictConfig,
    hydra: DictConfig | None,
) -> None:
    """One process of a run: what `task` returns, or raises, goes through the connection."""
    os.environ.pop("SLURM_NTASKS", None)  # by which Lightning would take its ranks from SLURM
    os.environ |= environment
    os.setsid()
    end_with_parent()
    cli.bound_caches()
    cli.quieten()
    import torch

    if "OMP_NUM_THREADS" not in os.environ:  # otherwise each would take all cores
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(environment["WORLD_SIZE"])))
    cli.hush_lightning()
    if hydra is not None:
        setup_globals()  # ${hydra:...} and ${now:...}
        HydraConfig.instance().cfg = hydra
    try:
        reply = task(cfg)
        sys.stdout.flush()  # what is behind a pipe goes out at the end alone
    except (ConfigError, DiskFull, GraderFailed, TrainingDiverged, Interrupted) as error:
        reply = error
    except OmegaConfBaseException as error:
        reply = ConfigError(refusal(error))
    except (KeyboardInterrupt, SystemExit):  # asked twice, or before anything knew how to stop: Lightning exits
        reply = Interrupted("stopped at once; what was saved last is kept")
    except BaseException as error:
        reply = ProcessLost(
            f"process {environment['RANK']}: {type(error).__name__}: {error}", trace=traceback.format_exc()
        )
    connection.send(reply)
    connection.close()


@contextlib.contextmanager
def passing_on(started: Sequence[BaseProcess]) -> Iterator[list[int]]:
    """Inside, a signal that asks to stop is passed on to the started processes, as a Ctrl-C.

    That is what they know how to follow: behind SIGTERM Lightning has the ranks exchange something, whatever they do.
    """
    asked: list[int] = []  # the signals that came
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame) -> None:
        asked.append(number)
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)

    previous = {sent: signal.signal(sent, ask) for sent in SIGNALS}
    try:
        yield asked
    finally:
        for sent, handler in previous.items():
            signal.signal(sent, handler)


def end(started: Sequence[BaseProcess], replies: Mapping[int, Any]) -> None:
    """Waits for those that are done, for a logger's last words; kills soon what waits for one that is gone."""
    well = len(replies) == len(started) and all(isinstance(reply, dict) for reply in replies.values())
    deadline = time.monotonic() + (LAST_WORDS_S if well else GRACE_S)
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def hydra_settings(cfg: DictConfig) -> DictConfig | None:
    """Hydra's own configuration, which says what the command line chose, beside the run's, to which that may refer
    (`name='a_${seed}'`); None where Hydra did not start the run.

    Its nodes have no types: those that a launcher's plugin declares cannot be sent.
    """
    if not HydraConfig.initialized():
        return None
    plain, own = (OmegaConf.to_container(each) for each in (cfg, HydraConfig.instance().cfg))
    return OmegaConf.create({**plain, **own})
