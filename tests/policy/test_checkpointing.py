"""Recomputing blocks changes memory only, with the shared prompt in place."""

import copy

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from papo.lab.model import build_model
from papo.policy.checkpointing import Recomputed, recompute
from papo.policy.loading import load_policy, save_policy
from papo.policy.vlm import Policy

LENGTHS = [5, 1, 8, 3, 3, 2, 7, 1, 4, 8, 6, 1, 2, 8, 5]


@pytest.fixture
def make_pair(make_policy):
    """The same policy without and with recomputed blocks."""

    def make(**settings) -> tuple[Policy, Policy]:
        plain = make_policy(**settings)
        recomputing = copy.deepcopy(plain)
        recompute([*recomputing.family.vision_blocks(), *recomputing.family.language_layers()])
        return plain, recomputing

    return make


def update(policy, prompts, responses) -> None:
    scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(scores.logprobs.shape, generator=generator)
    (scores.logprobs * weights + scores.entropy * weights.flip(0)).sum().backward()


@pytest.mark.parametrize(
    ("settings", "shared_from"),
    [
        ({}, 10**9),
        ({}, 1),  # the prompt stays in one place: the way to attend, too, is made again
        ({"train": ["language"]}, 10**9),
        ({"train": ["vision:1", "language:1"]}, 1),
        ({"lora": {"r": 2, "alpha": 4}}, 10**9),
    ],
)
def test_the_same_gradient(make_pair, prompts, make_responses, monkeypatch, settings, shared_from):
    monkeypatch.setattr("papo.policy.vlm.BUCKET_ROWS", 4)  # several buckets continue one prompt
    monkeypatch.setattr("papo.policy.group_attention.SHARED_FROM", shared_from)
    plain, recomputing = make_pair(**settings)
    responses = make_responses(LENGTHS, width=9)
    for policy in (plain, recomputing):
        update(policy, prompts, responses)
    for (name, a), b in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None) == (not a.requires_grad), name
        if a.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=0, atol=1e-5, msg=name)


def test_every_block_runs_twice_and_only_with_gradient(make_pair, prompts, make_responses):
    _, policy = make_pair()
    runs = []
    for block in (policy.family.vision_blocks()[0], policy.family.language_layers()[0]):
        inner = block.forward.forward
        block.forward.forward = lambda *args, inner=inner, **kwargs: runs.append(1) or inner(*args, **kwargs)
    with torch.no_grad():
        policy.score(policy.prefill(prompts, policy.encode(prompts.images)), make_responses([2] * 5))
    assert len(runs) == 3  # tower, prompts, responses
    update(policy, prompts, make_responses([2] * 5))
    assert len(runs) == 3 + 2 * 3


def test_running_a_layer_again_adds_nothing_to_the_prompt(make_pair, prompts):
    _, policy = make_pair()
    context = policy.prefill(prompts, policy.encode(prompts.images))
    before = list(context.layers)
    context.hidden.sum().backward()
    assert len(context.layers) == len(policy.family.language_layers())
    assert all(a is b for a, b in zip(context.layers, before, strict=True))


def test_a_copy_runs_its_own_blocks(make_pair, prompts, make_responses):
    """The reference is a copy: its blocks may not be those of the policy."""
    _, policy = make_pair()
    other = copy.deepcopy(policy)
    layers = zip(policy.family.language_layers(), other.family.language_layers(), strict=True)
    assert all(b.forward.forward.__self__ is b is not a for a, b in layers)


def peak_bytes(run) -> int:
    """Most bytes of tensors that exist at one time while `run` runs."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


@pytest.mark.integration  # it measures memory
def test_the_peak_of_an_update_is_less_than_half(image_text_processor, prompts, make_responses):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "heads": 4, "intermediate_size": 48}
    vision = {f"vision_{name}": size for name, size in sizes.items()}
    model = build_model(
        image_text_processor.tokenizer, layers=12, key_value_heads=2, vision_layers=12, **sizes, **vision
    )
    plain = Policy(model, chunk_tokens=128)
    recomputing = copy.deepcopy(plain)
    recompute([*recomputing.family.vision_blocks(), *recomputing.family.language_layers()])
    responses = make_responses([48] * 40)
    peaks = [peak_bytes(lambda policy=policy: update(policy, prompts, responses)) for policy in (plain, recomputing)]
    assert peaks[0] > 2 * peaks[1], peaks


def test_loading_asks_for_it(make_policy, image_text_processor, tmp_path):
    save_policy(make_policy(), image_text_processor, tmp_path)
    settings = {"dtype": "float32", "chunk_tokens": 100}
    for wanted in (False, True):
        family = load_policy(tmp_path, **settings, gradient_checkpointing=wanted).policy.family
        for block in (*family.vision_blocks(), *family.language_layers()):
            assert isinstance(block.forward, Recomputed) is wanted
