"""Which attention a model gets, and what is refused by name. What a device is needed for is refused without one."""

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration as Model

from papo.errors import SettingError
from papo.policy import kernels
from papo.policy.kernels import attention_of
from papo.policy.loading import load_policy, save_policy
from papo.policy.sampling import Sampling

SETTINGS = {"dtype": "float32", "chunk_tokens": 100}


@pytest.mark.parametrize("name", [None, "sdpa", "eager"])
def test_what_runs_everywhere(make_policy, image_text_processor, tmp_path, prompts, make_responses, name):
    plain = make_policy()
    save_policy(plain, image_text_processor, tmp_path)
    policy = load_policy(tmp_path, **SETTINGS, attention=name).policy
    for part in (policy.model.model.visual, policy.model.model.language_model):
        assert part.config._attn_implementation == (name or "sdpa")
    responses, scores = make_responses([4] * 5), []
    with torch.no_grad():
        for each in (plain, policy):
            context = each.prefill(prompts, each.encode(prompts.images))
            scores.append(each.score(context, responses).logprobs)
        sampled = policy.sample(context, 2, Sampling(4), range(5))
        again = policy.score(context, sampled).logprobs
    torch.testing.assert_close(scores[1], scores[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(again, sampled.logprobs, rtol=0, atol=1e-4)  # decoding attends in a way of its own


def test_an_unknown_one_is_refused():
    with pytest.raises(SettingError, match=r"attention must be null or one of sdpa, .*, got 'flash'"):
        attention_of("flash", Model)


@pytest.fixture
def on_cuda(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)


@pytest.mark.parametrize("name", ["flash_attention_2", "flex_attention"])
def test_without_a_device_it_is_refused(monkeypatch, name):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingError, match=f"attention must be .* without a CUDA device, got {name}"):
        attention_of(name, Model)


@pytest.mark.usefixtures("on_cuda")
def test_without_its_package_it_is_refused(monkeypatch):
    monkeypatch.setattr(kernels, "is_flash_attn_2_available", lambda: False)
    with pytest.raises(SettingError, match="must be installed here, got flash_attention_2"):
        attention_of("flash_attention_2", Model)


@pytest.mark.usefixtures("on_cuda")
def test_a_model_that_does_not_know_it_is_refused(monkeypatch):
    monkeypatch.setattr(Model, "_supports_flex_attn", False, raising=False)
    with pytest.raises(SettingError, match="must be one that Qwen2_5_VLForConditionalGeneration knows, got flex"):
        attention_of("flex_attention", Model)


@pytest.mark.usefixtures("on_cuda")
def test_flash_attention_is_the_towers_alone(monkeypatch):
    monkeypatch.setattr(kernels, "is_flash_attn_2_available", lambda: True)
    found = attention_of("flash_attention_2", Model)
    assert found == {"": "sdpa", "text_config": "sdpa", "vision_config": "flash_attention_2"}
