"""An adapter: what it changes, what it leaves, and the folders it is saved in."""

import copy

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText

from papo.policy.loading import load_policy, save_policy
from papo.policy.lora import adapter_off, is_adapter, trains_adapter_alone
from papo.policy.vlm import Policy

SETTINGS = {"dtype": "float32", "chunk_tokens": 100}
LORA = {"r": 3, "alpha": 6}


@pytest.fixture(scope="module")
def base(tmp_path_factory, policy, image_text_processor):
    folder = tmp_path_factory.mktemp("base") / "model"
    save_policy(policy, image_text_processor, folder)
    return folder


@pytest.fixture(scope="module")
def responses(make_responses):
    return make_responses([4, 1, 6, 3, 2])


def logprobs(policy, prompts, responses):
    return policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses).logprobs


def train_two_steps(policy, prompts, responses) -> Policy:
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.02)
    for _ in range(2):
        (-logprobs(policy, prompts, responses).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return policy


def test_it_starts_as_no_change(make_policy, policy, prompts, responses):
    with torch.no_grad():
        adapted = make_policy(lora=LORA)
        assert torch.equal(logprobs(adapted, prompts, responses), logprobs(policy, prompts, responses))


@pytest.mark.parametrize("train", [["language"], ["vision", "projector"], ["vision", "projector", "language"]])
def test_training_moves_the_adapter_and_nothing_else(make_policy, prompts, responses, train):
    policy = make_policy(train=train, lora=LORA)
    assert trains_adapter_alone(policy)
    assert policy.train_vision == ("vision" in train)
    before = copy.deepcopy(policy.state_dict())
    with torch.no_grad():
        untrained = logprobs(policy, prompts, responses)
    train_two_steps(policy, prompts, responses)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, before[name]) != is_adapter(name), name
    with torch.no_grad():
        assert (logprobs(policy, prompts, responses) - untrained).abs().max() > 1e-3
        with adapter_off(policy):
            assert torch.equal(logprobs(policy, prompts, responses), untrained)
    assert trains_adapter_alone(policy)  # switched on again, gradient and all


def test_the_output_layer_has_none(make_policy):
    policy = make_policy(lora=LORA)
    assert type(policy.model.lm_head).__name__.endswith("Linear")
    assert not hasattr(policy.model.lm_head, "lora_A")
    adapted = {name for name, module in policy.model.named_modules() if hasattr(module, "lora_A")}
    assert any("merger.mlp.0" in name for name in adapted)
    assert any("blocks.0.attn.qkv" in name for name in adapted)
    assert any("layers.0.mlp.down_proj" in name for name in adapted)


def test_low_precision_weights_get_a_float32_adapter(base, prompts, responses):
    policy = load_policy(base, **SETTINGS | {"dtype": "bfloat16"}, lora=LORA).policy
    dtypes = {(is_adapter(name), parameter.dtype) for name, parameter in policy.named_parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    assert logprobs(train_two_steps(policy, prompts, responses), prompts, responses).isfinite().all()


@pytest.mark.parametrize("export", ["adapter", "merged", "both"])
def test_export(base, tmp_path, prompts, responses, export):
    """Whatever is exported, transformers, peft and papo load it and say the same."""
    loaded = load_policy(base, **SETTINGS, lora=LORA | {"export": export})
    policy = train_two_steps(loaded.policy, prompts, responses)
    save_policy(policy, loaded.processor, tmp_path / "run" / "model")
    folder = tmp_path / "run" / "model"
    with torch.no_grad():
        expected = logprobs(policy, prompts, responses)
        again = load_policy(tmp_path / "run", **SETTINGS)
        assert again.source == str(folder)
        torch.testing.assert_close(logprobs(again.policy, prompts, responses), expected, rtol=0, atol=1e-5)
        models = []
        if export != "adapter":
            models.append(AutoModelForImageTextToText.from_pretrained(folder))
            assert not list(folder.glob("adapter_*"))
        if export != "merged":
            plain = AutoModelForImageTextToText.from_pretrained(base)
            models.append(
                PeftModel.from_pretrained(plain, folder if export == "adapter" else folder / "adapter").get_base_model()
            )
        for model in models:
            torch.testing.assert_close(logprobs(Policy(model), prompts, responses), expected, rtol=0, atol=1e-5)
    assert not again.policy.lora
    assert list(folder.glob("model*.safetensors")) == ([] if export == "adapter" else [folder / "model.safetensors"])
