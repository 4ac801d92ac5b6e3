"""Peak memory and time of scoring long responses to a long prompt, the prompt's keys and values shared or copied.

python experiments/prompt_memory/run.py     writes table.md beside this file
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from checkpointing.run import make_policy, peak_mb, seconds  # noqa: E402

from papo.policy import group_attention  # noqa: E402
from papo.policy.checkpointing import recompute  # noqa: E402
from papo.policy.vlm import Policy  # noqa: E402
from papo.types import Images, Item, PatchLayout, PromptBatch, Responses  # noqa: E402

LAYERS = 8
SIZES = ((16, 512, 2048), (16, 128, 2048))  # responses, tokens of one, tokens of the prompt
ROUNDS = 3


def make_batch(rows: int, tokens: int, prompt_tokens: int) -> tuple[PromptBatch, Responses]:
    """One prompt of words; nobody asks what they say."""
    ids = torch.randint(20, 250, (1, prompt_tokens))
    layout = PatchLayout((0.5,) * 3, (0.5,) * 3, frames=2, merge_size=2)
    none = Images(torch.zeros(0, 3 * 2 * 14 * 14), torch.zeros(0, 3, dtype=torch.long), (0,), layout)
    mask = torch.ones(rows, tokens, dtype=torch.bool)
    responses = Responses(torch.randint(20, 250, (rows, tokens)), mask, torch.zeros(rows, tokens), mask[:, 0])
    return PromptBatch((Item("0", "", (), "", "text"),), ids, torch.ones_like(ids, dtype=torch.bool), none), responses


def run(policy: Policy, batch: tuple[PromptBatch, Responses], share: bool, train: bool) -> torch.Tensor:
    """The scores of a reference, or those of an update with their gradient; the prompt's own pass is in both."""
    group_attention.SHARED_FROM = 1 if share else 10**12
    prompts, responses = batch
    with torch.set_grad_enabled(train):
        scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)
    if train:
        (scores.logprobs.sum() + scores.entropy.sum()).backward()
    return scores.logprobs.detach()


def measure(policy: Policy, batch: tuple[PromptBatch, Responses], train: bool) -> list[str]:
    """Peaks in MB; the median ratio of times, in turns; the largest differences of log-probabilities and gradients."""
    logprobs, gradients, peaks, ratios = [], [], [], []
    for share in (False, True):
        policy.zero_grad(set_to_none=True)
        logprobs.append(run(policy, batch, share, train))
        gradients.append([p.grad.clone() for p in policy.parameters() if p.grad is not None])
        peaks.append(peak_mb(lambda share=share: run(policy, batch, share, train)))
    for _ in range(ROUNDS):
        times = [seconds(lambda share=share: run(policy, batch, share, train), repeats=1) for share in (False, True)]
        ratios.append(times[1] / times[0])
    apart = "-"
    if train:
        largest = max(float(gradient.abs().max()) for gradient in gradients[0])
        apart = f"{max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True)) / largest:.0e}"
    return [
        f"{peaks[0]:.0f}",
        f"{peaks[1]:.0f}",
        f"{peaks[0] / peaks[1]:.1f}",
        f"{median(ratios):.2f}",
        f"{float((logprobs[0] - logprobs[1]).abs().max()):.0e}",
        apart,
    ]


def main() -> None:
    head = "| responses x tokens, prompt | pass | MB copied | MB shared | ratio | time shared / copied "
    head += "| log-probabilities differ by | gradients, of the largest |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    plain, recomputing = make_policy(LAYERS), make_policy(LAYERS)
    recompute(recomputing.family.language_layers())
    passes = {
        "scores alone": (plain, False),
        "update, blocks made again": (recomputing, True),
        "update, blocks kept": (plain, True),
    }
    for rows, tokens, prompt_tokens in SIZES:
        torch.manual_seed(0)
        batch = make_batch(rows, tokens, prompt_tokens)
        for name, (policy, train) in passes.items():
            cells = measure(policy, batch, train)
            lines.append(f"| {rows} x {tokens}, {prompt_tokens} | {name} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    (HERE / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
