"""What a worker's process does instead of training; where that process can import it from."""

import os

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
