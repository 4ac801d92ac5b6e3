"""Ctrl-C and SIGTERM where there is no step to finish first, deadlines, and processes whose parent is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 0.05  # after which a signal whose exception was lost comes again


class Interrupted(BaseException):
    """The process was asked to stop; the message says how to go on. Entry points exit with status 130.

    No Exception: what catches those, around a model or a grader, is not meant.
    """


@contextlib.contextmanager
def stopping_at_once(message: object) -> Iterator[None]:
    """Inside, either signal raises Interrupted with this message, as it reads when the signal comes.

    In other threads than the main one nothing is changed: signals belong to that, and to the program that started them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = signal.SIGINT  # the last one

    def stop(number: int, frame) -> None:
        nonlocal came
        came = number
        raise Interrupted(str(message))

    def again(lost) -> None:
        # It came where Python lets nothing through, in a __del__ or between a fork and what follows it: once more.
        if isinstance(lost.exc_value, Interrupted):
            threading.Timer(AGAIN_S, os.kill, (os.getpid(), came)).start()
        else:
            hook(lost)

    hook, sys.unraisablehook = sys.unraisablehook, again
    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Inside, either signal waits: for what must not be left half made, as workers that nobody knows of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for number in came[-1:]:
            signal.raise_signal(number)


class Overdue(Exception):
    """Something took longer than it may."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Inside, a Python program that computes for longer than `seconds` of this process's own time is ended.

    Time in which the process waits, or others have its cores, does not count. In other threads than the main one there
    is no deadline.

    Raises:
        Overdue: it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame) -> None:
        raise Overdue

    previous = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_S)  # again: it may be lost, as above
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def left_to_parent(worker: int) -> None:
    """Makes a data loader's worker deaf to both signals, which a terminal sends to a whole group of processes.

    Until the process that it works for has finished its step it is needed, and after that it is told to end.

    Args:
        worker: its number, which a data loader passes to all `worker_init_fn`.
    """
    ignore_signals()


def end_workers() -> None:
    """Ends the workers that are left at the end of the process, which would wait for them for ever.

    They are deaf to the signal that multiprocessing ends them by, and what tells them to end may have been interrupted.
    """
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def ignore_signals() -> None:
    """From here on, to the end of the process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_at_signals(status: int) -> None:
    """From here on either signal ends the process at once, with this status: what else it does at its end may take long
    (a logger's last upload), and is nobody's result."""

    def end(number: int, frame) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads, or it is closed
            sys.stdout.flush()
        os._exit(status)

    for number in SIGNALS:
        signal.signal(number, end)


def end_with_parent() -> None:
    """Ends this process, in the midst of anything, when the one that started it by multiprocessing is gone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
