"""The step itself, with every family, and the slow way."""

import pytest
import torch
from papo_steps import SAMPLING, fit, weights
from tiny_families import CASES

from papo.evaluation.answering import answer
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor


@pytest.mark.parametrize("family", [*CASES, "gemma3"])
def test_two_steps_and_answers(make_module, saved_family, family_items, family):
    loaded = load_policy(saved_family(family), dtype="float32", chunk_tokens=100)
    processor = PromptProcessor(loaded.processor, "Think.")
    module = make_module(policy=loaded.policy, processor=processor)
    before = weights(module)
    prompts = processor.prompts(family_items)
    fit(module, prompts, prompts)
    moved = {name for name, value in weights(module).items() if not torch.equal(value, before[name])}
    parts = module.policy.family
    for modules in (parts.vision_modules(), parts.projector_modules(), parts.language_modules()):
        own = {id(parameter) for part in modules for parameter in part.parameters()}
        assert any(id(parameter) in own for name, parameter in module.named_parameters() if name in moved)
    assert module.metrics["perception/kl"] > 0
    answered, responses = answer(module.policy, module.engine, processor, prompts, k=2, sampling=SAMPLING, seed=1)
    assert [len(of_item.responses) for of_item in answered] == [2] * len(family_items)
    assert responses.response_mask.any(-1).all()
