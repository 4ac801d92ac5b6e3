"""What do log-probabilities over a real vocabulary cost, in chunks against plain log_softmax?

    python experiments/vocabulary_memory/run.py

Peak memory: a fresh process each, forward and backward once. The plain way needs 50 GB or more for all tokens, so it is
measured with few, twice, and extrapolated by the straight line through both. Time: both in one process, in turns, and
quoted the median of the ratio within a round. Writes results.json and table.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from papo.policy.logprobs import token_kl, token_scores

HERE = Path(__file__).parent
VOCABULARY = 151_936
HIDDEN = 96  # small: the products, which both ways have, would hide what is compared
TOKENS = 64 * 256
QUANTITIES = ("scores", "full KL")


def plain(quantity: str, hidden: Tensor, other: Tensor, targets: Tensor, head: nn.Linear) -> Tensor:
    """The loss, computed the way it is written down."""
    log_p = head(hidden).log_softmax(-1)
    if quantity == "scores":
        entropy = -(log_p.exp() * log_p).sum(-1)
        return (log_p.gather(-1, targets[:, None]).squeeze(-1) + 0.01 * entropy).sum()
    return (log_p.exp() * (log_p - head(other).log_softmax(-1))).sum()


def chunked(
    quantity: str, hidden: Tensor, other: Tensor, targets: Tensor, head: nn.Linear, chunk_tokens: int
) -> Tensor:
    """The same, as the policy computes it."""
    settings = {"temperature": 1.0, "chunk_tokens": chunk_tokens}
    if quantity == "scores":
        logprobs, entropy = token_scores(hidden, targets, head, **settings)
        return (logprobs + 0.01 * entropy).sum()
    return token_kl(hidden, other, head, head, **settings).sum()


def step(way: str, quantity: str, tokens: int, chunk_tokens: int) -> Callable[[], float]:
    """A function that runs forward and backward once and returns its seconds of processor time."""
    torch.manual_seed(0)
    hidden, other = (torch.randn(tokens, HIDDEN, requires_grad=True) for _ in range(2))
    targets = torch.randint(0, VOCABULARY, (tokens,))
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False)
    head(hidden[:2]).sum().backward()  # what the weight's gradient and the libraries take is not counted

    def run() -> float:
        start = time.process_time()
        if way == "plain":
            plain(quantity, hidden, other, targets, head).backward()
        else:
            chunked(quantity, hidden, other, targets, head, chunk_tokens).backward()
        return time.process_time() - start

    return run


def peak_gib() -> float:
    """Of this process alone; what getrusage says would begin with the parent's."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 2**20


def memory(way: str, quantity: str, tokens: int, chunk_tokens: int) -> float:
    """GiB that a step adds to the peak of a fresh process."""
    command = [sys.executable, __file__, "--one", way, quantity, str(tokens), "--chunk-tokens", str(chunk_tokens)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=TOKENS, help="whose memory is asked for")
    parser.add_argument("--plain-tokens", type=int, default=1024, help="of the plain way; also of the times")
    parser.add_argument("--chunk-tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # a single measurement of memory
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chunk_tokens, few = arguments.chunk_tokens, arguments.plain_tokens
    if arguments.one:
        way, quantity, tokens = arguments.one
        run, before = step(way, quantity, int(tokens), chunk_tokens), peak_gib()
        run()
        print(peak_gib() - before)
        return

    results = {"arguments": vars(arguments), "capability": torch.backends.cpu.get_cpu_capability(), "quantities": {}}
    for quantity in QUANTITIES:
        half, whole = (memory("plain", quantity, tokens, chunk_tokens) for tokens in (few // 2, few))
        extrapolated = half + (whole - half) * (arguments.tokens - few // 2) / (few - few // 2)
        ours = memory("chunked", quantity, arguments.tokens, chunk_tokens)
        steps = {way: step(way, quantity, few, chunk_tokens) for way in ("plain", "chunked")}
        rounds = [{way: run() for way, run in steps.items()} for _ in range(arguments.rounds)]
        results["quantities"][quantity] = {
            "plain_gib": {few // 2: half, few: whole, arguments.tokens: extrapolated},
            "chunked_gib": {arguments.tokens: ours},
            "memory_ratio": extrapolated / ours,
            "rounds": rounds,
            "time_ratio": median(seconds["chunked"] / seconds["plain"] for seconds in rounds),
        }
        print(quantity, results["quantities"][quantity], flush=True)
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "table.md").write_text(table(results))
    print(table(results))


def table(results: dict) -> str:
    tokens = results["arguments"]["tokens"]
    lines = [
        f"| {tokens:,} tokens, both passes | plain, GiB | chunked, GiB | plain / chunked | time, chunked / plain |",
        "|---|---|---|---|---|",
    ]
    for quantity, found in results["quantities"].items():
        low, high = (
            apply(seconds["chunked"] / seconds["plain"] for seconds in found["rounds"]) for apply in (min, max)
        )
        lines.append(
            f"| {quantity} | {found['plain_gib'][tokens]:.1f} | {found['chunked_gib'][tokens]:.2f} "
            f"| {found['memory_ratio']:.0f} | {found['time_ratio']:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
