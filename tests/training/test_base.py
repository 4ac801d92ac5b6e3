"""The optimizer's side of a step, held-out accuracy, and what a checkpoint holds, on a policy of one weight."""

import warnings
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from papo.errors import ConfigError, SettingError
from papo.evaluation.held_out import HeldOut, ItemValues
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.training.base import PolicyModule
from papo.training.history import History
from papo.training.optimizers import StochasticAdamW
from papo.training.precision import ScaledHalf


class Slope(PolicyModule):
    """The gradient is the batch itself."""

    def training_step(self, batch, batch_idx):
        loss = (self.policy.weight * batch).sum()
        self.manual_backward(loss)
        norm = self.clip_gradient()
        self.applied.append((norm.item(), self.apply_gradient(loss.item(), norm.item())))
        self.step += 1
        self.lr.append(self.learning_rate)
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
        "max_skipped_updates": 5,
        "held_out": HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=Sampling(1)),
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


def test_what_masks_held_out_pictures_is_shown_the_policy():
    """A mask by saliency looks with it."""
    seen = []
    masked = SimpleNamespace(attach=seen.append, process_with=seen.append, alone=True)
    processor = SimpleNamespace(images=len)
    held_out = HeldOut(1, 1, greedy=False, blind=False, masked=masked, sampling=Sampling(1))
    module = slope(processor=processor, held_out=held_out)
    assert seen == [module.policy, len]


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


def test_an_update_without_a_gradient_leaves_weights_and_scale_as_they_are():
    """As of texts alone where only the vision tower is trained."""
    plugin, module, passes = ScaledHalf("cpu"), slope(), iter([True, False, True, False])
    backward = module.manual_backward
    module.manual_backward = lambda loss: backward(loss if next(passes) else loss.detach())
    fit(module, 1.0, 1.0, 0.5, float("inf"), plugins=plugin)
    assert module.weight == pytest.approx([-0.5, -0.5, -0.75, -0.75], abs=1e-5)
    assert [applied for _, applied in module.applied] == [True, True, True, False]
    assert plugin.scaler.get_scale() == 2**16


def test_weights_are_rounded_by_the_runs_seed():
    """A resumed run's too: the seed is the module's, whatever the optimizer's state says."""
    make = partial(StochasticAdamW, lr=0.1)
    optimizer = slope(optimizer=make, seed=5).configure_optimizers()
    assert optimizer.seed == 5
    optimizer.load_state_dict(slope(optimizer=make, seed=6).configure_optimizers().state_dict())
    assert optimizer.seed == 5


def test_frozen_parameters_are_left_out():
    policy = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False))
    optimizer = slope(policy=policy).configure_optimizers()
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in policy[0].parameters()]


class Asked:
    """Stands for HeldOut: values of one measure, and how it was asked for them."""

    samples = 8

    def __init__(self) -> None:
        self.values, self.asked = [], []

    def __call__(self, policy, engine, processor, prompts, *, seed, during, views):
        self.asked.append((during, views))
        return [ItemValues(f"i{n}", "p", {"accuracy": value}) for n, value in enumerate(self.values)]


@pytest.fixture
def validate():
    """A validation of batches of values, those of data.val and those of data.guessable."""

    def validate(module: Slope, *batches: list[float], step=0, during="validate", guessable=()):
        module.held_out, module.step = Asked(), step
        logged = {}
        module.trainer = SimpleNamespace(
            state=SimpleNamespace(fn=during),
            val_check_interval=2,
            logger=SimpleNamespace(log_metrics=lambda metrics, step: logged.setdefault(step, {}).update(metrics)),
        )
        module.on_validation_epoch_start()
        module.validation_step(None, 0)  # of a rank without an item
        for kind, of_kind in enumerate((batches, guessable)):
            for number, values in enumerate(of_kind):
                module.held_out.values = values
                module.validation_step("prompts", number, kind)
        module.on_validation_epoch_end()
        return logged

    return validate


@pytest.fixture
def module(monkeypatch) -> Slope:
    monkeypatch.setattr(LightningModule, "logger", property(lambda module: module.trainer.logger))
    monkeypatch.setattr(LightningModule, "trainer", None)
    return slope()


def test_a_validation_is_of_all_its_batches(module, validate):
    logged = validate(module, [1.0, 0.0], [0.5], guessable=[[1.0], [1.0, 0.0]])
    assert logged == {0: {"val/avg@8": pytest.approx(0.5), "val/guessable": pytest.approx(2 / 3)}}
    assert module.history.before == module.history.last == {"accuracy": [1.0, 0.0, 0.5], "guessable": [1.0, 1.0, 0.0]}
    assert [(row["set"], row["value"]) for row in module.held_out_rows] == [
        *[("held_out", value) for value in (1.0, 0.0, 0.5)],
        *[("guessable", value) for value in (1.0, 1.0, 0.0)],
    ]
    assert module.history.items_last == module.history.items_before
    assert {name: len(of) for name, of in module.history.items_last.items()} == {"accuracy": 3, "guessable": 3}
    assert module.held_out.asked == [(False, True)] * 2 + [(False, False)] * 2
    validate(module, [0.0], step=2, during="fit")  # which begins anew
    assert module.held_out.asked == [(True, True)]
    assert module.history.last == {"accuracy": [0.0]}
    assert module.history.before["accuracy"] == [1.0, 0.0, 0.5]
    assert [row["step"] for row in module.held_out_rows] == [2]


@pytest.mark.parametrize(
    ("step", "during", "idle"), [(2, "fit", False), (3, "fit", True), (4, "fit", True), (4, "validate", False)]
)
def test_within_training_only_what_was_asked_for_is_measured(module, validate, step, during, idle):
    """Every second step, but not the last, behind which all items are answered. 3 is where a run was stopped."""
    logged = validate(module, [1.0], step=step, during=during)
    assert module.idle is idle
    assert list(module.history.course) == ([] if idle else [step])
    assert step in logged or idle
    assert len(module.held_out.asked) == len(module.held_out_rows) == (not idle)


def test_a_course_begins_and_ends_with_the_items_in_between(module, validate):
    """A policy that does not change, of whose items the first is validated on in between."""
    assert validate(module, [1.0, 0.0]) == {0: {"val/avg@8": 0.5}}
    course = {"course/accuracy": 1.0}
    assert validate(module, [1.0], step=2, during="fit") == {0: course, 2: course}
    assert validate(module, [1.0], step=4, during="fit") == {}  # after the last step: all of them follow
    module.total_steps = 8
    assert validate(module, [1.0], step=4, during="fit") == {4: course}
    assert validate(module, [1.0, 0.0], step=8) == {8: {"val/avg@8": 0.5} | course}


def test_held_out_items_that_cannot_be_graded_are_refused(module, validate):
    with pytest.raises(ConfigError, match=r"^data\.val has no item that can be graded"):
        validate(module, [], guessable=[[1.0]])


def test_the_optimizers_settings_are_the_configurations_its_memory_is_the_checkpoints():
    first = fit(slope(optimizer=partial(torch.optim.SGD, lr=0.5, momentum=0.5), warmup_steps=4), 1.0, 1.0)
    checkpoint = {"step": 2, "history": History().to_dict()}
    checkpoint["optimizer_states"] = [first.optimizers().state_dict()]
    (saved,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert (saved["lr"], saved["initial_lr"], saved["momentum"]) == (0.25, 0.5, 0.5)
    second = slope(optimizer=partial(torch.optim.SGD, lr=0.125, momentum=0.75, weight_decay=0.25), warmup_steps=4)
    second.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
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
        ({"warmup_steps": -1}, "warmup_steps must not be negative, got -1"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, got 'linear'"),
        ({"grad_clip": 0.0}, "grad_clip must be positive, got 0"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1.0)}, "optimizer must have settings .*learning rate: -1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingError, match=f"^{message}"):
        slope(**settings)


def test_a_checkpoint_brings_back_the_step_and_what_was_measured():
    module, other = slope(), slope()
    module.step = 3
    module.history.add(0, {"accuracy": [1.0, 0.0], "blind": [0.0]})
    module.history.add(2, {"accuracy": [1.0]}, {"accuracy": ["a"]})
    checkpoint = {"loops": "Lightning's own clock, which would disagree", "optimizer_states": []}
    module.on_save_checkpoint(checkpoint)
    assert "loops" not in checkpoint
    other.on_load_checkpoint(checkpoint)
    assert (other.step, other.history) == (3, module.history)


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match=r"model\.train=\[\] leaves nothing to train"):
        slope(policy=nn.Linear(1, 1).requires_grad_(False))


@pytest.mark.parametrize(("device", "copied"), [("cpu", (True, True)), ("cuda", (False, True))])
def test_what_goes_to_an_accelerator_is_not_copied_out_of_a_checkpoint(device, copied):
    """Asked before the module itself has gone there."""
    strategy = SimpleNamespace(root_device=torch.device(device))
    module = SimpleNamespace(trainer=SimpleNamespace(strategy=strategy), device=torch.device("cpu"))
    values = torch.zeros(2, 2), torch.zeros(())
    assert tuple(PolicyModule.stays(module, value) for value in values) == copied
