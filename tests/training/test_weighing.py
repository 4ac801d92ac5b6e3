"""Advantages by 1 - blind accuracy: of the items, or of the current policy."""

from dataclasses import replace

import pytest
import torch
from papo_steps import GRPO, SAMPLING, G, fit, marks, same, weights

from papo.errors import ConfigError, SettingError
from papo.rewards.grading import Grade, Verdict
from papo.rollout import NativeEngine
from papo.training.weighing import BLIND_RESPONSES, Weighing
from papo.types import PromptBatch, RewardResult, Rollouts

ADVANTAGES = [1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25, 1.0, -1.0]  # two responses to each of five prompts
BLIND = [0.0, 0.5, 1.0, 0.75, 0.25]


def knowing(prompts: PromptBatch, blind) -> PromptBatch:
    items = [replace(item, guessability=b) for item, b in zip(prompts.items, blind, strict=True)]
    return replace(prompts, items=tuple(items))


@pytest.fixture
def rollouts(prompts, make_responses) -> Rollouts:
    rewards = (RewardResult(1.0, {"accuracy": 1.0}, None, True),) * 10
    made = Rollouts(knowing(prompts, BLIND), make_responses([3] * 10), ("",) * 10, rewards)
    return replace(made, advantages=torch.tensor(ADVANTAGES))


def weighing(by, policy=None, processor=None) -> Weighing:
    engine = NativeEngine()
    engine.sync(policy, 0)
    return Weighing(by, policy, engine, processor, SAMPLING, 3)


def ungraded(rollouts: Rollouts, *prompts: int) -> Rollouts:
    rows = rollouts.rows(prompts)
    rewards = [replace(result, scorable=row not in rows) for row, result in enumerate(rollouts.rewards)]
    return replace(rollouts, rewards=tuple(rewards))


def test_weights_by_hand(rollouts):
    """1 - b is 1, 0.5, 0, 0.25, 0.75 and its mean 0.5."""
    weighed, metrics = weighing("item")(rollouts, 0)
    expected = [2.0, -2.0, 0.5, -0.5, 0.0, 0.0, 0.125, -0.125, 1.5, -1.5]
    assert weighed.advantages.tolist() == expected
    assert metrics == {"guessability/mean": 0.5}
    assert rollouts.advantages.tolist() == ADVANTAGES
    assert weighed.advantages.dtype == torch.float32


def test_what_cannot_be_graded_is_not_in_the_mean(rollouts):
    """Without the first, the mean of 1 - b is 0.375."""
    weighed, metrics = weighing("item")(ungraded(rollouts, 0), 0)
    torch.testing.assert_close(weighed.advantages[2:4], torch.tensor([0.5, -0.5]) * 0.5 / 0.375)
    assert metrics == {"guessability/mean": 0.625}
    unweighed, metrics = weighing("item")(ungraded(rollouts, *range(5)), 0)
    assert (unweighed.advantages.tolist(), metrics) == (ADVANTAGES, {})


def test_where_all_is_guessed_all_weighs_the_same(rollouts):
    weighed, metrics = weighing("item")(replace(rollouts, prompts=knowing(rollouts.prompts, [1.0] * 5)), 0)
    assert (weighed.advantages.tolist(), metrics) == (ADVANTAGES, {"guessability/mean": 1.0})


def test_off_it_does_nothing(rollouts, prompts):
    unknown = replace(rollouts, prompts=prompts)
    weighed, metrics = weighing(False)(unknown, 0)
    assert weighed is unknown
    assert metrics == {}
    weighing(False).check(prompts.items)


def test_an_item_whose_blind_accuracy_is_not_known_is_told(rollouts, prompts):
    message = r"^algorithm\.weigh_by_guessability=item .* of wide is not known; give it with data\.guessability=FILE"
    items = knowing(prompts, [0.5, None, 0.5, 0.5, 0.5])
    with pytest.raises(ConfigError, match=message):
        weighing("item").check(items.items)
    with pytest.raises(ConfigError, match=message):
        weighing("item")(replace(rollouts, prompts=items), 0)
    weighing("rollout").check(items.items)


@pytest.mark.parametrize("by", [True, "prompt", None])
def test_there_are_two_ways(by):
    with pytest.raises(SettingError, match=r"^by must be one of false, item, rollout, got"):
        weighing(by)


# ------------------------------------------------------------------------------------------------- the current policy's


@pytest.fixture
def graded(monkeypatch):
    """Responses of an even number of characters are right; which items were graded, in order."""
    found = []

    def grade(item, response):
        found.append((item.id, response))
        right = len(response) % 2 == 0
        return Grade(Verdict.CORRECT if right else Verdict.WRONG, response, "")

    monkeypatch.setattr("papo.evaluation.answering.grade", grade)
    return found


def test_a_rollout_weighs_by_what_the_policy_answers_blind(rollouts, prompts, policy, processor, graded, monkeypatch):
    encoded, encode = [], policy.encode
    monkeypatch.setattr(policy, "encode", lambda images: encoded.append(images) or encode(images))
    weighed, metrics = weighing("rollout", policy, processor)(replace(rollouts, prompts=prompts), 7)
    assert [id for id, _ in graded] == [item.id for item in prompts.items for _ in range(BLIND_RESPONSES)]
    (images,) = encoded
    assert all(len(set(images.pixels(i).flatten().tolist())) <= 3 for i in range(len(images.grid)))  # black
    right = torch.tensor([len(text) % 2 == 0 for _, text in graded]).float().view(-1, BLIND_RESPONSES).mean(-1)
    assert 0 < right.mean() < 1
    assert metrics == {"guessability/mean": pytest.approx(right.mean().item())}
    expected = torch.tensor(ADVANTAGES) * ((1 - right) / (1 - right).mean()).repeat_interleave(2)
    torch.testing.assert_close(weighed.advantages, expected)


def test_blind_responses_follow_seed_and_step(rollouts, policy, processor, graded):
    def texts(step):
        graded.clear()
        weighing("rollout", policy, processor)(rollouts, step)
        return list(graded)

    assert texts(1) == texts(1) != texts(2)


# -------------------------------------------------------------------------------------------------------------- a step


def test_the_mean_is_that_of_the_whole_step(make_module, prompts):
    """However a step is divided among updates and micro-batches."""
    known = knowing(prompts, BLIND)
    whole = fit(make_module(GRPO, weigh_by_guessability="item"), known)
    parts = fit(make_module(GRPO, weigh_by_guessability="item", micro_batch_prompts=1), known)
    found = whole.rollouts.advantages
    assert torch.equal(found, parts.rollouts.advantages)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    plain = fit(make_module(GRPO), known)
    scale = (1 - torch.tensor(BLIND)) / 0.5
    torch.testing.assert_close(found, plain.rollouts.advantages * scale.repeat_interleave(G))
    assert not same(weights(whole), weights(plain))
    assert whole.metrics["guessability/mean"] == 0.5
    assert "guessability/mean" not in plain.metrics


def test_refilled_groups_are_in_the_mean(make_module, prompts, items):
    def reward(item, text):
        return replace(marks(item, text), **({} if item.id.startswith("square") else {"total": 1.0}))

    module = make_module(GRPO, weigh_by_guessability="item", max_refills=3, reward=reward)
    module.refill_items = lambda n: [replace(item, id=f"{item.id}-{n}", guessability=0.75) for item in items]
    fit(module, knowing(prompts, BLIND))
    blind = torch.tensor([item.guessability for item in module.rollouts.prompts.items])
    assert 0.75 in [item.guessability for item in module.rollouts.prompts.items if "-" in item.id]
    assert module.metrics["guessability/mean"] == pytest.approx(blind.mean().item())


def test_data_without_blind_accuracies_is_refused_before_the_run(make_module, items):
    with pytest.raises(ConfigError, match="weigh_by_guessability=item"):
        make_module(weigh_by_guessability="item").check_data(iter(items))
    make_module().check_data(iter(items))
