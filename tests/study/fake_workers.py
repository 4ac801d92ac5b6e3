"""What a worker's process does instead of training; where that process can import it from."""

import os
import time

from papo.interrupts import end_with_parent
from papo.study.worker import SPAWN


def vanish(connection, threads):
    os._exit(7)


def echo(connection, threads):
    """Fails every second run, and starts a process of its own, as loaders of data do."""
    n = 0
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        child = SPAWN.Process(target=print)
        child.start()
        child.join()
        n += 1
        connection.send(None if n % 2 else "no")


def at_once(connection, environment, *_):
    """Of a run of several processes: says which one it is, and has nothing to do."""
    connection.send({"RANK": environment["RANK"]})


def busy():
    """Would go on for a minute."""
    end_with_parent()
    print("busy", flush=True)
    time.sleep(60)


def parent_of_one():
    """Starts the busy one and waits for it."""
    print("started", flush=True)
    process = SPAWN.Process(target=busy)
    process.start()
    process.join()
