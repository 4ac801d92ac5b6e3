"""Kills a run at random moments and resumes it: python experiments/survival/kill.py OUT [--kills 20] [--processes 1]

Beside it the same run goes through undisturbed. What must be the same: the weights, the responses of every step, each
once, and TensorBoard's steps, each once. With several processes one of them, chosen by chance, is killed. With
--writing it is killed while it writes a checkpoint, or moves it to its place.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "experiment=papo_qwen", "trainer.accelerator=cpu", "trainer.max_steps=60", "trainer.checkpoint_every=3",
    "data.batch_size=4", "group_size=4", "data.val.size=4", "val.samples=1", "val.training_items=0", "val.every=20",
    "callbacks.progress=null",
]  # fmt: skip
LONGEST_S = 6.0  # from the first step of a process to its end
WRITING_S = 0.06  # about what it takes to write a checkpoint and to move it to its place


def start(folder: Path, processes: int) -> subprocess.Popen:
    settings = [*SETTINGS, f"hydra.run.dir={folder}"]
    if processes > 1:
        settings += ["strategy=ddp", f"strategy.devices={processes}"]
    saved = folder / "checkpoints" / "last.ckpt"
    # Killed between two moves, a run has its previous checkpoint alone; killed before the first, none.
    if saved.exists() or saved.with_name("previous.ckpt").exists():
        settings.append(f"ckpt_path={saved}")
    else:
        settings.append("overwrite=true")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log = (folder.parent / f"{folder.name}.log").open("a")
    return subprocess.Popen([sys.executable, "train.py", *settings], cwd=ROOT, env=environment, stdout=log, stderr=log)


def rollouts(folder: Path) -> list[str]:
    path = folder / "rollouts.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def processes_of(main: subprocess.Popen) -> list[int]:
    """The processes of the run: those that train, or the only one."""
    children = Path(f"/proc/{main.pid}/task/{main.pid}/children").read_text().split()
    training = [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    return training or [main.pid]


def await_change(process: subprocess.Popen, path: Path, since: float, every_s: float) -> None:
    """Until the process has written something to the file, or has come to its end."""
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if found.st_mtime > since and found.st_size:
                return
        time.sleep(every_s)


def kill_once(folder: Path, processes: int, chance: random.Random, writing: bool) -> bool:
    """Starts or resumes the run and kills it; false where it came to its end before."""
    before = time.time()
    process = start(folder, processes)
    await_change(process, folder / "rollouts.jsonl", before, every_s=0.05)  # a step of its own
    if writing:
        for _ in range(chance.randint(1, 3)):  # of the first checkpoints of the process, one
            part = folder / "checkpoints" / "last.ckpt.part"
            await_change(process, part, time.time(), every_s=0)
        time.sleep(chance.choice((0, chance.uniform(0, WRITING_S))))
    else:
        time.sleep(chance.uniform(0, LONGEST_S))
    if process.poll() is not None:
        return False
    os.kill(chance.choice(processes_of(process)), signal.SIGKILL)
    process.wait()
    return True


def same(whole: Path, folder: Path, steps: int) -> dict[str, bool]:
    """Whether what was written of each step is what the undisturbed run wrote."""
    shown = [event.step for event in EventAccumulator(str(folder)).Reload().Scalars("loss/total")]
    return {
        "same responses, each step once": rollouts(whole) == rollouts(folder),
        "TensorBoard's steps, each once": shown == list(range(1, steps + 1)),
    }


def left(folder: Path) -> str:
    """Which files of checkpoints there are after a kill: a part is one that was being written."""
    return ", ".join(sorted(path.name for path in (folder / "checkpoints").glob("*"))) or "no checkpoint"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--writing", action="store_true", help="kill while a checkpoint is written")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    whole, killed = options.out.resolve() / "whole", options.out.resolve() / "killed"
    assert start(whole, options.processes).wait() == 0
    chance, kills = random.Random(0), 0
    while kills < options.kills and kill_once(killed, options.processes, chance, options.writing):
        kills += 1
        steps = {json.loads(line)["step"] for line in rollouts(killed) if line.endswith("}")}
        print(f"kill {kills}: {max(steps, default=0)} steps recorded; {left(killed)}", flush=True)
    if not (killed / "metrics.json").exists():
        assert start(killed, options.processes).wait() == 0
    expected, got = (load_file(folder / "model" / "model.safetensors") for folder in (whole, killed))
    print(f"{kills} kills, {options.processes} process(es)")
    print("largest difference of weights:", max((expected[name] - got[name]).abs().max().item() for name in expected))
    print("bit for bit:", all(torch.equal(expected[name], got[name]) for name in expected))
    for what, alike in same(whole, killed, steps=60).items():
        print(f"{what}:", alike)


if __name__ == "__main__":
    main()
