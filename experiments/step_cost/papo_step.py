"""Time whole steps of this repository, with the protocol of trl_step.py and on the same model and images:

    python experiments/step_cost/papo_step.py --model DIR --vision trained|frozen --steps 5

A step is the same too: processing, roll-out, reward, reference, corrupted pass, backward, optimiser. With
`--interactive` one step is made for every line on stdin. Only JSON goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

STDOUT, sys.stdout = sys.stdout, sys.stderr  # the protocol's channel is ours alone


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time whole steps of papo.")
    parser.add_argument("--model", required=True, help="folder written by model.py")
    parser.add_argument("--vision", choices=("trained", "frozen"), required=True)
    parser.add_argument("--objective", default="papo", help="a key of OBJECTIVES")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one of warm-up")
    parser.add_argument("--interactive", action="store_true", help="one step per line on stdin instead of --steps")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--image-size", type=int, default=224, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--flops", action="store_true", help="count floating-point operations, which takes time")
    parser.add_argument("--eager", action="store_true", help="roll-outs kernel by kernel, not as a captured graph")
    parser.add_argument("--micro-prompts", type=int, help="prompts of one pass; all if left out")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, weights in float32")
    parser.add_argument("--fast-layers", default="auto", help="as model.fast_layers")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


ARGUMENTS = parse_arguments()
# Read when the libraries are loaded, therefore set before they are.
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
os.environ["RAYON_NUM_THREADS"] = str(ARGUMENTS.threads)
os.environ["HF_HUB_OFFLINE"] = "1"
if ARGUMENTS.device == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch  # noqa: E402
import transformers  # noqa: E402
from lightning import Callback, Trainer  # noqa: E402
from model import QUESTION, SPECIAL_TOKENS, random_images  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from papo.corruption import GaussianNoise, RandomPatchMask  # noqa: E402
from papo.data.module import PromptData  # noqa: E402
from papo.evaluation.held_out import HeldOut  # noqa: E402
from papo.objective import (  # noqa: E402
    DoubleEntropy,
    EntropyHinge,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    Surrogate,
)
from papo.policy.loading import load_policy  # noqa: E402
from papo.policy.processing import PromptProcessor  # noqa: E402
from papo.policy.sampling import Sampling  # noqa: E402
from papo.policy.trained import PARTS  # noqa: E402
from papo.rollout import NativeEngine  # noqa: E402
from papo.training.papo import PapoModule  # noqa: E402
from papo.types import Item, RewardResult  # noqa: E402

# PAPO-G, and what each optional term is added to or changed in.
PAPO = {
    "surrogate": Surrogate(clip_low=0.2, clip_high=0.3),
    "reference": ReferenceKL(coef=0.01),
    "perception": PerceptionKL(coef=0.02),
}
GRPO = PAPO | {"perception": PerceptionKL(coef=0.0)}
OBJECTIVES = {
    "papo": PAPO,
    "grpo": GRPO,
    "papo-no-reference": PAPO | {"reference": ReferenceKL(coef=0.0)},
    "papo-no-corrupted-gradient": PAPO | {"perception": PerceptionKL(coef=0.02, corrupted_gradient=False)},
    "papo-once-per-rollout": PAPO | {"perception": PerceptionKL(coef=0.02, recompute="rollout")},
    "papo-full-kl": PAPO | {"perception": PerceptionKL(coef=0.02, estimator="full")},
    "papo-mask-per-response": PAPO,  # its corruption is another one, see build_module
    "papo-double-entropy": PAPO | {"entropy": DoubleEntropy(coef=0.05, corrupted_coef=0.05)},
    "papo-entropy-hinge": PAPO | {"entropy_hinge": EntropyHinge(coef=0.01)},
    "papo-robustness": PAPO | {"robustness": RobustnessKL(coef=0.01)},
    "grpo-visual-tokens": GRPO | {"surrogate": Surrogate(clip_low=0.2, clip_high=0.3, visual_token_share=0.4)},
    "grpo-no-reference": GRPO | {"reference": ReferenceKL(coef=0.0)},
    "noisy-rollout": GRPO,
}

MAX_STEPS = 10_000  # more than anybody asks for
POOL_STEPS = 8  # distinct batches of images; they come round again after this many steps


class Prompts:
    """One fixed question about images of noise; decoded images, so that fetching costs nothing."""

    def __init__(self, prompts: int, size: int, seed: int) -> None:
        self.images = random_images(prompts * POOL_STEPS, size, seed)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        return Item(id=str(index), question=QUESTION, images=(self.images[index],), answer="0", answer_type="integer")


class NoiseReward:
    """Uniform noise: free to compute, and no group has zero variance."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, item: Item, response: str) -> RewardResult:
        value = torch.rand((), generator=self.generator).item()
        return RewardResult(total=value, parts={"accuracy": value}, answer=None, scorable=True)


class Clock(Callback):
    """Times from the end of one step to the end of the next: the batch is processed inside."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.rollout: list[float] = []  # of these, sampling
        self.warm = False

    def on_train_start(self, trainer, module) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        wait_for_device()
        seconds = time.perf_counter() - self.start
        assert (
            module.rollouts.responses.response_mask.sum() == module.rollouts.advantages.numel() * ARGUMENTS.new_tokens
        )
        if self.warm:
            self.seconds.append(seconds)
            self.rollout.append(module.metrics["time/rollout"])
            if ARGUMENTS.interactive:
                say({"seconds": seconds, "rollout": module.metrics["time/rollout"]})
        elif ARGUMENTS.interactive:
            say({"ready": True, **describe(module)})
        self.warm = True
        if ARGUMENTS.interactive and not sys.stdin.readline():
            trainer.should_stop = True
        self.start = time.perf_counter()


def say(record: dict[str, Any]) -> None:
    print(json.dumps(record), file=STDOUT, flush=True)


def wait_for_device() -> None:
    if ARGUMENTS.device == "cuda":
        torch.cuda.synchronize()


def describe(module: PapoModule) -> dict[str, Any]:
    return {
        "implementation": "papo",
        "objective": ARGUMENTS.objective,
        "vision": ARGUMENTS.vision,
        "parameters": sum(p.numel() for p in module.policy.parameters()),
        "trained_parameters": sum(p.numel() for p in module.policy.parameters() if p.requires_grad),
        "prompts": ARGUMENTS.prompts,
        "group_size": ARGUMENTS.group_size,
        "new_tokens": ARGUMENTS.new_tokens,
        "image_size": ARGUMENTS.image_size,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if ARGUMENTS.device == "cuda" else "cpu",
        "bf16": ARGUMENTS.bf16,
        "eager": ARGUMENTS.eager,
        "micro_prompts": ARGUMENTS.micro_prompts,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def build_module() -> PapoModule:
    loaded = load_policy(
        ARGUMENTS.model,
        train=PARTS if ARGUMENTS.vision == "trained" else ["language"],
        dtype="float32",
        chunk_tokens=4096,
        fast_layers=ARGUMENTS.fast_layers,
    )
    policy, tokenizer = loaded.policy, loaded.processor.tokenizer
    # As on the other side: no special token is sampled, so every response has exactly --new-tokens tokens.
    policy.banned = torch.tensor(tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)))
    sampling = Sampling(max_new_tokens=ARGUMENTS.new_tokens)
    per = "response" if ARGUMENTS.objective == "papo-mask-per-response" else "prompt"
    return PapoModule(
        policy=policy,
        processor=PromptProcessor(loaded.processor, instruction=""),
        objective=Objective("seq-mean-token-mean", **OBJECTIVES[ARGUMENTS.objective]),
        corruption=RandomPatchMask(mask_ratio=0.6, per=per),
        noise=GaussianNoise(mask_ratio=1.0, std=0.1),
        reward=NoiseReward(ARGUMENTS.seed),
        sampling=sampling,
        group_size=ARGUMENTS.group_size,
        normalize_std=True,
        max_refills=0,
        overlong_buffer=0,
        overlong_filter=False,
        weigh_by_guessability=False,
        noisy_rollout_share=0.5 if ARGUMENTS.objective == "noisy-rollout" else 0.0,
        updates_per_rollout=1,
        micro_batch_prompts=ARGUMENTS.micro_prompts or ARGUMENTS.prompts,
        max_skipped_updates=0,
        optimizer=partial(torch.optim.AdamW, lr=1e-6, weight_decay=0.01, fused=True),
        schedule="constant",
        warmup_steps=0,
        total_steps=MAX_STEPS,
        grad_clip=1.0,
        held_out=HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=sampling),
        engine=NativeEngine(captured=not ARGUMENTS.eager),
        seed=ARGUMENTS.seed,
    )


def main() -> None:
    torch.set_num_threads(ARGUMENTS.threads)
    torch.manual_seed(ARGUMENTS.seed)
    module, clock = build_module(), Clock()
    source = Prompts(ARGUMENTS.prompts, ARGUMENTS.image_size, ARGUMENTS.seed)
    data = PromptData(
        source,
        source,
        collate=module.collate,
        val_collate=module.collate,
        batch_size=ARGUMENTS.prompts,
        val_batch_size=1,
        val_items=1,
        num_workers=0,
        seed=ARGUMENTS.seed,
    )
    trainer = Trainer(
        accelerator=ARGUMENTS.device,
        devices=1,
        precision="bf16-mixed" if ARGUMENTS.bf16 else "32-true",
        max_epochs=1,
        limit_train_batches=MAX_STEPS if ARGUMENTS.interactive else ARGUMENTS.steps + 1,
        limit_val_batches=0,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=Path(ARGUMENTS.model),
    )
    with FlopCounterMode(display=False) if ARGUMENTS.flops else nullcontext() as counter:
        trainer.fit(module, data)
    if not ARGUMENTS.interactive:
        facts = {**describe(module), "seconds": clock.seconds, "median": median(clock.seconds)}
        facts["rollout"] = median(clock.rollout)
        if counter is not None:
            facts["flops_per_step"] = counter.get_total_flops() / (ARGUMENTS.steps + 1)
        if ARGUMENTS.device == "cuda":
            facts["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        say(facts)


if __name__ == "__main__":
    main()
