"""Signals, and processes whose parent is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from papo.interrupts import SIGNALS, Interrupted, stopping_at_once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost_where_nothing_can_be_raised(number, capsys):
    """In a __del__, as between the forks of a data loader's workers, Python only says that it ignored an exception."""

    class Raising:
        def __del__(self):
            signal.raise_signal(number)

    hook, handlers = sys.unraisablehook, [signal.getsignal(each) for each in SIGNALS]

    def wait():
        with stopping_at_once(Counted()):
            Raising()
            time.sleep(10)

    with pytest.raises(Interrupted, match=r"^stopped 2$"):
        wait()
    assert capsys.readouterr().err == ""
    assert (sys.unraisablehook, [signal.getsignal(each) for each in SIGNALS]) == (hook, handlers)


class Counted:
    """A message that changes."""

    times = 0

    def __str__(self):
        self.times += 1
        return f"stopped {self.times}"


STARTED = """
import multiprocessing, os, signal
from multiprocessing.process import BaseProcess
from papo import cli
from papo.data.module import Loader
from papo.interrupts import left_to_parent
def main():
    {main}
def started(process, start=BaseProcess.start):
    start(process)
    if process.name.endswith("2"):
        os.kill(os.getpid(), signal.SIGTERM)
cli.run(main)
"""


@pytest.mark.parametrize(
    "main",
    [
        # Asked to stop when the second of a loader's workers was started.
        "BaseProcess.start = started; list(Loader(range(4), num_workers=2, worker_init_fn=left_to_parent))",
        # One that was told nothing.
        "multiprocessing.Process(target=lambda: (left_to_parent(0), signal.pause()), daemon=True).start(); "
        "os.kill(os.getpid(), signal.SIGTERM)",
    ],
    ids=["half started", "left over"],
)
def test_no_worker_is_waited_for_for_ever(main):
    done = subprocess.run(
        [sys.executable, "-c", STARTED.format(main=main)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")


def test_a_process_ends_with_the_one_that_started_it():
    """However that ends: nothing else would tell it. What it writes to stays open as long as it lives."""
    code = "from study.fake_workers import parent_of_one; parent_of_one()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout.readline() == "started\n"
    assert parent.stdout.readline() == "busy\n"
    parent.kill()
    parent.communicate(timeout=30)  # raises where the child goes on


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("main", "status"), [("print('all is written')", 0), ("sys.exit(2)", 2), ("1 / 0", 1)])
def test_a_signal_at_the_very_end_hurries_it(number, main, status):
    """While others finish what they do at the end of the process: a logger uploads, torch takes its own down."""
    code = f"""
import atexit, os, signal, sys, time
from papo import cli
def main():
    atexit.register(lambda: time.sleep(60))
    atexit.register(lambda: os.kill(os.getpid(), {int(number)}))  # called before that
    {main}
cli.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == status
    assert "KeyboardInterrupt" not in done.stderr
    assert done.stdout == ("all is written\n" if status == 0 else "")
