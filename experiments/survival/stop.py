"""Asks a run to stop at random moments, and resumes it: python experiments/survival/stop.py OUT [--stops 30]

SIGINT and SIGTERM in turns, to the process alone (as kill does) or to all of its group (as a terminal does and a
scheduler), with and without workers that prepare batches. Beside it the same run goes through undisturbed. What must
agree after each stop: the exit status, what was said last, and the files; and what goes on as was said must come to the
end of the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from kill import ROOT, left, rollouts, same
from safetensors.torch import load_file

STEPS = 6
SETTINGS = [
    "experiment=papo_qwen", "trainer.accelerator=cpu", f"trainer.max_steps={STEPS}", "trainer.checkpoint_every=3",
    "data.batch_size=4", "group_size=4", "data.val.size=32", "val.samples=1", "val.training_items=0", "val.every=3",
    "val.items=16", "callbacks.progress=null",
]  # fmt: skip
DONE, INTERRUPTED = 0, 130
# Before Python has read the entry point's first lines no program of ours is there to be asked.
FIRST_LINES_S = 1.0


@dataclass(frozen=True)
class Moment:
    """When a signal is sent: some time after something is there to be seen."""

    name: str
    seen: str | None  # a file of the run, and what it must hold; None = the process alone
    longest_s: float  # up to which it is waited then

    def is_here(self, folder: Path) -> bool:
        if self.seen is None:
            return True
        name, _, text = self.seen.partition(" ")
        path = folder / name
        return path.exists() and (not text or (path.is_file() and text in path.read_text()))


MOMENTS = [
    Moment("starting", None, 6.0),
    Moment("first validation", "provenance.json", 2.5),
    Moment("steps", "rollouts.jsonl", 4.0),
    Moment("validation of step 3", 'rollouts.jsonl "step": 3', 1.2),
    Moment("last validation", f'rollouts.jsonl "step": {STEPS}', 2.5),
    Moment("export", "model", 0.15),
]


def start(folder: Path, further: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "train.py", *SETTINGS, f"hydra.run.dir={folder}", *further]
    log = folder.with_suffix(".log").open("w")
    options = {"cwd": ROOT, "env": environment, "stdout": log, "stderr": log, "start_new_session": True}
    return subprocess.Popen(command, **options, preexec_fn=listen)


def listen() -> None:
    """What a shell started in the background hears no Ctrl-C otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped_at(moment: Moment, folder: Path, number: int, group: bool, further: list[str], wait_s: float) -> int:
    """Starts a run and asks it to stop; its exit status."""
    process = start(folder, further)
    if moment.seen is None:
        time.sleep(FIRST_LINES_S)
    while process.poll() is None and not moment.is_here(folder):
        time.sleep(0.002)
    time.sleep(wait_s)
    if process.poll() is None:
        (os.killpg if group else os.kill)(process.pid, number)
    return process.wait(timeout=120)


def disagreements(folder: Path, status: int, said: str) -> list[str]:
    """What status, message and files do not tell alike."""
    metrics = json.loads((folder / "metrics.json").read_text()) if (folder / "metrics.json").exists() else None
    checkpoint = folder / "checkpoints" / "last.ckpt"
    named = re.search(r"ckpt_path=(\S+)", said)
    found = []

    def expect(true: bool, what: str) -> None:
        if not true:
            found.append(what)

    expect("Traceback" not in said, "a traceback")
    expect("Exception ignored" not in said, "an exception that was ignored")
    expect(not [*folder.rglob("*.part")], "a part of a file is left")
    if status == DONE:
        expect(metrics is not None and not metrics["interrupted"], "done, and metrics.json does not say so")
        expect((folder / "model" / "model.safetensors").exists(), "done without a model")
        return found
    expect(status == INTERRUPTED, f"status {status}")
    if "all was written" in said:
        expect(metrics is not None and not metrics["interrupted"], "not all was written")
        return found
    expect((named is not None) == checkpoint.exists(), "the message and the checkpoint")
    expect(named is None or Path(named[1]) == checkpoint, "another checkpoint is named")
    if metrics is not None:
        step = torch.load(checkpoint, weights_only=True, mmap=True)["step"]
        expect(metrics["interrupted"], "stopped, and metrics.json says done")
        expect(metrics["steps"] == step, f"metrics.json has {metrics['steps']} steps, the checkpoint {step}")
        expect((folder / "model" / "model.safetensors").exists(), "metrics.json without a model")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stops", type=int, default=30)
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    whole = out / "whole"
    assert start(whole, ["overwrite=true"]).wait() == DONE
    chance, good = random.Random(0), 0
    for n in range(options.stops):
        moment = MOMENTS[n % len(MOMENTS)]
        number = (signal.SIGINT, signal.SIGTERM)[n // len(MOMENTS) % 2]
        group, workers = chance.random() < 0.5, chance.choice((0, 2))
        wait_s = chance.uniform(0, moment.longest_s)
        folder = out / f"stop_{n:02}"
        further = ["overwrite=true", f"data.num_workers={workers}"]
        status = stopped_at(moment, folder, number, group, further, wait_s)
        said = folder.with_suffix(".log").read_text()
        folder.mkdir(exist_ok=True)
        wrong = disagreements(folder, status, said)
        steps = {json.loads(line)["step"] for line in rollouts(folder)}
        words = [line for line in said.splitlines() if line.strip()][-1] if said.strip() else ""
        where = f"{moment.name} + {wait_s:.2f} s, {max(steps, default=0)} steps"
        if status != DONE and "all was written" not in said:
            named = re.search(r"ckpt_path=(\S+)", said)
            again = [f"ckpt_path={named[1]}"] if named else ["overwrite=true"]
            if start(folder, [*again, f"data.num_workers={workers}"]).wait() != DONE:
                wrong.append("it does not go on")
        weights = [load_file(each / "model" / "model.safetensors") for each in (whole, folder)]
        if not all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()):
            wrong.append("other weights")
        wrong += [f"not the same: {what}" for what, alike in same(whole, folder, STEPS).items() if not alike]
        held_out = [(each / "held_out.jsonl").read_text() for each in (whole, folder)]
        if held_out[0] != held_out[1]:
            wrong.append("other held-out answers")
        good += not wrong
        to = f"{number.name} to {'all' if group else 'one'}, {workers} workers"
        print(
            f"{n + 1}. {where}; {to}: status {status}, {words!r:.150}; {left(folder)}; {wrong or 'agree'}", flush=True
        )
    print(f"{good} of {options.stops} agree, and go on to the same end")


if __name__ == "__main__":
    main()
