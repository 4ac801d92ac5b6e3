"""What supervised and reinforcement training share: a policy, its optimizer, and held-out accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch.optim import Optimizer

from papo.errors import SettingError
from papo.evaluation.answering import Answered, accuracy, answer, blinded
from papo.evaluation.metrics import Estimate
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.training.schedules import SCHEDULES, learning_rate_scale
from papo.types import Item, PromptBatch


class PolicyModule(LightningModule):
    """A trainable policy that counts its own steps and measures itself on held-out prompts.

    Args:
        policy: the model that is trained.
        processor: makes prompts, reads responses.
        optimizer: takes the trainable parameters, returns the optimizer.
        schedule, warmup_steps, total_steps: see `learning_rate_scale`.
        grad_clip: largest gradient norm.
        val_sampling: how held-out prompts are answered.
        val_samples: k of avg@k.
        val_blind: whether they are answered blind too.
        seed: of held-out answers.

    Raises:
        SettingError: a setting out of range, or one that the optimizer refuses.
    """

    def __init__(
        self,
        policy: Policy,
        processor: PromptProcessor,
        optimizer: Callable[..., Optimizer],
        *,
        schedule: str,
        warmup_steps: int,
        total_steps: int,
        grad_clip: float,
        val_sampling: Sampling,
        val_samples: int,
        val_blind: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.processor = processor
        self.make_optimizer = optimizer
        self.schedule, self.warmup_steps, self.total_steps = schedule, warmup_steps, total_steps
        self.grad_clip = grad_clip
        self.val_sampling, self.val_samples, self.val_blind = val_sampling, val_samples, val_blind
        self.seed = seed
        for name, value, least in (
            ("total_steps", total_steps, 1),
            ("warmup_steps", warmup_steps, 0),
            ("val_samples", val_samples, 1),
        ):
            if value < least:
                raise SettingError(name, f"must be at least {least}, got {value}")
        if schedule not in SCHEDULES:
            raise SettingError("schedule", f"must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
        if grad_clip <= 0:
            raise SettingError("grad_clip", f"must be positive, got {grad_clip}")
        try:
            self.configure_optimizers()  # now, and not when the run has begun
        except ValueError as error:
            raise SettingError("optimizer", f"must have settings that it can work with: {error}") from error
        self.step = 0  # finished training steps; the only clock: data, seeds and schedule are functions of it
        self.step_seconds: list[float] = []  # of this process, for the median
        self.val_answers: list[Answered] = []
        self.val_blind_answers: list[Answered] = []
        self.accuracy_before: Estimate | None = None  # held-out accuracy before the first step, with the image
        self.blind_before: Estimate | None = None  # and blind

    def collate(self, items: Sequence[Item]) -> Any:
        """What `training_step` gets for the items of one step."""
        return self.processor.prompts(items)

    # ----------------------------------------------------------------------------------------------------- optimizer

    def configure_optimizers(self) -> Optimizer:
        return self.make_optimizer([p for p in self.policy.parameters() if p.requires_grad])

    def on_train_start(self) -> None:
        # Lightning validates at multiples of val_check_interval by this count, which starts anew in each process.
        self.trainer.fit_loop.epoch_loop.batch_progress.total.ready = self.step

    def apply_gradient(self, loss: torch.Tensor) -> tuple[float, bool]:
        """Clips and applies the accumulated gradient unless it or the loss is not finite.

        Returns:
            The gradient norm before clipping, and whether the parameters were updated.
        """
        optimizer = self.optimizers()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.grad_clip)
        finite = bool(torch.isfinite(norm) & torch.isfinite(loss))
        if finite:
            scale = learning_rate_scale(
                self.schedule, self.step, total_steps=self.total_steps, warmup_steps=self.warmup_steps
            )
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(norm), finite

    # ---------------------------------------------------------------------------------------------------- validation

    def on_validation_epoch_start(self) -> None:
        self.val_answers, self.val_blind_answers = [], []

    def validation_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        settings = {"k": self.val_samples, "sampling": self.val_sampling, "seed": self.seed}
        self.val_answers += answer(self.policy, self.processor, prompts, **settings)[0]
        if self.val_blind:
            self.val_blind_answers += answer(self.policy, self.processor, blinded(prompts), **settings)[0]

    def on_validation_epoch_end(self) -> None:
        measured = {f"val/avg@{self.val_samples}": self.val_accuracy().mean}
        if self.val_blind:
            measured[f"val/blind_avg@{self.val_samples}"] = self.val_blind_accuracy().mean
        self.logger.log_metrics(measured, step=self.step)

    def val_accuracy(self) -> Estimate:
        """avg@k of the last validation."""
        return accuracy(self.val_answers)

    def val_blind_accuracy(self) -> Estimate | None:
        """The same with every patch black; None where it is not measured."""
        return accuracy(self.val_blind_answers) if self.val_blind else None

    # --------------------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        # The only clock is our own; Lightning's loop counters would disagree with it after resuming.
        del checkpoint["loops"]
        checkpoint["step"] = self.step
        for name in ("accuracy_before", "blind_before"):
            estimate = getattr(self, name)
            checkpoint[name] = None if estimate is None else estimate.to_dict()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.step = checkpoint["step"]
        # The optimizer's settings are the configuration's; what it remembers of gradients is the checkpoint's.
        for state in checkpoint["optimizer_states"]:
            for saved, group in zip(state["param_groups"], self.configure_optimizers().param_groups, strict=True):
                settings = {name: value for name, value in group.items() if name != "params"}
                saved |= settings | {"initial_lr": group["lr"]}
        for name in ("accuracy_before", "blind_before"):
            found = checkpoint[name]
            estimate = None if found is None else Estimate(found["mean"], tuple(found["ci95"]), found["n"])
            setattr(self, name, estimate)
