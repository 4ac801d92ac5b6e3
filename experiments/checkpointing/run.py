"""Peak memory and time of an update with and without gradient checkpointing, the prompt shared in both.

python experiments/checkpointing/run.py     writes table.md and peaks.png beside this file
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import torch
from torch.profiler import ProfilerActivity, profile

from papo.lab.model import build_model, train_tokenizer
from papo.policy.checkpointing import recompute
from papo.policy.vlm import Policy
from papo.types import Images, Item, PatchLayout, PromptBatch, Responses

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
MB = 2**20
LAYERS = (4, 8, 12)
N, G, T, SIDE = 4, 8, 128, 16  # prompts, responses to each, tokens of one, patches on a picture's side


def make_policy(layers: int) -> Policy:
    torch.manual_seed(0)
    sizes = {"hidden_size": 192, "heads": 6, "intermediate_size": 512}
    vision = {"vision_hidden_size": 128, "vision_heads": 4, "vision_intermediate_size": 256, "vision_layers": layers}
    tokenizer = train_tokenizer(["one two three"] * 10, 300)
    return Policy(build_model(tokenizer, layers=layers, key_value_heads=2, **sizes, **vision), chunk_tokens=512)


def make_batch(policy: Policy) -> tuple[PromptBatch, Responses]:
    """One picture and 20 words a prompt, full-length responses, all at random."""
    tokens, layout = SIDE * SIDE // 4, PatchLayout((0.5,) * 3, (0.5,) * 3, frames=2, merge_size=2)
    ids = torch.randint(20, 250, (N, tokens + 20))
    ids[:, :tokens] = policy.family.image_token_id
    grid = torch.tensor([(1, SIDE, SIDE)] * N)
    images = Images(torch.randn(N * SIDE * SIDE, 3 * 2 * 14 * 14), grid, (1,) * N, layout)
    items = tuple(Item(str(n), "", (), "", "text") for n in range(N))
    response_ids = torch.randint(20, 250, (N * G, T))
    mask = torch.ones(N * G, T, dtype=torch.bool)
    return (
        PromptBatch(items, ids, torch.ones_like(ids, dtype=torch.bool), images),
        Responses(response_ids, mask, torch.zeros(N * G, T), mask[:, 0]),
    )


def update(policy: Policy, prompts: PromptBatch, responses: Responses) -> None:
    scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)
    (scores.logprobs.sum() + scores.entropy.sum()).backward()


def peak_mb(run: Callable[[], None]) -> float:
    """Most MB of tensors at one time, beyond those that were there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak / MB


def seconds(run: Callable[[], None], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(policy: Policy, batch: tuple[PromptBatch, Responses]) -> tuple[float, float]:
    """Peak in MB and seconds of an update whose gradients exist already; they are left as of one update."""
    update(policy, *batch)
    peak, time_ = peak_mb(lambda: update(policy, *batch)), seconds(lambda: update(policy, *batch))
    policy.zero_grad(set_to_none=True)
    update(policy, *batch)
    return peak, time_


def largest_difference(one: Policy, other: Policy) -> float:
    """Of any parameter's gradients, as a share of the largest in it."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a.grad - b.grad).abs().max() / a.grad.abs().max().clamp(min=1e-12)) for a, b in pairs)


def main() -> None:
    torch.set_num_threads(1)
    head = "| layers | parameters, MB | kept: peak, MB | s | recomputed: peak, MB | s | less by | gradients differ by |"
    lines, rows = [head, "|---" * 8 + "|"], []
    for layers in LAYERS:
        plain = make_policy(layers)
        recomputing = copy.deepcopy(plain)
        recompute([*recomputing.family.vision_blocks(), *recomputing.family.language_layers()])
        batch = make_batch(plain)
        (kept, fast), (made_again, slow) = measure(plain, batch), measure(recomputing, batch)
        size = sum(p.numel() * p.element_size() for p in plain.parameters()) / MB
        rows.append((layers, kept, made_again))
        lines.append(
            f"| {layers} | {size:.0f} | {kept:.0f} | {fast:.2f} | {made_again:.0f} | {slow:.2f} "
            f"| {kept / made_again:.1f}x | {largest_difference(plain, recomputing):.0e} |"
        )
        print(lines[-1], flush=True)
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure, axis = plt.subplots(figsize=(4.5, 3), layout="constrained")
    for column, label in ((1, "kept"), (2, "recomputed")):
        axis.plot([row[0] for row in rows], [row[column] for row in rows], "o-", label=f"activations {label}")
    axis.set(xlabel="layers (decoder and tower each)", ylabel="peak of an update, MB", ylim=0, xticks=LAYERS)
    axis.legend()
    figure.savefig(HERE / "peaks.png", dpi=80)


if __name__ == "__main__":
    main()
