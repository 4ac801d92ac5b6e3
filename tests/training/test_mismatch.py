"""The engine's log-probabilities beside the policy's: what is logged of them, and what they weigh."""

import math

import pytest
import torch
from engines import Drifting, drift
from papo_steps import GRPO, PAPO, close, fit, record_updates, same, weights

from papo.errors import SettingError
from papo.objective.branch import OLD

TOKEN = {"cap": 1.2, "level": "token"}


def tags(module) -> set[str]:
    return {tag for tag in module.metrics if tag.startswith("mismatch/")}


@pytest.fixture
def drifted(make_module, prompts):
    """A fit, and the tokens that it was on: log p of `score`, less what the engine said, nats."""

    def drifted(objective=GRPO, **settings):
        module = make_module(objective, **{"engine": Drifting()} | settings)
        updates = record_updates(module)
        fit(module, prompts)
        gaps = [-drift(update.responses)[update.trained].double() for update in updates]
        return module, gaps

    return drifted


@pytest.mark.parametrize("micro_batch_prompts", [5, 2])
def test_what_is_logged(drifted, micro_batch_prompts):
    """By hand, in one micro-batch and in three."""
    module, (gap,) = drifted(micro_batch_prompts=micro_batch_prompts)
    ratio = gap.exp()
    expected = {
        "mismatch/logprob": gap.abs().mean(),
        "mismatch/kl": (ratio - 1 - gap).mean(),
        "mismatch/ess": ratio.sum() ** 2 / (len(gap) * ratio.square().sum()),
    }
    assert tags(module) == expected.keys()
    for tag, value in expected.items():
        assert module.metrics[tag] == pytest.approx(float(value), abs=1e-5), tag
    assert expected["mismatch/ess"] < 0.99


def test_what_is_logged_of_weights(drifted):
    module, (gap,) = drifted(rollout_correction=TOKEN)
    weight = gap.exp().clamp(max=1.2)
    assert module.metrics["mismatch/frac_capped"] == pytest.approx(float((gap.exp() > 1.2).double().mean()))
    assert 0 < module.metrics["mismatch/frac_capped"] < 1
    ess = weight.sum() ** 2 / (len(gap) * weight.square().sum())
    assert module.metrics["mismatch/ess"] == pytest.approx(float(ess), abs=1e-5)


def test_a_response_that_has_one_weight_counts_once(make_module, prompts):
    module = make_module(GRPO, engine=Drifting(), rollout_correction={"cap": 1.1, "level": "sequence"})
    updates = record_updates(module)
    fit(module, prompts)
    (update,) = updates
    ratio = (-drift(update.responses)).sum(-1).exp()[update.trained.any(-1)]
    weight = ratio.clamp(max=1.1)
    ess = weight.sum() ** 2 / (len(weight) * weight.square().sum())
    assert module.metrics["mismatch/ess"] == pytest.approx(float(ess), abs=1e-5)
    assert module.metrics["mismatch/frac_capped"] == pytest.approx(float((ratio > 1.1).float().mean()))


@pytest.mark.parametrize("updates", [1, 2])
def test_the_ratio_is_to_what_score_says(drifted, updates):
    """And not to what the engine says: it starts at 1, whatever drew the responses."""
    module, gaps = drifted(updates_per_rollout=updates)
    assert len(gaps) == updates
    assert module.metrics["policy/ratio_mean"] == pytest.approx(1, abs=1e-3 if updates == 1 else 0.05)
    assert module.metrics["policy/clip_frac_low"] == 0


@pytest.mark.parametrize("updates", [1, 2])
def test_uncorrected_the_mismatch_is_measured_and_left(drifted, make_module, prompts, updates):
    module, _ = drifted(PAPO, updates_per_rollout=updates)
    native = fit(make_module(PAPO, updates_per_rollout=updates), prompts)
    assert same(weights(module), weights(native))
    assert module.metrics.keys() - native.metrics.keys() == tags(module)


def test_weights_change_what_is_learnt(drifted):
    corrected, _ = drifted(rollout_correction=TOKEN)
    plain, _ = drifted()
    assert not close(weights(corrected), weights(plain))


def test_weights_multiply_the_tokens_loss(make_module, prompts):
    """Evidence of a micro-batch: pi_old of `score` over what the engine says, capped, constant."""
    module = make_module(GRPO, engine=Drifting(), rollout_correction=TOKEN)
    updates = record_updates(module)
    fit(module, prompts)
    ((_, micro),) = module.scoring.micro_batches(updates[0])
    evidence = module.scoring.evidence(micro, module.every)
    old, mask = evidence.scores[OLD].logprobs, micro.responses.response_mask
    expected = (old - micro.responses.logprobs).exp().clamp(max=1.2).where(mask, 1.0)
    torch.testing.assert_close(evidence.importance, expected)
    assert not evidence.importance.requires_grad


def test_in_later_updates_the_weights_stay_those_of_the_roll_out(make_module, prompts):
    """pi_old was scored before the first update; pi moves on."""
    module = make_module(
        GRPO,
        engine=Drifting(),
        rollout_correction={"cap": None, "level": "token"},
        updates_per_rollout=2,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    )
    seen, original = [], module.scoring.evidence
    module.scoring.evidence = lambda micro, passes: seen.append((micro, original(micro, passes))) or seen[-1][1]
    fit(module, prompts)
    micro, evidence = seen[-1]
    mask = micro.trained
    torch.testing.assert_close(evidence.importance[mask].log(), -drift(micro.responses)[mask], atol=1e-4, rtol=0)


def test_the_policys_own_responses_in_float32_are_not_weighed(make_module, prompts):
    weighed = fit(make_module(PAPO, rollout_correction=TOKEN), prompts)
    plain = fit(make_module(PAPO), prompts)
    assert tags(weighed) == tags(plain) == set()
    assert same(weights(weighed), weights(plain))


def test_computed_in_bfloat16_they_are(make_module, prompts):
    module = fit(make_module(GRPO), prompts, precision="bf16-mixed")
    assert tags(module) == {"mismatch/logprob", "mismatch/kl", "mismatch/ess"}
    assert 1e-5 < module.metrics["mismatch/logprob"] < 0.1
    assert math.isfinite(module.metrics["mismatch/kl"])


def test_responses_that_are_off_on_purpose_are_left_alone(make_module, prompts):
    module = fit(make_module(GRPO, engine=Drifting(), noisy_rollout_share=1 / 3), prompts)
    assert tags(module) == set()
    with pytest.raises(SettingError, match=r"^rollout_correction must be null where noisy_rollout_share is positive"):
        make_module(GRPO, engine=Drifting(), noisy_rollout_share=1 / 3, rollout_correction=TOKEN)


def test_a_setting_is_named_in_its_place(make_module):
    with pytest.raises(SettingError, match=r"^rollout_correction\.cap must be positive"):
        make_module(GRPO, rollout_correction={"cap": -1.0, "level": "token"})
