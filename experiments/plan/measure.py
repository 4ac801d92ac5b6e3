"""How far is a memory plan from what a step takes?

    OMP_NUM_THREADS=1 python experiments/plan/measure.py [NAME ...]

Each configuration is planned, then trained for two steps on CPUs, in processes of its own. In the second step, when the
optimizer remembers something, the bytes of tensors are counted: those that are there at its start, and from then on
each allocation and each end of one, as torch's profiler reports them. The plan is made twice: told how long the prompts
of the largest micro-batch are padded to and how long responses are on average, and by itself, which takes the longest
of 64 items and the longest possible response for all. Writes results.json and table.md beside this file.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch.profiler import ProfilerActivity, profile, record_function

from papo.planning.plan import planned
from papo.training import launching
from papo.training.papo import PapoModule
from papo.training.run import trained
from papo.training.weights import Sharded

HERE = Path(__file__).parent
CONF = HERE.parents[1] / "conf"
RESULTS = HERE / "results.json"
MIB = 2**20
STEPS = 2
MOMENTS = ("rollout", "update", "step")

BASE = [
    "experiment=papo_qwen",
    "rollout.max_new_tokens=16",
    f"trainer.max_steps={STEPS}",
    "trainer.accelerator=cpu",
    "model.fast_layers=off",
    # No more than what a run cannot go without besides its steps.
    *("val.samples=1", "val.samples_during=1", "val.every=0", "val.items=2", "val.training_items=0"),
    *("val.greedy=false", "val.blind=false", "val.masked=null"),
    "data.val.size=2",
    "data.val_batch_size=2",
    "data.guessable=null",
]
CONFIGURATIONS = {
    "single": ["data.batch_size=32"],
    "small batch": ["data.batch_size=8"],
    "large batch": ["data.batch_size=64", "algorithm.micro_batch_prompts=64"],
    "ddp": ["data.batch_size=32", "strategy=ddp", "strategy.devices=2"],
    "fsdp": ["data.batch_size=32", "strategy=fsdp", "strategy.devices=2"],
    "lora": ["data.batch_size=32", "model.train=[language]", "+model.lora={r: 16, alpha: 32}"],
    "frozen vision": ["data.batch_size=32", "model.train=[language]"],
    "checkpointing": ["data.batch_size=32", "model.gradient_checkpointing=true"],
    "three updates": ["data.batch_size=48", "algorithm.updates_per_rollout=3", "algorithm.micro_batch_prompts=4"],
    "bf16-mixed": ["data.batch_size=32", "trainer.precision=bf16-mixed"],
    "fsdp, bf16-mixed": ["data.batch_size=32", "strategy=fsdp", "strategy.devices=2", "trainer.precision=bf16-mixed"],
    "cut off at 40": ["data.batch_size=32", "rollout.max_new_tokens=40"],
}


def live_bytes() -> int:
    """Of the storages of all tensors that Python knows."""
    storages = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in gc.get_objects():
            if type(found) in (torch.Tensor, torch.nn.Parameter) and found.device.type == "cpu":
                storage = found.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def peaks(profiler: profile, base: int) -> dict[str, int]:
    """Most bytes at one time in each moment, from the profiler's record of a step."""
    events = list(profiler.profiler.kineto_results.events())
    spans = {name: [] for name in MOMENTS}
    for event in events:
        if event.name() in MOMENTS:
            spans[event.name()].append((event.start_ns(), event.start_ns() + event.duration_ns()))
    found, now = dict.fromkeys(MOMENTS, 0), base
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        now += event.nbytes()
        inside = [name for name in MOMENTS if any(a <= event.start_ns() <= b for a, b in spans[name])]
        if inside:  # the innermost
            found[inside[-1]] = max(found[inside[-1]], now)
    return found


def measured(cfg: DictConfig) -> dict[str, Any]:
    """`trained`, with the peaks of the last step; in each process of a run."""
    plain, plain_loss, found = PapoModule.training_step, PapoModule.loss, {"prompts": []}

    def marked(method: str, name: str) -> None:
        usual = getattr(PapoModule, method)

        def call(self, *args):
            with record_function(name):
                return usual(self, *args)

        setattr(PapoModule, method, call)

    def step(self, prompts, batch_idx) -> None:
        if self.step + 1 < STEPS:
            return plain(self, prompts, batch_idx)
        self.rollouts = None
        if isinstance(self.weights, Sharded):
            self.weights.release()  # the profiler does not see an end of what was allocated before it came
        gc.collect()
        base = live_bytes()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler, record_function("rollout"):
            plain(self, prompts, batch_idx)
        found.update(peaks(profiler, base), base=base)
        found["mean_response"] = float(self.rollouts.responses.response_mask.sum(-1).float().mean())
        return None

    def loss(self, micro, counts):
        found["prompts"].append(tuple(micro.prompts.prompt_ids.shape))
        return plain_loss(self, micro, counts)

    marked("updates", "update")
    marked("clip_gradient", "step")
    marked("apply_gradient", "step")
    PapoModule.training_step, PapoModule.loss = step, loss
    trained(cfg)
    found["prompt_tokens"] = max(found.pop("prompts"), key=lambda shape: shape[0] * shape[1])[1]
    return found


def one(name: str) -> dict[str, Any]:
    """A configuration planned and measured, in this process and those that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", [*BASE, *CONFIGURATIONS[name], f"run_dir={folder}/plan"])
        itself = planned(cfg)
        cfg.run_dir = f"{folder}/run"
        found = launching.launched(measured, cfg) if launching.needed(cfg) else measured(cfg)
        cfg.run_dir = f"{folder}/told"
        cfg.plan.prompt_tokens, cfg.plan.response_tokens = found["prompt_tokens"], math.ceil(found["mean_response"])
        told = planned(cfg)
    return {"told": told, "itself": itself, "measured": found}


def rows(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "| configuration | measured, MiB | planned, MiB | ratio | roll-out | update | step | by itself |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in filter(results.__contains__, CONFIGURATIONS):
        result = results[name]
        told, itself, found = result["told"], result["itself"], result["measured"]
        peak = max(found[moment] for moment in MOMENTS)
        ratios = (
            told["total"] / peak,
            *(told["moments"][moment] / found[moment] for moment in MOMENTS),
            itself["total"] / peak,
        )
        columns = [
            name,
            f"{peak / MIB:.1f}",
            f"{told['total'] / MIB:.1f}",
            *(f"{ratio:.2f}" for ratio in ratios),
        ]
        yield f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CONFIGURATIONS)}; all if none is given")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print("\n" + json.dumps(one(arguments.one)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in arguments.names or CONFIGURATIONS:
        done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr[-3000:]}")
        results[name] = json.loads(done.stdout.strip().splitlines()[-1])
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        (HERE / "table.md").write_text("\n".join(rows(results)) + "\n")
    print("\n".join(rows(results)))


if __name__ == "__main__":
    main()
