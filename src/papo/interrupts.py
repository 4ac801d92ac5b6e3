"""Ctrl-C and SIGTERM where there is no step to finish first, and processes whose parent is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The process was asked to stop; the message says how to go on. Entry points exit with status 130.

    No Exception: what catches those, around a model or a grader, is not meant.
    """


@contextlib.contextmanager
def stopping_at_once(message: str) -> Iterator[None]:
    """Inside, either signal raises Interrupted with this message.

    In other threads than the main one nothing is changed: signals belong to that, and to the program that started them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame) -> None:
        raise Interrupted(message)

    previous = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Ends this process, in the midst of anything, when the one that started it by multiprocessing is gone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
