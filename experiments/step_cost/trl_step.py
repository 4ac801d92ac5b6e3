"""Time whole steps of trl 1.7.1's PAPOTrainer. Run inside the baseline's own environment (requirements-trl.txt):

    python trl_step.py --model DIR --vision trained|frozen --steps 5

prints one JSON line. A step is all that a user waits for between two updates: processing 64 prompts and images,
sampling 64 responses, rewards, reference pass, policy pass, corrupted pass, backward, optimiser. The first step is
thrown away. With `--interactive` it prints {"ready": true} after that first step, then makes ONE step for every line
on stdin and prints {"seconds": x, "parts": {...}} for it, until stdin closes; waiting is not timed. Only JSON goes to
stdout, everything that the libraries say goes to stderr.

What was needed to make it run, none of which adds work to a step:
1. `requests` must be installed by hand: trl imports it without requiring it.
2. trl wants a processor, and AutoProcessor cannot build Qwen2.5-VL's without torchvision (it insists on a video
   processor): `ImageOnlyProcessor` below is that class without the video half.
3. <|image_pad|> and the other special tokens are suppressed while sampling. A sampled <|image_pad|> makes the next
   forward fail with "Image features and image tokens do not match"; suppressing the two end tokens with them makes
   all responses exactly `--new-tokens` long. This is one torch.where on [64, 600] per token.

Settings in its favour: no gradient checkpointing (its default is on), all 64 responses in one forward, key-value
cache, SDPA, fused AdamW, images already decoded in memory, no logging, no saving, no progress bar. float32 without
autocast (its default is bfloat16), as on the other side.

Left as it is, being part of what is measured: the tower and the prompt are run for each of the 64 responses; images
are processed twice per step; entropies are computed although their weights are 0 (without gradient); the corrupted
branch is differentiated; and PAPOTrainer does not hand mm_token_type_ids to the policy and the corrupted pass, which
therefore run without M-RoPE under transformers 5. This last is a defect (those two passes do not score the
distribution that was sampled from) and spares trl a little work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

STDOUT, sys.stdout = sys.stdout, sys.stderr  # the protocol's channel is ours alone


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time whole steps of trl's PAPOTrainer.")
    parser.add_argument("--model", required=True, help="folder written by model.py")
    parser.add_argument("--vision", choices=("trained", "frozen"), required=True)
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one of warm-up")
    parser.add_argument("--interactive", action="store_true", help="one step per line on stdin instead of --steps")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--image-size", type=int, default=224, help="pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16, weights in float32")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


ARGUMENTS = parse_arguments()
# Read when the libraries are loaded, therefore set before they are.
os.environ["OMP_NUM_THREADS"] = str(ARGUMENTS.threads)
os.environ["RAYON_NUM_THREADS"] = str(ARGUMENTS.threads)  # the tokenizer's threads
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
if ARGUMENTS.device == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from model import SPECIAL_TOKENS, messages, random_images  # noqa: E402
from transformers import AutoImageProcessor, AutoTokenizer, PrinterCallback, TrainerCallback  # noqa: E402
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor  # noqa: E402
from trl.experimental.papo import PAPOConfig, PAPOTrainer  # noqa: E402

MAX_STEPS = 10_000  # more than anybody asks for
POOL_STEPS = 8  # distinct batches of images; they come round again after this many steps


class ImageOnlyProcessor(Qwen2_5_VLProcessor):
    """Qwen2_5_VLProcessor without its video processor, which cannot be built without torchvision."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]


class Prompts(torch.utils.data.Dataset):
    """One fixed question about images of noise, endlessly; decoded images, so that fetching costs nothing."""

    def __init__(self, prompts: int, size: int, seed: int):
        self.images = random_images(prompts * POOL_STEPS, size, seed)
        self.length = prompts * MAX_STEPS  # no epoch ends within a run
        # trl puts the image part in itself, in front of the text.
        self.prompt = [{"role": "user", "content": messages()[0]["content"][1]["text"]}]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"prompt": self.prompt, "image": self.images[index % len(self.images)]}


def make_reward(seed: int) -> Callable[..., list[float]]:
    """Uniform noise: free to compute, and no group has zero variance."""
    generator = torch.Generator().manual_seed(seed)

    def noise(completions: list[Any], **_: Any) -> list[float]:
        return torch.rand(len(completions), generator=generator).tolist()

    return noise


class Parts:
    """Seconds spent inside chosen methods since the last `take`. Two clock reads per call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, method: str, name: str | Callable[..., str]) -> None:
        inner = getattr(owner, method)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                label = name if isinstance(name, str) else name(*args, **kwargs)
                self.seconds[label] += time.perf_counter() - start

        setattr(owner, method, timed)

    def take(self, total: float) -> dict[str, float]:
        parts = dict(self.seconds)
        self.seconds.clear()
        return {**parts, "other": total - sum(parts.values())}


class Clock(TrainerCallback):
    """Times from the end of one step to the end of the next: the batch is fetched and sampled inside."""

    def __init__(self, interactive: bool, parts: Parts):
        self.interactive = interactive
        self.parts = parts
        self.seconds: list[float] = []
        self.seconds_of: list[dict[str, float]] = []
        self.warm = False

    def on_train_begin(self, args, state, control, **kwargs):
        self.start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        if ARGUMENTS.device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.start
        parts = self.parts.take(seconds)
        if self.warm:
            self.seconds.append(seconds)
            self.seconds_of.append(parts)
            if self.interactive:
                say({"seconds": seconds, "parts": parts})
        elif self.interactive:
            say({"ready": True, **describe(kwargs["model"])})
        self.warm = True
        if self.interactive and not sys.stdin.readline():
            control.should_training_stop = True
        self.start = time.perf_counter()


def say(record: dict[str, Any]) -> None:
    print(json.dumps(record), file=STDOUT, flush=True)


def describe(model: torch.nn.Module) -> dict[str, Any]:
    return {
        "implementation": f"trl {trl.__version__}",
        "vision": ARGUMENTS.vision,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "prompts": ARGUMENTS.prompts,
        "group_size": ARGUMENTS.group_size,
        "new_tokens": ARGUMENTS.new_tokens,
        "image_size": ARGUMENTS.image_size,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if ARGUMENTS.device == "cuda" else "cpu",
        "bf16": ARGUMENTS.bf16,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def build_trainer(folder: str, output_dir: str) -> PAPOTrainer:
    responses = ARGUMENTS.prompts * ARGUMENTS.group_size
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    processor = ImageOnlyProcessor(
        AutoImageProcessor.from_pretrained(folder),
        tokenizer,
        video_processor=None,
        chat_template=tokenizer.chat_template,
    )
    args = PAPOConfig(
        output_dir=output_dir,
        # one update per step over all responses, sampled by the weights that are updated
        per_device_train_batch_size=responses,
        gradient_accumulation_steps=1,
        num_generations=ARGUMENTS.group_size,
        num_iterations=1,
        max_completion_length=ARGUMENTS.new_tokens,
        temperature=1.0,
        generation_kwargs={
            "suppress_tokens": tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)),
            "use_cache": True,
        },
        # PAPO-G of the paper: γ, β, mask ratio; the entropy terms off
        loss_type="grpo",
        beta=0.01,
        perception_loss_weight=0.02,
        mask_ratio=0.6,
        der_loss_weight1=0.0,
        der_loss_weight2=0.0,
        epsilon=0.2,
        epsilon_high=0.3,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        weight_decay=1e-2,
        max_grad_norm=1.0,
        # speed
        use_cpu=ARGUMENTS.device == "cpu",
        bf16=ARGUMENTS.bf16,
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        shuffle_dataset=False,
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_steps=MAX_STEPS if ARGUMENTS.interactive else ARGUMENTS.steps + 1,
        seed=ARGUMENTS.seed,
        # device_map="auto", trl's default here, would only add accelerate's hooks
        model_init_kwargs={"dtype": "float32", "device_map": None, "attn_implementation": "sdpa"},
    )
    trainer = PAPOTrainer(
        model=folder,
        reward_funcs=make_reward(ARGUMENTS.seed),
        args=args,
        train_dataset=Prompts(ARGUMENTS.prompts, ARGUMENTS.image_size, ARGUMENTS.seed),
        processing_class=processor,
    )
    trainer.remove_callback(PrinterCallback)
    if ARGUMENTS.vision == "frozen":
        trainer.model.model.visual.requires_grad_(False)
    return trainer


def watch_parts(trainer: PAPOTrainer) -> Parts:
    """Sampling, the three forwards, backward; the optimiser and all processing remain in "other"."""
    parts = Parts()
    passes = {"count": 0}

    def which_pass(model, *args, **kwargs) -> str:
        if model is trainer.ref_model:
            return "reference"
        passes["count"] += 1  # every loss scores twice: the image as it is, then masked
        return "policy_forward" if passes["count"] % 2 else "corrupted_forward"

    parts.watch(trainer, "_tokenize_prompts", "process")
    parts.watch(trainer, "_generate_single_turn", "sample")
    parts.watch(trainer, "_get_per_token_logps_and_entropies", which_pass)
    parts.watch(trainer.accelerator, "backward", "backward")
    return parts


def main() -> None:
    torch.set_num_threads(ARGUMENTS.threads)
    with tempfile.TemporaryDirectory() as output_dir:
        trainer = build_trainer(ARGUMENTS.model, output_dir)
        clock = Clock(ARGUMENTS.interactive, watch_parts(trainer))
        trainer.add_callback(clock)
        trainer.train()
    if not ARGUMENTS.interactive:
        names = sorted({name for parts in clock.seconds_of for name in parts})
        say(
            {
                **describe(trainer.model),
                "seconds": clock.seconds,
                "median": median(clock.seconds),
                "parts": {name: median(parts[name] for parts in clock.seconds_of) for name in names},
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if ARGUMENTS.device == "cuda" else None,
            }
        )


if __name__ == "__main__":
    main()
