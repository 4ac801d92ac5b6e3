"""Sampling and grading held-out answers."""

import dataclasses

import pytest
import torch

from papo.evaluation.answering import answer, blinded, graded
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine

K = 3


@pytest.fixture(scope="module")
def engine(policy):
    engine = NativeEngine()
    engine.sync(policy, 0)
    return engine


@pytest.fixture(scope="module")
def ask(policy, engine, processor):
    def ask(items, *, seed=5, sampling=None):
        sampling = sampling or Sampling(6)
        return answer(policy, engine, processor, processor.prompts(items), k=K, sampling=sampling, seed=seed)[0]

    return ask


def test_every_item_is_answered_k_times(ask, items):
    answers = ask(items)
    assert [answered.item.id for answered in answers] == [item.id for item in items]
    assert all(len(answered.responses) == len(answered.grades) == K for answered in answers)
    assert all(len(set(answered.responses)) > 1 for answered in answers)


def test_answers_depend_on_the_seed_and_the_item_alone(ask, items):
    together = {answered.item.id: answered.responses for answered in ask(items)}
    apart = {answered.item.id: answered.responses for n in (3, 1, 0, 4, 2) for answered in ask([items[n]])}
    assert apart == together
    other = {answered.item.id: answered.responses for answered in ask(items, seed=6)}
    assert all(other[id] != together[id] for id in together)


def test_items_do_not_share_their_luck(ask, items):
    """The same question twice, under two names."""
    first, second = ask([items[0], dataclasses.replace(items[0], id="twin")])
    assert first.responses != second.responses


def test_greedy_answers_are_all_the_same(ask, items):
    for answered in ask(items, sampling=Sampling(6, temperature=0)):
        assert len(set(answered.responses)) == 1


def test_answers_come_as_tokens(policy, engine, processor, items):
    """Which the policy scores as it did when it drew them."""
    prompts = processor.prompts(items)
    answers, responses = answer(policy, engine, processor, prompts, k=K, sampling=Sampling(6), seed=5)
    with torch.no_grad():
        scores = policy.score(policy.prefill(prompts, policy.encode(prompts.images)), responses)
    torch.testing.assert_close(scores.logprobs, responses.logprobs, atol=1e-5, rtol=0)
    assert processor.decode(responses) == [text for answered in answers for text in answered.responses]


def test_responses_are_graded_against_their_item(item):
    answered = graded(item("id", "red?"), ["so \\boxed{11}", "so \\boxed{12}", "11", "\\boxed{011}"])
    assert [grade.correct for grade in answered.grades] == [True, False, False, True]
    assert answered.accuracy == 0.5
    assert answered.scorable


def test_an_item_that_cannot_be_graded_does_not_count(item):
    broken = graded(dataclasses.replace(item("id", "red?"), answer="many"), ["so \\boxed{11}"])
    assert not broken.scorable
    assert broken.accuracy == 0


def test_blinded_prompts_are_the_same_with_black_images(processor, items):
    prompts = processor.prompts(items)
    blind = blinded(prompts)
    assert torch.equal(blind.prompt_ids, prompts.prompt_ids)
    assert torch.equal(blind.images.grid, prompts.images.grid)
    for i in range(len(prompts.images.grid)):
        assert prompts.images.pixels(i).mean() > 0.3
        assert blind.images.pixels(i).max() < 1e-6
