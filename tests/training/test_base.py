"""The optimizer's side of a step, held-out accuracy, and what a checkpoint holds, on a policy of one weight."""

import warnings
from functools import partial

import pytest
import torch
from lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

from papo.errors import ConfigError, SettingError
from papo.evaluation.answering import Answered
from papo.policy.sampling import Sampling
from papo.rewards.grading import Grade, Verdict
from papo.rollout import NativeEngine
from papo.training.base import PolicyModule
from papo.training.precision import ScaledHalf
from papo.types import Item


class Slope(PolicyModule):
    """The gradient is the batch itself."""

    def training_step(self, batch, batch_idx):
        loss = (self.policy.weight * batch).sum()
        self.manual_backward(loss)
        norm = self.clip_gradient()
        finite = bool(torch.isfinite(norm))
        self.apply_gradient(finite)
        self.applied.append((norm.item(), finite))
        self.step += 1
        self.lr.append(self.optimizers().param_groups[0]["lr"])
        self.weight.append(self.policy.weight.item())


def slope(**settings) -> Slope:
    policy = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(policy.weight)
    defaults = {
        "policy": policy,
        "processor": None,
        "optimizer": partial(torch.optim.SGD, lr=0.5),
        "schedule": "constant",
        "warmup_steps": 0,
        "total_steps": 4,
        "grad_clip": 10.0,
        "val_sampling": Sampling(1),
        "val_samples": 1,
        "val_blind": False,
        "engine": NativeEngine(),
        "seed": 0,
    }
    module = Slope(**defaults | settings)
    module.applied, module.lr, module.weight = [], [], []
    return module


def fit(module: Slope, *gradients: float, **settings) -> Slope:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, DataLoader(torch.tensor(gradients), batch_size=None))
    return module


def test_an_update_goes_down_the_gradient():
    module = fit(slope(), 2.0, -1.0)
    assert module.weight == [-1.0, -0.5]
    assert module.applied == [(2.0, True), (1.0, True)]


def test_a_long_gradient_is_shortened():
    module = fit(slope(grad_clip=1.0), 4.0, 0.5)
    assert module.weight == pytest.approx([-0.5, -0.75], abs=1e-5)
    assert [norm for norm, _ in module.applied] == [4.0, 0.5]  # reported as it was


def test_the_learning_rate_follows_the_step():
    """Each time from the configured one: factors do not multiply up."""
    module = fit(slope(warmup_steps=4), 1.0, 1.0, 1.0, 1.0, 1.0)
    assert module.lr == [0.125, 0.25, 0.375, 0.5, 0.5]
    module = fit(slope(schedule="cosine"), 1.0, 1.0, 1.0)
    assert module.lr == pytest.approx([0.5, 0.5 * 0.8564823, 0.5 * 0.51])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_changes_nothing(value):
    module = fit(slope(), 1.0, value, 1.0)
    assert module.weight == [-0.5, -0.5, -1.0]
    assert [applied for _, applied in module.applied] == [True, False, True]


def test_a_scaled_gradient_is_clipped_as_it_is():
    """Under 16-mixed the loss is scaled by 65,536; neither the norm nor the clipping may see that."""
    plugin = ScaledHalf("cpu")
    module = fit(slope(grad_clip=1.0), 4.0, 0.5, float("inf"), 0.5, plugins=plugin)
    assert module.weight == pytest.approx([-0.5, -0.75, -0.75, -1.0], abs=1e-5)
    assert [norm for norm, _ in module.applied] == pytest.approx([4.0, 0.5, float("inf"), 0.5])
    assert [applied for _, applied in module.applied] == [True, True, False, True]
    assert plugin.scaler.get_scale() == 2**15  # halved by the gradient that was none


def test_frozen_parameters_are_left_out():
    policy = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False))
    optimizer = slope(policy=policy).configure_optimizers()
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in policy[0].parameters()]


def test_accuracy_is_of_the_items_that_can_be_graded(monkeypatch):
    """Of all batches since the validation began."""
    module = slope()
    item = Item("id", "red?", (), answer="11", answer_type="integer")

    def answers(verdicts):
        answered = [Answered(item, ("",), (Grade(verdict, None, ""),)) for verdict in verdicts]
        monkeypatch.setattr("papo.training.base.answer", lambda *args, **settings: (answered, None, None))
        module.validation_step(None, 0)

    module.on_validation_epoch_start()
    answers([Verdict.CORRECT, Verdict.WRONG])
    answers([Verdict.CORRECT, Verdict.UNSCORABLE])
    estimate = module.val_accuracy()
    assert (estimate.mean, estimate.n) == (pytest.approx(2 / 3), 3)
    assert module.val_blind_accuracy() is None
    module.on_validation_epoch_start()
    with pytest.raises(ValueError, match="no items"):
        module.val_accuracy()


def test_the_optimizers_settings_are_the_configurations_its_memory_is_the_checkpoints():
    first = fit(slope(optimizer=partial(torch.optim.SGD, lr=0.5, momentum=0.5), warmup_steps=4), 1.0, 1.0)
    checkpoint = {"step": 2, "accuracy_before": None, "blind_before": None}
    checkpoint["optimizer_states"] = [first.optimizers().state_dict()]
    (saved,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert (saved["lr"], saved["initial_lr"], saved["momentum"]) == (0.25, 0.5, 0.5)
    second = slope(optimizer=partial(torch.optim.SGD, lr=0.125, momentum=0.75, weight_decay=0.25), warmup_steps=4)
    second.on_load_checkpoint(checkpoint)
    optimizer = second.configure_optimizers()
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    (group,) = optimizer.param_groups
    assert (group["lr"], group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.125, 0.125, 0.75, 0.25)
    assert optimizer.state[second.policy.weight]["momentum_buffer"].item() == 1.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_steps": 0}, "total_steps must be at least 1, got 0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, got -1"),
        ({"val_samples": 0}, "val_samples must be at least 1, got 0"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, got 'linear'"),
        ({"grad_clip": 0.0}, "grad_clip must be positive, got 0"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1.0)}, "optimizer must have settings .*learning rate: -1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingError, match=f"^{message}"):
        slope(**settings)


@pytest.mark.parametrize("measured", [True, False])
def test_a_checkpoint_brings_back_the_step_and_the_first_accuracy(measured):
    module, other = slope(), slope()
    module.step = 3
    if measured:
        module.val_means.update([1.0, 0.0, 0.0])
        module.accuracy_before = module.val_accuracy()
        module.val_means.reset()
        module.val_means.update([0.0, 0.0])
        module.blind_before = module.val_accuracy()
        assert module.blind_before != module.accuracy_before
    checkpoint = {"loops": "Lightning's own clock, which would disagree", "optimizer_states": []}
    module.on_save_checkpoint(checkpoint)
    assert "loops" not in checkpoint
    other.on_load_checkpoint(checkpoint)
    assert (other.step, other.accuracy_before, other.blind_before) == (3, module.accuracy_before, module.blind_before)


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match=r"model\.train=\[\] leaves nothing to train"):
        slope(policy=nn.Linear(1, 1).requires_grad_(False))
