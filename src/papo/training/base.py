"""What supervised and reinforcement training share: a policy, its optimizer, and held-out accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch.optim import Optimizer

from papo.errors import ConfigError, SettingError
from papo.evaluation.answering import answer, blinded
from papo.policy.processing import PromptProcessor
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rollout import Engine
from papo.statistics import Estimate
from papo.training.metrics import ItemMeans
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
        engine: draws responses.
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
        engine: Engine,
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
        self.engine = engine
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
        if not any(parameter.requires_grad for parameter in policy.parameters()):
            raise ConfigError("model.train=[] leaves nothing to train; name vision, projector or language")
        try:
            self.configure_optimizers()  # now, and not when the run has begun
        except ValueError as error:
            raise SettingError("optimizer", f"must have settings that it can work with: {error}") from error
        self.step = 0  # finished training steps; the only clock: data, seeds and schedule are functions of it
        self.step_seconds: list[float] = []  # of this process, for the median
        self.val_means, self.val_blind_means = ItemMeans(), ItemMeans()
        self.accuracy_before: Estimate | None = None  # held-out accuracy before the first step, with the image
        self.blind_before: Estimate | None = None  # and blind

    def collate(self, items: Sequence[Item]) -> Any:
        """What `training_step` gets for the items of one step."""
        return self.processor.prompts(items)

    def check_data(self, items: Iterable[Item]) -> None:
        """Looks, before a run begins, whether the data has what a step needs; most steps need no more than items.

        Args:
            items: one training item of each source.

        Raises:
            ConfigError: it has not.
        """

    # ----------------------------------------------------------------------------------------------------- optimizer

    def configure_optimizers(self) -> Optimizer:
        return self.make_optimizer([p for p in self.policy.parameters() if p.requires_grad])

    def on_train_start(self) -> None:
        # Lightning validates at multiples of val_check_interval by this count, which starts anew in each process.
        self.trainer.fit_loop.epoch_loop.batch_progress.total.ready = self.step

    def clip_gradient(self) -> torch.Tensor:
        """Scales the accumulated gradient down to its largest norm; the norm that it had."""
        optimizer = self.optimizers()
        if self.loss_scaler is not None:
            self.loss_scaler.unscale_(optimizer.optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        return torch.nn.utils.clip_grad_norm_(parameters, self.grad_clip)

    @property
    def loss_scaler(self) -> torch.amp.GradScaler | None:
        """What scales the loss under trainer.precision=16-mixed."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def apply_gradient(self, finite: bool) -> None:
        """Updates the parameters by the accumulated gradient unless that is not finite; drops it either way."""
        optimizer = self.optimizers()
        scaler = self.loss_scaler
        if finite:
            scale = learning_rate_scale(
                self.schedule, self.step, total_steps=self.total_steps, warmup_steps=self.warmup_steps
            )
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale
            optimizer.step()
        elif scaler is not None:
            scaler.update()  # which lowers the scale
        optimizer.zero_grad(set_to_none=True)

    # ---------------------------------------------------------------------------------------------------- validation

    def on_validation_epoch_start(self) -> None:
        self.val_means.reset()
        self.val_blind_means.reset()
        self.engine.sync(self.policy, self.step)

    def validation_step(self, prompts: PromptBatch, batch_idx: int) -> None:
        self.val_means.update(self.item_accuracies(prompts))
        if self.val_blind:
            self.val_blind_means.update(self.item_accuracies(blinded(prompts)))

    def item_accuracies(self, prompts: PromptBatch) -> list[float]:
        """The share of right answers to each prompt that can be graded."""
        settings = {"k": self.val_samples, "sampling": self.val_sampling, "seed": self.seed}
        answered, _, _ = answer(self.policy, self.engine, self.processor, prompts, **settings)
        return [item.accuracy for item in answered if item.scorable]

    def on_validation_epoch_end(self) -> None:
        measured = {f"val/avg@{self.val_samples}": self.val_accuracy().mean}
        if self.val_blind:
            measured[f"val/blind_avg@{self.val_samples}"] = self.val_blind_accuracy().mean
        self.logger.log_metrics(measured, step=self.step)

    def val_accuracy(self) -> Estimate:
        """avg@k of the last validation."""
        return self.val_means.estimate()

    def val_blind_accuracy(self) -> Estimate | None:
        """The same with every patch black; None where it is not measured."""
        return self.val_blind_means.estimate() if self.val_blind else None

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
