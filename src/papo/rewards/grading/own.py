"""Your own grader, named by its dotted path: the only code here that can hang, so it runs in a process of its own.

    def strict(item, response):
        return item.answer in response        # or a Grade; None = the item cannot be graded

    strict.deadline_s = 5                     # seconds for one answer
    strict.memory_mb = 500                    # beyond what the process holds when the call begins
    strict.may_fail = 0.1                     # share of answers on which it may fail before the run is stopped

`item` has the texts of papo.types.Item, not its pictures. Printing is harmless, and so is writing to any descriptor or
lowering a limit. A deadline passed, memory exhausted, an
exception or a crash costs the answer, which is wrong with that as its reason; the process is started anew for the next.
The first failure is said at once, and a grader that keeps failing ends the run: nothing is learnt from answers that are
all wrong.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from papo.errors import ConfigError, GraderFailed
from papo.rewards.grading.verdict import Grade, Verdict, failure
from papo.visible import line

if TYPE_CHECKING:
    from papo.types import Item

LOAD_S = 60.0  # to start the process and to import the grader with all that it needs
LONGEST = 10**6  # bytes of one line that comes back; a reply has 20,000 characters at most
RECENT = 200  # answers of which a share may fail
ENOUGH = 16  # failures before a share of them says anything
UNSENT = ("images", "scene", "counterfactual")  # of an item: large, or no text


class Gone(Exception):
    """The process did not answer; the message says why."""


def grade(item: Item, response: str) -> Grade:
    """What the function `item.rule` says, within its deadline.

    Raises:
        ConfigError: the function cannot be imported.
        GraderFailed: it keeps failing.
    """
    found, may_fail = asked(item, response)
    _tallies.setdefault(item.rule, Tally()).add(found, may_fail)
    return found


def asked(item: Item, response: str) -> tuple[Grade, float]:
    """What the function says, and the share of answers on which it may fail; raises ConfigError as `grade`."""
    with _lock:  # one process, one question at a time; who waits here waits at most for the others' deadlines
        try:
            limits = _worker().load(item.rule)
        except Gone as error:
            _stop()
            raise ConfigError(f"rule {item.rule} of item {item.id}: importing it {error}") from None
        if "error" in limits:
            raise ConfigError(f"rule {item.rule} of item {item.id} cannot be imported: {limits['error']}")
        request = {"rule": item.rule, "item": texts(item), "response": response}
        try:
            reply = _worker().ask(request, limits["deadline_s"])
        except Gone as error:
            _stop()
            return failure(f"the grader {item.rule} {error}"), limits["may_fail"]
        if reply["spoilt"]:
            _stop()
    if "error" in reply:
        return failure(f"the grader {item.rule} failed: {reply['error']}"), limits["may_fail"]
    return Grade(Verdict(reply["verdict"]), reply["answer"], reply["reason"]), limits["may_fail"]


class Tally:
    """How often a grader was asked, and failed."""

    def __init__(self) -> None:
        self.asked = self.failed = 0
        self.recent: deque[bool] = deque(maxlen=RECENT)  # whether it failed

    def add(self, grade: Grade, may_fail: float) -> None:
        """Counts one more answer.

        Raises:
            GraderFailed: more of the last ones failed than may.
        """
        self.asked += 1
        self.recent.append(grade.failed)
        if not grade.failed:
            return
        self.failed += 1
        if self.failed == 1:
            print(f"warning: {line(grade.reason)}; such an answer counts as wrong", file=sys.stderr, flush=True)
        failed = sum(self.recent)
        if failed >= ENOUGH and failed > may_fail * len(self.recent):
            raise GraderFailed(
                f"{line(grade.reason)}; it failed on {failed} of the last {len(self.recent)} answers. Mend it, or let "
                "it fail more often with FUNCTION.may_fail = SHARE"
            )


def count_anew() -> None:
    """At the beginning of a run: what failed in an earlier one of this process is past."""
    _tallies.clear()


def counted() -> dict[str, tuple[int, int]]:
    """By grader, how many answers it was asked about since, and on how many of them it failed."""
    return {rule: (tally.asked, tally.failed) for rule, tally in _tallies.items()}


def failures(of_processes: Iterable[Mapping[str, tuple[int, int]]] = ()) -> list[str]:
    """A line for each grader that failed, with how often: in this process, or in those whose `counted` these are."""
    sums: dict[str, tuple[int, int]] = {}
    for process in of_processes or [counted()]:
        for rule, (asked, failed) in process.items():
            before = sums.get(rule, (0, 0))
            sums[rule] = before[0] + asked, before[1] + failed
    return [
        f"the grader {rule} failed on {failed} of {asked} answers, which count as wrong"
        for rule, (asked, failed) in sums.items()
        if failed
    ]


def texts(item: Item) -> dict[str, Any]:
    assert is_dataclass(item)
    values = {field.name: getattr(item, field.name) for field in fields(item) if field.name not in UNSENT}
    return values | {"tags": dict(item.tags)}


class Worker:
    """A process that imports graders and calls them, one question at a time, and lives until it is stopped."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "papo.rewards.grading.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What it may import is what this process may, wherever it was started.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            start_new_session=True,  # a Ctrl-C is for us; and its own children end with it
        )
        # Neither writing to a stopped process nor reading from it may block for longer than the deadline.
        os.set_blocking(self.process.stdin.fileno(), False)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.limits: dict[str, dict[str, Any]] = {}
        self.asked = 0  # questions, which are numbered: their replies repeat the number

    def load(self, rule: str) -> dict[str, Any]:
        """The limits of a grader, or the error with which it cannot be imported."""
        if rule not in self.limits:
            self.limits[rule] = self.ask({"load": rule}, LOAD_S)
        return self.limits[rule]

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to a request.

        Raises:
            Gone: there is none within `seconds`.
        """
        end = time.monotonic() + seconds
        self.asked += 1
        question = request | {"seconds": seconds, "id": self.asked}
        left = memoryview(json.dumps(question).encode() + b"\n")
        received = bytearray()
        stdin, stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_WRITE)
            while True:
                ready = selector.select(max(0.0, end - time.monotonic()))
                if not ready:
                    raise Gone(f"took longer than {seconds:g} s")
                for key, _ in ready:
                    if key.fd == stdout:
                        piece = os.read(stdout, 1 << 16)
                        if not piece:
                            raise Gone("ended its process")
                        received += piece
                        if len(received) > LONGEST:
                            raise Gone("wrote without end where replies go")
                        *lines, received = received.split(b"\n")
                        for line in lines:
                            reply = self.reply(line)
                            if reply is not None:
                                return reply
                    else:
                        try:
                            left = left[os.write(stdin, left) :]
                        except BrokenPipeError:
                            raise Gone("ended its process") from None
                        if not left:
                            selector.unregister(stdin)

    def reply(self, line: bytes) -> dict[str, Any] | None:
        """What a line replies to the last question; None where a grader has written it."""
        try:
            reply = json.loads(line)
        except ValueError:
            return None
        return reply if isinstance(reply, dict) and reply.get("id") == self.asked else None

    def stop(self) -> None:
        # The whole session: also what the grader started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


_tallies: dict[str, Tally] = {}  # by rule
_current: Worker | None = None
_lock = threading.Lock()


def _worker() -> Worker:
    global _current
    if _current is not None and _current.process.poll() is not None:
        _stop()  # it died between two answers, of which neither is to blame
    if _current is None:
        _current = Worker()
    return _current


def _stop() -> None:
    global _current
    if _current is not None:
        _current.stop()
        _current = None


def _forget() -> None:
    """In a forked child (a data loader's worker): the process is the parent's, and the lock may be held there."""
    global _current, _lock
    _current, _lock = None, threading.Lock()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
