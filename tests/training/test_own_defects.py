"""One test per defect of this code that was found by running it; those of the objective, policy and conf are there."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from objectives import having
from papo_steps import GRPO, PAPO, G, fit, marks, same, weights

from papo.errors import SettingError
from papo.objective import Branch
from papo.objective.branch import CURRENT
from papo.seeding import item_seeds, uniform

CORRUPTED = Branch("current", "corrupted")
STILL = partial(torch.optim.SGD, lr=0.0)


def test_the_reference_goes_where_the_module_goes(make_module):
    module = make_module().to("meta")
    assert next(module.reference.head.parameters()).is_meta


def test_a_constant_corrupted_branch_moves_not_even_the_head(make_module, prompts):
    """Every parameter's gradient is that of -gamma KL(pi || sg pi_mask), written out."""
    term = {"coef": 0.5, "estimator": "full", "corrupted_gradient": False, "cap": None}
    module = fit(make_module(having(GRPO, perception=term), optimizer=STILL), prompts.select([0, 1, 3, 4]))
    policy, rollouts = module.policy, module.rollouts
    rollouts = replace(rollouts, advantages=torch.zeros_like(rollouts.advantages))
    denominators = module.objective.denominators(
        rollouts.trained, *(x.to(policy.device) for x in module_outcome(rollouts)), horizon=7
    )
    module.loss(rollouts, denominators)[0].backward()
    got = {name: parameter.grad.clone() for name, parameter in policy.named_parameters() if parameter.grad is not None}
    policy.zero_grad()

    mask = rollouts.responses.response_mask
    states = {}
    for branch in (CURRENT, CORRUPTED):
        view = rollouts.views[branch.view]
        context = policy.prefill(rollouts.prompts, policy.encode(view.images))
        states[branch] = policy.score(context, rollouts.responses, temperature=0.8, keep_states=True).states
    log_p, log_q = ((policy.head(states[branch]) / 0.8).log_softmax(-1) for branch in (CURRENT, CORRUPTED))
    kl = (log_p.exp() * (log_p - log_q.detach())).sum(-1)
    (-0.5 * (kl * mask).sum(-1) / mask.sum(-1)).mean().backward()
    for name, parameter in policy.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def module_outcome(rollouts):
    return rollouts.totals, rollouts.correct, torch.ones(len(rollouts.texts), dtype=torch.bool)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_first_update_loses_no_token_to_the_clip(make_module, prompts, dtype):
    """GSPO's range is 3e-4 wide: what the sampler's own attention path rounds differently fell out of it."""
    narrow = {"ratio": "sequence", "clip_low": 3e-4, "clip_high": 4e-4}
    module = make_module(having(GRPO, surrogate=narrow))
    module.policy.to(dtype)
    fit(module, prompts)
    assert module.metrics["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-6)  # but for the sum of the weights
    assert module.metrics["policy/clip_frac_low"] == module.metrics["policy/clip_frac_high"] == 0.0


def test_the_old_policy_is_scored_in_the_batches_of_the_updates(make_module, prompts, monkeypatch):
    """In bfloat16 a batch of others rounds differently, by more than GSPO's range: 7 to 21 % of the lab's responses."""
    module = make_module(GRPO, updates_per_rollout=2, micro_batch_prompts=2)
    batches, original = [], module.policy.prefill
    monkeypatch.setattr(
        module.policy, "prefill", lambda p, f: batches.append([item.id for item in p.items]) or original(p, f)
    )
    fit(module, prompts)
    _, *scored = batches
    assert len(scored) == 6  # of 2 and 3 prompts, twice
    assert scored[:3] == scored[3:]


def test_dropout_is_off_in_every_pass(make_module, prompts):
    module = make_module(GRPO, updates_per_rollout=2, optimizer=STILL)
    for part in module.policy.modules():
        if hasattr(part, "attention_dropout"):
            part.attention_dropout = 0.5
    module.train()
    fit(module, prompts)
    assert module.metrics["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-5)


def test_an_item_that_comes_twice_is_drawn_twice(make_module, prompts):
    twice = prompts.select([0, 1, 0])
    texts = fit(make_module(GRPO), twice).rollouts.texts
    assert texts[:G] != texts[2 * G :]
    views = fit(make_module(PAPO), twice).rollouts.views["corrupted"].images
    assert not torch.equal(views.select([0]).pixel_values, views.select([2]).pixel_values)
    assert item_seeds("a", 0, 1, twice)[:2] == item_seeds("a", 0, 1, prompts)[:2]


def test_every_bit_of_a_seed_counts():
    assert not torch.equal(uniform(5, 8), uniform(5 + 2**32, 8))
    assert not torch.equal(uniform(5, 8), uniform(5 + 2**62, 8))
    draws = uniform(7, 2000)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert draws.mean().item() == pytest.approx(0.5, abs=0.03)


def test_items_that_cannot_be_graded_train_no_term(make_module, prompts):
    module = make_module(PAPO, reward=lambda item, text: replace(marks(item, text), scorable=False))
    before = weights(module)
    fit(module, prompts)
    assert same(weights(module), before)
    assert module.metrics["policy/skipped_steps"] == 1.0
    assert "policy/grad_norm" not in module.metrics


def test_beside_an_item_that_cannot_be_graded_the_others_train_as_alone(make_module, prompts):
    """Down to every term: it is as if it were not there."""

    def ungraded(item, text):
        return replace(marks(item, text), scorable=item.id != "wide")

    beside, alone = make_module(PAPO, reward=ungraded), make_module(PAPO, reward=ungraded)
    fit(beside, prompts)
    fit(alone, prompts.select([0, 2, 3, 4]))
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(beside)[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_noisy_share_that_gives_none_or_all_is_refused(make_module, share):
    with pytest.raises(SettingError, match=rf"^noisy_rollout_share must .* 1 to {G - 1} of a group's {G}.*got {share}"):
        make_module(GRPO, noisy_rollout_share=share)
