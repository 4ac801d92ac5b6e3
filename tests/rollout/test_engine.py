"""The seam to whatever draws responses, by the engine that is the policy itself."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from papo.errors import SettingError, TrainingDiverged
from papo.policy.sampling import Sampling
from papo.rollout import Engine, NativeEngine

SAMPLING = Sampling(max_new_tokens=6, temperature=0.8)


def sampled(engine: Engine, policy, prompts, features=None, group_size=2):
    with torch.no_grad():
        features = policy.encode(prompts.images) if features is None else features
    return engine.sample(prompts, features, group_size, SAMPLING, range(len(prompts)))


def synced(policy, **settings) -> NativeEngine:
    engine = NativeEngine(**settings)
    engine.sync(policy, step=0)
    return engine


def test_responses_are_the_policys(policy, prompts):
    found = sampled(synced(policy), policy, prompts)
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        expected = policy.sample(context, 2, SAMPLING, range(len(prompts)))
    assert torch.equal(found.response_ids, expected.response_ids)
    assert torch.equal(found.logprobs, expected.logprobs)
    assert len(found.response_ids) == 2 * len(prompts)


@pytest.mark.parametrize("at_once", [1, 2, 3, 99])
def test_prompts_in_pieces_have_the_same_responses(policy, prompts, at_once):
    whole = sampled(synced(policy), policy, prompts)
    pieces = sampled(synced(policy, prompts_at_once=at_once), policy, prompts)
    assert torch.equal(pieces.response_ids, whole.response_ids)
    assert torch.equal(pieces.response_mask, whole.response_mask)
    torch.testing.assert_close(pieces.logprobs, whole.logprobs, atol=1e-5, rtol=0)


def test_pieces_are_no_larger_than_was_asked_for(policy, prompts, monkeypatch):
    sizes, prefill = [], policy.prefill
    monkeypatch.setattr(policy, "prefill", lambda part, features: sizes.append(len(part)) or prefill(part, features))
    sampled(synced(policy, prompts_at_once=2), policy, prompts)
    assert sizes == [2, 2, 1]
    with pytest.raises(SettingError, match=r"^prompts_at_once must be null \(all\) or at least 1, got 0$"):
        NativeEngine(prompts_at_once=0)


def test_no_gradient_is_kept(policy, prompts):
    assert not sampled(synced(policy), policy, prompts).logprobs.requires_grad


def test_the_features_are_what_is_looked_at(policy, prompts):
    """Not the images of the prompts: any view can be rolled out."""
    with torch.no_grad():
        features = policy.encode(prompts.images)
    dark = tuple(torch.zeros_like(tokens) for tokens in features)
    seen, unseen = (sampled(synced(policy), policy, prompts, shown).response_ids for shown in (features, dark))
    assert not torch.equal(seen, unseen)
    assert torch.equal(seen[4:6], unseen[4:6])  # the prompt without a picture


def test_a_group_depends_on_its_own_seed_alone(policy, prompts):
    engine = synced(policy)
    with torch.no_grad():
        features = policy.encode(prompts.images)
    whole = engine.sample(prompts, features, 2, SAMPLING, [7, 8, 9, 10, 11])
    alone = engine.sample(prompts.select([3]), features[3:4], 2, SAMPLING, [10])
    mask = alone.response_mask
    assert torch.equal(alone.response_mask, whole.select([6, 7]).response_mask)
    assert torch.equal(alone.response_ids[mask], whole.select([6, 7]).response_ids[mask])


def test_sync_is_what_the_next_responses_are_drawn_with(policy, make_policy, prompts):
    other = make_policy()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter *= 1.2
        features = policy.encode(prompts.images)
    engine = synced(policy)
    before = sampled(engine, policy, prompts, features).logprobs
    engine.sync(other, step=1)
    assert not torch.equal(sampled(engine, policy, prompts, features).logprobs, before)


def test_without_a_sync_there_is_nothing_to_draw_with(policy, prompts):
    with pytest.raises(AssertionError, match="sync comes first"):
        sampled(NativeEngine(), policy, prompts)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(make_policy, prompts, value):
    policy = make_policy()
    with torch.no_grad():
        features = policy.encode(prompts.images)
        policy.model.model.language_model.norm.weight[0] = value
    with pytest.raises(TrainingDiverged, match=r"not finite.*lower optimizer\.lr"):
        sampled(synced(policy), policy, prompts, features)


class Casts(TorchDispatchMode):
    """Counts what becomes bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.count += func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == torch.bfloat16
        return func(*args, **kwargs)


def test_under_autocast_weights_are_cast_once(policy, prompts):
    weights = sum(parameter.ndim > 1 for parameter in policy.family.language_model.parameters())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False), Casts() as casts:
        features, counts = policy.encode(prompts.images), [casts.count]
        responses = sampled(synced(policy), policy, prompts, features)
        counts.append(casts.count)
        expected = policy.sample(policy.prefill(prompts, features), 2, SAMPLING, range(len(prompts)))
        counts.append(casts.count)
    assert torch.equal(responses.response_ids, expected.response_ids)
    once, each_time = counts[1] - counts[0], counts[2] - counts[1]
    assert each_time - once >= (responses.response_mask.shape[1] - 1) * weights


def test_what_was_cast_is_not_what_the_next_roll_out_uses(make_policy, prompts):
    """A step updates and rolls out again in one and the same autocast."""
    policy = make_policy()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = [feature.clone() for feature in policy.encode(prompts.images)]
        before = sampled(synced(policy), policy, prompts, features)
        for parameter in policy.family.language_model.parameters():
            parameter.mul_(1.1)
        after = sampled(synced(policy), policy, prompts, features)
    assert not torch.equal(before.logprobs, after.logprobs)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sampled(synced(policy), policy, prompts, features).logprobs, after.logprobs)
