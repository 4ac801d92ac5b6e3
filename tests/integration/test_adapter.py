"""A run that trains an adapter: resumed, exported, evaluated."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

SETTINGS = [
    "experiment=papo_qwen",
    "seed=3",
    "algorithm.schedule=constant",
    "model.train=[language]",
    "model.lora={r: 2, alpha: 4, targets: [q_proj, v_proj], export: both}",
    "model.gradient_checkpointing=true",
]


@pytest.fixture(scope="module")
def adapted(train):
    return train(*SETTINGS, "trainer.max_steps=3")


def test_a_resumed_run_is_an_unbroken_one(train, adapted):
    run = train(*SETTINGS, "trainer.max_steps=1")
    train(*SETTINGS, "trainer.max_steps=3", f"ckpt_path={run.path / 'checkpoints' / 'last.ckpt'}", path=run.path)
    assert run.weights == adapted.weights
    assert run.rollouts == adapted.rollouts


def test_the_base_stays_and_the_merged_model_differs_where_the_adapter_is(adapted, tiny_model):
    base = AutoModelForImageTextToText.from_pretrained(tiny_model).state_dict()
    merged = AutoModelForImageTextToText.from_pretrained(adapted.path / "model").state_dict()
    moved = {name for name, tensor in merged.items() if not torch.equal(tensor, base[name])}
    assert moved == {
        f"model.language_model.layers.{layer}.self_attn.{name}.weight"
        for layer in (0, 1)
        for name in ("q_proj", "v_proj")
    }
    saved = torch.load(adapted.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in base.items():
        found = saved.get(f"policy.model.{name}", saved.get(f"policy.model.{name[:-7]}.base_layer.weight"))
        if found is not None:
            assert torch.equal(found, tensor), name
    assert len(load_file(adapted.path / "model" / "adapter" / "adapter_model.safetensors")) == 8


def test_a_run_that_left_its_adapter_alone_is_a_model_path(train, command, tmp_path):
    run = train(*SETTINGS, "model.lora.export=adapter", "trainer.max_steps=1")
    assert not (run.path / "model" / "model.safetensors").exists()
    sizes = ["k=1", "views=[image]", "rollout.max_new_tokens=8", "benchmarks.lab.size=3", "report.first_items=0"]
    finished = command("evaluate.py", f"model.path={run.path}", *sizes, f"hydra.run.dir={tmp_path / 'evaluation'}")
    assert finished.status == 0, finished.err
