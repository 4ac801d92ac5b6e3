"""Every precision with every type of weights, optimizer and adapter: it learns as float32 does, or is refused."""

import copy
import dataclasses
import itertools
import warnings
from functools import partial

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from torch.utils.data import DataLoader

from papo.errors import ConfigError
from papo.evaluation.held_out import HeldOut
from papo.policy.sampling import Sampling
from papo.policy.trained import choose_trained
from papo.policy.vlm import Policy
from papo.rollout import NativeEngine
from papo.training.optimizers import StochasticAdamW
from papo.training.precision import PRECISIONS, check_precision, device_of, trainer_precision
from papo.training.sft import SupervisedModule

STEPS = 20
OPTIMIZERS = {"adamw": torch.optim.AdamW, "adamw_bf16": StochasticAdamW}
# Lightning's names, and what they may be abbreviated to.
NAMES = (*PRECISIONS, "16-true", "64-true", "32", "16", "bf16", "64", "transformer-engine", "int8")
DTYPES = ("float32", "bfloat16", "float16")
TABLE = list(itertools.product(NAMES, DTYPES, OPTIMIZERS, (False, True)))


def works(precision: str, dtype: str, optimizer: str, adapter: bool) -> bool:
    """The table, as docs/precision.md has it."""
    if (precision, dtype) in (("32-true", "float32"), ("bf16-mixed", "float32")):
        return True
    if (precision, dtype) == ("bf16-true", "bfloat16"):
        return optimizer == "adamw_bf16" and not adapter
    if (precision, dtype) == ("16-mixed", "float32"):
        return torch.cuda.is_available()
    return (precision, dtype, adapter) == ("bf16-mixed", "bfloat16", True)


WORKING = [row for row in TABLE if works(*row)]


@pytest.fixture(scope="module")
def make_loaded(model):
    """A policy as loading makes it."""

    def make(dtype: str, adapter: bool) -> Policy:
        torch.manual_seed(0)
        weights = copy.deepcopy(model).to(getattr(torch, dtype))
        for name, buffer in model.named_buffers():  # loading leaves these, such as rotary frequencies, in float32
            weights.get_submodule(name.rpartition(".")[0])._buffers[name.rpartition(".")[2]] = buffer.clone()
        policy = Policy(weights)
        choose_trained(policy, ["vision", "projector", "language"], {"r": 4, "alpha": 8} if adapter else None)
        return policy

    return make


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_does_not_work_is_refused_by_name(make_loaded, dtype, adapter):
    policy = make_loaded(dtype, adapter)
    for precision, optimizer in itertools.product(NAMES, OPTIMIZERS):
        check = partial(check_precision, precision, "auto", policy, partial(OPTIMIZERS[optimizer], lr=1e-4))
        if works(precision, dtype, optimizer, adapter):
            check()
            continue
        with pytest.raises(ConfigError) as caught:
            check()
        named = (f"trainer.precision={precision}", f"model.dtype={dtype}", "trainer.precision must be one of")
        assert any(name in str(caught.value) for name in named), (precision, optimizer)


@pytest.fixture(scope="module")
def train(make_loaded, processor, items):
    """STEPS supervised steps on one batch; the losses, and how far each weight went."""
    told = [dataclasses.replace(item, rationale="red = 4") for item in items if item.id in ("text", "small")]

    def train(precision: str, dtype: str, optimizer: str, adapter: bool) -> tuple[list[float], torch.Tensor]:
        policy = make_loaded(dtype, adapter)
        module = Recording(
            policy=policy,
            processor=processor,
            optimizer=partial(OPTIMIZERS[optimizer], lr=1e-4),
            schedule="constant",
            warmup_steps=0,
            total_steps=STEPS + 1,
            grad_clip=1.0,
            max_skipped_updates=5,
            held_out=HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=Sampling(4)),
            engine=NativeEngine(),
            seed=0,
            micro_batch_prompts=2,
        )
        module.losses = []
        trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        before = [parameter.detach().clone().float() for parameter in trained]
        trainer = Trainer(
            accelerator=device_of("auto"),
            max_epochs=1,
            logger=DummyLogger(),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **trainer_precision(precision),
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            batches = [module.collate(told)] * STEPS
            trainer.fit(module, DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch))
        moved = [p.detach().float().cpu() - b for p, b in zip(trained, before, strict=True)]
        return module.losses, torch.cat([tensor.flatten() for tensor in moved])

    return train


class Recording(SupervisedModule):
    def loss(self, batch, denominators):
        loss = super().loss(batch, denominators)
        self.losses.append(float(loss.detach()))
        return loss


@pytest.fixture(scope="module")
def in_float32(train):
    """What each row is compared with."""
    return {adapter: train("32-true", "float32", "adamw", adapter) for adapter in (False, True)}


@pytest.mark.parametrize("row", WORKING, ids=lambda row: "-".join(map(str, row)))
def test_what_works_learns_as_float32_does(train, in_float32, row):
    expected_losses, expected = in_float32[row[-1]]
    losses, moved = train(*row)
    assert losses[-1] < losses[0] - 0.5 * (expected_losses[0] - expected_losses[-1])
    along = float(moved @ expected / expected.square().sum())  # 1 = as far in the same direction
    assert 0.9 < along < 1.1


def test_float16_products_need_cuda(make_policy, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_precision("16-mixed", "auto", make_policy(), torch.optim.AdamW)
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed needs a CUDA device"):
        check_precision("16-mixed", "cpu", make_policy(), torch.optim.AdamW)


@pytest.mark.parametrize(("precision", "accelerator"), [("32-true", "gpu"), ("bf16-mixed", "cpu")])
def test_flash_attention_needs_its_device_and_precision(make_policy, monkeypatch, precision, accelerator):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    policy = make_policy()
    policy.model.config.vision_config._attn_implementation = "flash_attention_2"
    check_precision("bf16-mixed", "gpu", policy, torch.optim.AdamW)
    with pytest.raises(ConfigError, match=r"model\.attention=flash_attention_2 needs"):
        check_precision(precision, accelerator, policy, torch.optim.AdamW)


def test_a_model_of_no_family_may_name_its_tower_otherwise(make_policy):
    policy = make_policy()
    policy.model.config = policy.model.config.get_text_config()
    check_precision("32-true", "cpu", policy, torch.optim.AdamW)


def test_a_part_beside_an_adapter_is_what_bfloat16_is_refused_for(make_loaded):
    """bf16-mixed and an adapter are what this message asked for before, of those who had set both."""
    policy = make_loaded("bfloat16", adapter=False)
    choose_trained(policy, ["language", "projector:full"], {"r": 4, "alpha": 8, "export": "merged"})
    with pytest.raises(ConfigError, match=r"model\.train.*projector:full.*model\.dtype=float32") as caught:
        check_precision("bf16-mixed", "cpu", policy, torch.optim.AdamW)
    assert "with model.lora" not in str(caught.value)


def test_whatever_else_makes_an_optimizer_is_refused_for_bfloat16_weights(make_loaded):
    with pytest.raises(ConfigError, match=r"bf16-true needs optimizer=adamw_bf16"):
        check_precision("bf16-true", "cpu", make_loaded("bfloat16", False), lambda params: torch.optim.AdamW(params))
