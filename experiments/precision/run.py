"""What each precision, type of weights and optimizer makes of 20 supervised steps on the lab model, against float32.

python experiments/precision/run.py     writes table.md and moved.png beside this file, a few minutes on a CPU

Trains what train.py refuses too, to show why.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.loggers.logger import DummyLogger
from torch.utils.data import DataLoader

from papo.errors import ConfigError
from papo.evaluation.held_out import HeldOut
from papo.lab import LabDataset
from papo.policy.loading import Loaded, load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.training.optimizers import StochasticAdamW
from papo.training.precision import check_precision, trainer_precision
from papo.training.sft import SupervisedModule

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
STEPS, ITEMS = 20, 8
INSTRUCTION = "Think, then put the answer in \\boxed{}."
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adamw_bf16": StochasticAdamW}
RATES = (1e-6, 2e-4)  # the paper's and the lab's


class Setting(NamedTuple):
    precision: str
    dtype: str
    optimizer: str
    adapter: bool = False

    def __str__(self) -> str:
        return " ".join((self.precision, self.dtype, self.optimizer)) + (" + LoRA" if self.adapter else "")


SETTINGS = (
    Setting("32-true", "float32", "adamw"),
    Setting("32-true", "float32", "adamw_bf16"),
    Setting("bf16-mixed", "float32", "adamw"),
    Setting("bf16-true", "bfloat16", "adamw"),
    Setting("bf16-true", "bfloat16", "adamw_bf16"),
    Setting("32-true", "float32", "adamw", adapter=True),
    Setting("bf16-mixed", "float32", "adamw", adapter=True),
    Setting("bf16-mixed", "bfloat16", "adamw", adapter=True),
)


class Recording(SupervisedModule):
    losses: list[float]

    def loss(self, batch, denominators):
        loss = super().loss(batch, denominators)
        self.losses.append(float(loss.detach()))
        return loss


def train(setting: Setting, lr: float) -> tuple[str, list[float], torch.Tensor]:
    """Why train.py would refuse it, if so; the losses; how far each trained weight went."""
    seed_everything(0, verbose=False)
    lora = {"r": 8, "alpha": 16} if setting.adapter else None
    loaded: Loaded = load_policy("lab_qwen", dtype=setting.dtype, chunk_tokens=4096, lora=lora)
    optimizer = partial(OPTIMIZERS[setting.optimizer], lr=lr)
    refused = ""
    try:
        check_precision(setting.precision, "cpu", loaded.policy, optimizer)
    except ConfigError as error:
        refused = str(error)
    module = Recording(
        policy=loaded.policy,
        processor=PromptProcessor(loaded.processor, INSTRUCTION),
        optimizer=optimizer,
        schedule="constant",
        warmup_steps=0,
        total_steps=STEPS + 1,
        grad_clip=1.0,
        max_skipped_updates=5,
        held_out=HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=Sampling(4)),
        engine=NativeEngine(),
        seed=0,
        micro_batch_prompts=ITEMS,
    )
    module.losses = []
    batches = [
        module.collate(list(LabDataset("train", ITEMS)))
    ] * STEPS  # one batch: its loss can only fall by learning
    trained = [p for p in loaded.policy.parameters() if p.requires_grad]
    before = [p.detach().float().clone() for p in trained]
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=DummyLogger(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **trainer_precision(setting.precision),
    )
    trainer.fit(module, DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch))
    moved = [p.detach().float() - b for p, b in zip(trained, before, strict=True)]
    return refused, module.losses, torch.cat([tensor.flatten() for tensor in moved])


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    columns = (
        "lr",
        "precision, model.dtype, optimizer",
        "loss, first and last",
        "moved as float32, %",
        "weights moved, %",
    )
    lines = [f"| {' | '.join(columns)} | train.py |"]
    lines.append("|---" * 6 + "|")
    bars: dict[str, list[float]] = {}
    for lr in RATES:
        exact: dict[bool, torch.Tensor] = {}
        for setting in SETTINGS:
            refused, losses, moved = train(setting, lr)
            reference = exact.setdefault(setting.adapter, moved)  # the first with and without adapter is float32
            along = 100 * float(moved @ reference / reference.square().sum())
            share = 100 * float((moved != 0).float().mean())
            verdict = "refused" if refused else "works"
            lines.append(
                f"| {lr:g} | {setting} | {losses[0]:.4f} {losses[-1]:.4f} | {along:.1f} | {share:.1f} | {verdict} |"
            )
            bars.setdefault(str(setting), []).append(along)
            print(lines[-1], flush=True)
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure, axes = plt.subplots(1, len(RATES), figsize=(8, 3), sharey=True, layout="constrained")
    for column, (axis, lr) in enumerate(zip(axes, RATES, strict=True)):
        axis.barh(list(bars), [values[column] for values in bars.values()])
        axis.axvspan(90, 110, alpha=0.2)
        axis.set(title=f"lr {lr:g}", xlabel="movement along float32's, %")
    axes[0].invert_yaxis()
    figure.savefig(HERE / "moved.png", dpi=80)


if __name__ == "__main__":
    main()
