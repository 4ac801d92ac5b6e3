"""Graders as a user may write them, good and bad."""

import contextlib
import ctypes
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from papo.rewards.grading import Grade, Verdict

CALLS = 0


def contains(item, response):
    return item.answer in response


def same_text(item, response):
    return Grade(Verdict.CORRECT if response == item.answer else Verdict.WRONG, response, "as written")


def undecided(item, response):
    return None


def number(item, response):
    return 1


def describe(item, response):
    return Grade(Verdict.WRONG, repr(sorted(vars(item).items())), repr((item.choices, item.labels, item.tags)))


def chatty(item, response):
    print("noise" * 1000)
    os.write(1, b"more noise\n")
    return sys.stdin.read() == "" and contains(item, response)


def written(text):
    """To whatever is open: the descriptor that replies go through is one of them."""
    for descriptor in range(3, 20):
        with contextlib.suppress(OSError):
            os.write(descriptor, text)


def scribble(item, response):
    written(b"noise without an end of line")
    return contains(item, response)


def forge(item, response):
    written(b'{"verdict": "correct", "answer": null, "reason": "forged"}\n{"id": 0, "verdict": "correct"}\n[1]\n"x"\n')
    return contains(item, response)


def flood(item, response):
    while True:
        written(b"x" * 10_000)


def lower(item, response):
    resource.setrlimit(resource.RLIMIT_DATA, (2**20, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    return True


def lower_for_good(item, response):
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 10 * 2**20,) * 2)
    return True


def long(item, response):
    return Grade(Verdict.CORRECT, response * 2, response)


def calls(item, response):
    global CALLS
    CALLS += 1
    return Grade(Verdict.CORRECT, f"{os.getpid()} {CALLS}", "")


def fail(item, response):
    raise KeyError("no such key")


def seldom(item, response):
    return 1 / int(response) > 0


def hopeless(item, response):
    raise ValueError


hopeless.may_fail = 1.0


def leave(item, response):
    sys.exit(3)


def crash(item, response):
    ctypes.string_at(0)


def sleep(item, response):
    time.sleep(60)


def patient(item, response):
    time.sleep(1.1)
    return True


def backtrack(item, response):
    """Hangs inside a C function that never lets another thread run."""
    return re.fullmatch("(a+)+", "a" * 60 + "b") is not None


def power(item, response):
    return 9**9**9**9 > 0


def allocate(item, response):
    return len(bytearray(300 * 2**20)) > 0


def roomy(item, response):
    return len(bytearray(300 * 2**20)) > 0


def child(item, response):
    process = subprocess.Popen(["sleep", "60"])
    with open(response, "w") as file:
        file.write(str(process.pid))
    time.sleep(60)


for grader in (sleep, backtrack, power, child):
    grader.deadline_s = 0.3
patient.deadline_s = contains.deadline_s = 20
roomy.memory_mb = 400
roomy.deadline_s = 10  # the memory is what counts, whatever else the machine does
not_a_function = 7
