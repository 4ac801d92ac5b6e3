"""What supervised and reinforcement training share: a policy, its optimizer, and its validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer

from papo import ranks
from papo.arguments import Count, Natural, Positive, checked
from papo.errors import ConfigError, SettingError, TrainingDiverged
from papo.evaluation.held_out import HeldOut, ItemValues
from papo.policy.processing import PromptProcessor
from papo.policy.vlm import Policy
from papo.rollout import Engine
from papo.training.cost import Cost
from papo.training.history import HELD_OUT, SETS, History, by_measure, items_by_measure, rows, tag
from papo.training.metrics import ItemMeans
from papo.training.optimizers import StochasticAdamW
from papo.training.schedules import SCHEDULES, learning_rate_scale
from papo.training.strategies import ShardedWeights
from papo.training.weights import Sharded, Whole, as_tensor
from papo.types import Item, PromptBatch

LEARNING_RATE = "learning rate"  # among what is planned


class PolicyModule(LightningModule):
    """A trainable policy that counts its own steps and measures itself on held-out prompts.

    Args:
        policy: the model that is trained.
        processor: makes prompts, reads responses.
        optimizer: takes the trainable parameters, returns the optimizer.
        schedule, warmup_steps, total_steps: see `learning_rate_scale`.
        grad_clip: largest gradient norm.
        max_skipped_updates: consecutive non-finite updates after which the run stops.
        held_out: how held-out prompts are answered, and what is measured.
        engine: draws responses.
        seed: of held-out answers, and of how bfloat16 weights are rounded.

    Raises:
        SettingError: a setting out of range, or one that the optimizer refuses.
    """

    @checked
    def __init__(
        self,
        policy: Policy,
        processor: PromptProcessor,
        optimizer: Callable[..., Optimizer],
        *,
        schedule: Literal[*SCHEDULES],
        warmup_steps: Natural,
        total_steps: Count,
        grad_clip: Positive,
        max_skipped_updates: Natural,
        held_out: HeldOut,
        engine: Engine,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy = policy
        self.weights = Whole(policy)
        self.processor = processor
        self.make_optimizer = optimizer
        self.schedule, self.warmup_steps, self.total_steps = schedule, warmup_steps, total_steps
        self.grad_clip = grad_clip
        self.max_skipped_updates = max_skipped_updates
        self.skipped_in_a_row = 0
        self.updates_made = 0  # that the weights had
        self.learning_rate = 0.0  # of the last update, as the schedule had it
        self.held_out = held_out
        self.engine = engine
        self.seed = seed
        held_out.attach(policy, processor)
        engine.attach(policy)
        if not any(parameter.requires_grad for parameter in policy.parameters()):
            raise ConfigError("model.train=[] leaves nothing to train; name vision, projector or language")
        try:
            self.configure_optimizers()  # now, and not when the run has begun
        except ValueError as error:
            raise SettingError("optimizer", f"must have settings that it can work with: {error}") from error
        # Other lengths of the run that earlier steps were planned for; see papo.settings.
        self.replanned: list[dict[str, int]] = []
        self.ended_by: str | None = None  # the setting of what ends the run before its last step, told by that
        self.step = 0  # finished training steps; the only clock: data, seeds and schedule are functions of it
        self.metrics: dict[str, float] = {}  # of the last step
        self.cost = Cost()
        self.item_means = ItemMeans()
        self.history = History()
        # Of a validation: loader, batch among those of all ranks, and what was found on this one.
        self.found: list[tuple[int, int, list[ItemValues]]] = []
        self.held_out_rows: list[dict[str, Any]] = []  # of the last validation, in this process

    def collate(self, items: Sequence[Item]) -> Any:
        """What `training_step` gets for the items of one step."""
        return self.processor.prompts(items)

    def check_item(self, item: Item) -> None:
        """Looks, before a run begins, whether one training item has what a step needs; most steps need no more of it.

        Raises:
            ConfigError: it has not.
        """

    def check_data(self, items: Iterable[Item], further: Iterable[Item] = ()) -> None:
        """Looks, before a run begins, whether the data has what a step needs; most steps need no more than items.

        Args:
            items: one training item of each source, and the first of the run.
            further: those that come next, read only where the others leave something in doubt.

        Raises:
            ConfigError: it has not.
        """

    def configure_model(self) -> None:
        """Shards the weights where the strategy says so; called before each validation and training."""
        if isinstance(self.trainer.strategy, ShardedWeights) and not isinstance(self.weights, Sharded):
            mesh = self.device_mesh["data_parallel"]
            self.weights = Sharded(self.policy, mesh, self.trainer.strategy.computed_in)

    # ----------------------------------------------------------------------------------------------------- optimizer

    def configure_optimizers(self) -> Optimizer:
        optimizer = self.make_optimizer([p for p in self.policy.parameters() if p.requires_grad])
        if isinstance(optimizer, StochasticAdamW):
            optimizer.seed = self.seed
        return optimizer

    def on_train_start(self) -> None:
        # Lightning validates at multiples of val_check_interval by this count, which starts anew in each process.
        self.trainer.fit_loop.epoch_loop.batch_progress.total.ready = self.step
        if self.loss_scaler is not None:
            # It comes to life with the first loss that it scales, which a rank without prompts would not have.
            self.loss_scaler.scale(torch.zeros(1, device=self.device))

    def manual_backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """Of prompts without a picture there is no gradient where only what looks at pictures is trained."""
        if loss.requires_grad:
            super().manual_backward(loss, *args, **kwargs)

    def clip_gradient(self) -> torch.Tensor:
        """Adds up the gradients that the ranks accumulated, and scales the sum down to its largest norm; the norm that
        it had."""
        optimizer = self.optimizers()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.weights.add_gradients(parameters)
        if self.loss_scaler is not None and has_gradient(optimizer):
            self.loss_scaler.unscale_(optimizer.optimizer)
        return as_tensor(torch.nn.utils.clip_grad_norm_(parameters, self.grad_clip))

    def planned(self, step: int, total_steps: int) -> dict[str, float]:
        """The factors at a step that depend on how long the run is meant to be, by the name of what they are on."""
        settings = {"total_steps": total_steps, "warmup_steps": self.warmup_steps}
        return {LEARNING_RATE: learning_rate_scale(self.schedule, step, **settings)}

    @property
    def loss_scaler(self) -> torch.amp.GradScaler | None:
        """What scales the loss under trainer.precision=16-mixed."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def apply_gradient(self, loss: float, norm: float) -> bool:
        """Updates the parameters by the accumulated gradient unless loss or norm is not finite; drops it either way.

        Returns:
            Whether they were updated.

        Raises:
            TrainingDiverged: too many updates in a row were not.
        """
        optimizer = self.optimizers()
        scaler = self.loss_scaler
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            scale = self.planned(self.step, self.total_steps)[LEARNING_RATE]
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * scale
            self.learning_rate = optimizer.param_groups[0]["lr"]
            if has_gradient(optimizer):
                optimizer.step()
                self.updates_made += 1
        elif scaler is not None and has_gradient(optimizer):
            scaler.update()  # which lowers the scale
        optimizer.zero_grad(set_to_none=True)
        self.weights.gather()
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        if self.skipped_in_a_row > self.max_skipped_updates:
            raise TrainingDiverged(
                f"{self.skipped_in_a_row} updates in a row had a non-finite loss ({loss}) or gradient ({norm}); "
                "lower optimizer.lr or the weights of the objective's terms"
            )
        return finite

    # ---------------------------------------------------------------------------------------------------- validation

    @property
    def during(self) -> bool:
        """Whether a validation comes from within training: a short one."""
        return self.trainer.state.fn == TrainerFn.FITTING

    @property
    def idle(self) -> bool:
        """Whether a validation from within training is none that was asked for.

        After the last step that of the whole run follows, and Lightning validates wherever a run is stopped.
        """
        due = self.step < self.total_steps and self.step % self.trainer.val_check_interval == 0
        return self.during and not due

    def on_train_epoch_start(self) -> None:
        """Makes up for the validation that the run died in: its checkpoint is from before."""
        if self.trainer.enable_validation and self.step not in (0, self.history.last_step) and not self.idle:
            # As Lightning's loop over steps does it: the stage says which loop is at work.
            self.trainer.validating = True
            self.trainer.fit_loop.epoch_loop.val_loop.run()
            self.trainer.training = True

    def on_validation_epoch_start(self) -> None:
        self.found = []
        self.weights.gather()
        self.engine.sync(self.policy, self.step)

    def validation_step(self, prompts: PromptBatch | None, batch_idx: int, dataloader_idx: int = 0) -> None:
        if self.idle or prompts is None:
            return
        found = self.held_out(
            self.policy,
            self.engine,
            self.processor,
            prompts,
            seed=self.seed,
            during=self.during,
            views=SETS[dataloader_idx] == HELD_OUT,
        )
        self.found.append((dataloader_idx, batch_idx * ranks.count() + ranks.rank(), found))

    def on_validation_epoch_end(self) -> None:
        if self.idle:
            return
        self.item_means.reset()
        self.held_out_rows = []
        for dataloader_idx, _, found in sorted(ranks.collected(self.found), key=lambda of: of[:2]):
            kind = SETS[dataloader_idx]
            self.held_out_rows += rows(self.step, kind, found)
            self.item_means.update(by_measure(kind, found))
        measured = self.item_means.compute()
        if "accuracy" not in measured:
            raise ConfigError("data.val has no item that can be graded; look at its answers and its rule")
        first = self.during and not self.history.items_during
        self.history.add(self.step, measured, items_by_measure(self.held_out_rows), during=self.during)
        if not self.during:
            means = self.history.course[self.step].items()
            self.logger.log_metrics({tag(name, self.held_out.samples): mean for name, mean in means}, step=self.step)
        if self.history.items_during:  # which a run knows once it has been in its midst
            course = self.history.over_steps()
            for step in sorted(course.keys() & {0, self.step}) if first else (self.step,):
                self.logger.log_metrics({f"course/{name}": mean for name, mean in course[step].items()}, step=step)

    # --------------------------------------------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        # The only clock is our own; Lightning's loop counters would disagree with it after resuming.
        del checkpoint["loops"]
        checkpoint["step"], checkpoint["updates"] = self.step, self.updates_made
        checkpoint["total_steps"], checkpoint["replanned"] = self.total_steps, self.replanned
        checkpoint["history"], checkpoint["cost"] = self.history.to_dict(), self.cost.to_dict()
        self.weights.gather()  # a share of them is what was saved

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        self.step = checkpoint["step"]
        self.updates_made = checkpoint.get("updates", self.step)  # which older checkpoints lack
        # The optimizer's settings are the configuration's; what it remembers of gradients is the checkpoint's.
        for state in checkpoint["optimizer_states"]:
            for saved, group in zip(state["param_groups"], self.configure_optimizers().param_groups, strict=True):
                settings = {name: value for name, value in group.items() if name != "params"}
                saved |= settings | {"initial_lr": group["lr"]}
            # What goes to no other place would stay in the file, which the next checkpoint may take away.
            for remembered in state["state"].values():
                stays = {name: value for name, value in remembered.items() if self.stays(value)}
                remembered |= {name: value.clone() for name, value in stays.items()}
        self.history = History.from_dict(checkpoint["history"])
        if "cost" in checkpoint:  # which older checkpoints lack
            self.cost.load(checkpoint["cost"])

    def stays(self, value: Any) -> bool:
        """Whether an optimizer goes on with that very tensor of a checkpoint: on a CPU, and where it counts steps.

        The module itself is on no device yet.
        """
        return isinstance(value, Tensor) and (self.trainer.strategy.root_device.type == "cpu" or value.dim() == 0)


def has_gradient(optimizer: Optimizer) -> bool:
    """Whether any of its parameters has one; of none a loss scaler can say nothing, and raises."""
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
