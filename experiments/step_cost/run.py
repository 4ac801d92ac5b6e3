"""How much does a step cost: here against trl, PAPO against GRPO, and by group size?

    python experiments/step_cost/run.py --trl-python TRL_VENV/bin/python --rounds 9

All competitors stay loaded; each round makes one step of each in turn, so that a machine that slows down slows all of
them. Quoted are medians, over rounds, of the ratio within a round. Writes results.json and table.md beside this file.
Without --trl-python only this repository is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent


@dataclass
class Competitor:
    """A process that makes one step per line on its stdin."""

    name: str
    process: subprocess.Popen
    facts: dict

    @staticmethod
    def start(name: str, command: list[str]) -> Competitor:
        process = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} ended before its first step; run it by hand to see why: {' '.join(command)}")
        return Competitor(name, process, json.loads(line))

    def step(self) -> float:
        """Seconds of one step."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


# Name of a ratio, numerator, denominator, what the ratio is expected to be.
RATIOS = [
    ("trl / papo, vision trained", "trl trained", "papo trained", "at least 4.5"),
    ("trl / papo, vision frozen", "trl frozen", "papo frozen", "at least 4"),
    ("PAPO / GRPO, vision trained", "papo trained", "grpo trained", "at most 1.4"),
    ("PAPO / GRPO, vision frozen", "papo frozen", "grpo frozen", "at most 1.4"),
    (
        "corrupted branch without gradient / GRPO, vision trained",
        "papo-no-corrupted-gradient trained",
        "grpo trained",
        "at most 1.15",
    ),
    (
        "corrupted branch without gradient / GRPO, vision frozen",
        "papo-no-corrupted-gradient frozen",
        "grpo frozen",
        "at most 1.15",
    ),
    ("trl / papo without corrupted gradient, vision trained", "trl trained", "papo-no-corrupted-gradient trained", ""),
    ("group 16 / group 8, vision trained", "papo trained G=16", "papo trained", "at most 1.8"),
    ("group 8 / group 4, vision trained", "papo trained", "papo trained G=4", ""),
]


# What each optional term costs, over PAPO-G or GRPO.
TERMS = {
    "papo": (
        "papo-no-corrupted-gradient",
        "papo-once-per-rollout",
        "papo-full-kl",
        "papo-mask-per-response",
        "papo-double-entropy",
        "papo-entropy-hinge",
        "papo-robustness",
    ),
    "grpo": ("papo", "grpo-visual-tokens", "noisy-rollout", "grpo-no-reference"),
}
TERM_RATIOS = [
    (f"{term} / {base}", f"{term} trained", f"{base} trained", "") for base, terms in TERMS.items() for term in terms
]


def commands(model: str, trl_python: str | None, terms: bool) -> dict[str, list[str]]:
    """One command per competitor."""
    result = {}
    if terms:
        common = ["--model", model, "--vision", "trained", "--interactive", "--objective"]
        names = dict.fromkeys(name for base, terms in TERMS.items() for name in (base, *terms))
        return {f"{name} trained": [sys.executable, "papo_step.py", *common, name] for name in names}
    for vision in ("trained", "frozen"):
        common = ["--model", model, "--vision", vision, "--interactive"]
        if trl_python:
            result[f"trl {vision}"] = [trl_python, "trl_step.py", *common]
        for objective in ("papo", "grpo", "papo-no-corrupted-gradient"):
            result[f"{objective} {vision}"] = [sys.executable, "papo_step.py", *common, "--objective", objective]
    for group_size in (4, 16):
        common = ["--model", model, "--vision", "trained", "--interactive", "--group-size", str(group_size)]
        result[f"papo trained G={group_size}"] = [sys.executable, "papo_step.py", *common]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl-python", help="python of an environment made from requirements-trl.txt")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--terms", action="store_true", help="time the optional terms instead; writes terms.*")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as model:
        subprocess.run([sys.executable, HERE / "model.py", model], check=True, stdout=subprocess.DEVNULL)
        competitors = [
            Competitor.start(name, command)
            for name, command in commands(model, arguments.trl_python, arguments.terms).items()
        ]
        rounds = []
        for number in range(arguments.rounds):
            rounds.append({competitor.name: competitor.step() for competitor in competitors})
            print(
                f"round {number + 1}: " + ", ".join(f"{name} {s:.2f} s" for name, s in rounds[-1].items()), flush=True
            )
        for competitor in competitors:
            competitor.stop()

    ratios = {
        name: sorted(seconds[over] / seconds[under] for seconds in rounds)
        for name, over, under, _ in RATIOS + TERM_RATIOS * arguments.terms
        if over in rounds[0] and under in rounds[0]
    }
    results = {
        "machine": platform.platform(),
        "processor_flags": processor_flags(),
        "processor_cores": os.cpu_count(),
        "competitors": {competitor.name: competitor.facts for competitor in competitors},
        "rounds": rounds,
        "ratios": {
            name: {"median": median(values), "min": values[0], "max": values[-1]} for name, values in ratios.items()
        },
    }
    (HERE / ("terms.json" if arguments.terms else "results.json")).write_text(json.dumps(results, indent=2) + "\n")
    text = table(results)
    (HERE / ("terms.md" if arguments.terms else "table.md")).write_text(text)
    print(text)


def processor_flags() -> list[str]:
    """The vector extensions that this machine says it has."""
    found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return sorted(flag for flag in found[1].split() if flag.startswith(("avx", "fma", "amx"))) if found else []


def table(results: dict) -> str:
    lines = ["| step | median s | min | max |", "|---|---|---|---|"]
    for name in results["competitors"]:
        seconds = sorted(round[name] for round in results["rounds"])
        lines.append(f"| {name} | {median(seconds):.2f} | {seconds[0]:.2f} | {seconds[-1]:.2f} |")
    lines += ["", "| ratio within a round | median | min | max | wanted |", "|---|---|---|---|---|"]
    wanted = {name: target for name, _, _, target in RATIOS}
    for name, ratio in results["ratios"].items():
        lines.append(
            f"| {name} | {ratio['median']:.2f} | {ratio['min']:.2f} | {ratio['max']:.2f} | {wanted.get(name, '')} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
