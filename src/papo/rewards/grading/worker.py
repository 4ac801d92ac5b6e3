"""The process in which your own grader runs (see `own`): questions on standard input, replies on standard output.

    python -m papo.rewards.grading.worker

One JSON object per line. {"load": rule} is answered by the grader's limits, {"rule", "item", "response"} by a verdict;
either by {"error"} where the grader raises. Each has an id, which its reply repeats: whatever else comes out there, a
grader has written. {"spoilt": true} says that a grader left less than it found, and that this process is not to be
asked again. It ends with its input, and by itself when it hangs and nobody is left.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from papo.rewards.grading.verdict import Grade, Verdict

DEADLINE_S = 1.0  # of a grader that does not state its own
MEMORY_MB = 200
MAY_FAIL = 0.1
LONGEST = 10_000  # characters of an answer or a reason that go back
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
ORPHANED = 2.0  # times the deadline, after which the kernel ends this process if its owner has not


def main() -> None:
    # The grader may print and read: its own standard streams are not the ones that questions and replies go through.
    questions, replies = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    limits = {kind: resource.getrlimit(kind) for kind in LIMITS}
    for line in questions:
        request = json.loads(line)
        # SIGALRM's default action needs no Python code to run: it also ends a loop inside a C function.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, ORPHANED * request["seconds"])
        try:
            reply = load(request["load"]) if "load" in request else call(request)
        except (Exception, SystemExit) as error:
            reply = {"error": f"{type(error).__name__}: {error}"[:LONGEST]}
        signal.setitimer(signal.ITIMER_REAL, 0)
        spoilt = not restored(limits)
        replies.write("\n" + json.dumps(reply | {"id": request["id"], "spoilt": spoilt}) + "\n")
        replies.flush()


def restored(limits: dict[int, tuple[int, int]]) -> bool:
    """Raises what a grader has lowered; False where that is not allowed again."""
    for kind, limit in limits.items():
        if resource.getrlimit(kind) != limit:
            try:
                resource.setrlimit(kind, limit)
            except (ValueError, OSError):
                return False
    return True


def load(rule: str) -> dict[str, Any]:
    """The limits of a grader.

    Raises:
        Exception: whatever importing it raises; TypeError if it is no function.
    """
    function = imported(rule)
    return {
        "deadline_s": float(getattr(function, "deadline_s", DEADLINE_S)),
        "may_fail": float(getattr(function, "may_fail", MAY_FAIL)),
    }


def imported(rule: str) -> Callable[[Any, str], Any]:
    module, _, name = rule.rpartition(".")
    function = getattr(import_module(module), name)
    if not callable(function):
        raise TypeError(f"{rule} is a {type(function).__name__}, not a function")
    return function


def call(request: dict[str, Any]) -> dict[str, Any]:
    """The verdict of a grader, in its limits."""
    function = imported(request["rule"])
    limit_memory(int(getattr(function, "memory_mb", MEMORY_MB)))
    return reply(function(item(request["item"]), request["response"]))


def item(texts: dict[str, Any]) -> SimpleNamespace:
    """The item's texts with the types that they have in papo.types.Item."""
    return SimpleNamespace(**texts | {name: tuple(texts[name]) for name in ("choices", "labels")})


def limit_memory(megabytes: int) -> None:
    """Bounds what is allocated from here on; beyond it Python raises MemoryError. Only where /proc tells the size."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * 2**20, hard))


def reply(result: Any) -> dict[str, Any]:
    """A grader's result: a Grade, or true, false or None for an item that cannot be graded."""
    if isinstance(result, Grade):
        grade = result
    elif result is None:
        grade = Grade(Verdict.UNSCORABLE, None, "the grader says so")
    elif is_truth(result):
        grade = Grade(Verdict.CORRECT if result else Verdict.WRONG, None, "the grader says so")
    else:
        kind = f"{type(result).__module__}.{type(result).__qualname__}".removeprefix("builtins.")
        raise TypeError(f"a grader returns a Grade, true, false or None, got {kind}")
    answer = None if grade.answer is None else grade.answer[:LONGEST]
    return {"verdict": grade.verdict.value, "answer": answer, "reason": grade.reason[:LONGEST]}


def is_truth(value: Any) -> bool:
    """Whether it is true or false, as Python says it or, without an axis, NumPy and PyTorch do, which are not imported
    for that."""
    dtype = str(getattr(value, "dtype", ""))
    return isinstance(value, bool) or (dtype in ("bool", "torch.bool") and value.ndim == 0)


if __name__ == "__main__":
    main()
