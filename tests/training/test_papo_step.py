"""One training step from roll-out to update, on the tiny policy, inside a real Trainer."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from papo_steps import (
    GRPO,
    PAPO,
    SAMPLING,
    G,
    close,
    count_tower_passes,
    fit,
    having,
    marks,
    record_scores,
    record_updates,
    reference_of,
    same,
    weights,
)

from papo.corruption import RandomPatchMask
from papo.errors import SettingError, TrainingDiverged
from papo.objective import Branch, Evidence, group_advantages
from papo.objective.branch import CURRENT, OLD, REFERENCE
from papo.policy.sampling import Sampling
from papo.rewards.reward import Reward
from papo.seeding import derive_seed, item_seeds
from papo.training.shares import split_evenly
from papo.types import Rollouts

CORRUPTED = Branch("current", "corrupted")

# ------------------------------------------------------------------------------------------------------------ update


def update_by_hand(module, objective, prompts):
    """The step again from `module`'s untrained policy: the whole batch at once, every term from its definition."""
    policy = copy.deepcopy(module.policy)
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        seeds = [derive_seed("rollout", 3, 0, item.id) for item in prompts.items]
        responses = policy.sample(context, G, SAMPLING, seeds)
    texts = module.processor.decode(responses)
    rewards = tuple(marks(None, text) for text in texts)
    advantages = group_advantages(torch.tensor([reward.total for reward in rewards]), G)
    # In the module's order: sums in another one would differ in their last bit.
    ((order, _),) = module.scoring.micro_batches(Rollouts(prompts, responses, tuple(texts), rewards))
    rows = [n * G + g for n in order for g in range(G)]
    prompts, responses, advantages = prompts.select(order), responses.select(rows), advantages[rows]

    def score(images):
        return policy.score(policy.prefill(prompts, policy.encode(images)), responses, temperature=0.8)

    scores = {CURRENT: score(prompts.images)}
    scores[OLD] = scores[CURRENT].detach()  # the same policy, in the only update of the step
    terms = objective.terms
    if terms["reference"].coef:
        scores[REFERENCE] = scores[CURRENT].detach()  # not moved yet
    if terms["perception"].coef or terms["entropy"].corrupted_coef:
        seeds = [derive_seed("corrupted", 3, 0, item.id) for item in prompts.items]
        scores[CORRUPTED] = score(RandomPatchMask(0.6)(prompts.images, seeds))
    mask, totals = responses.response_mask, torch.tensor([rewards[row].total for row in rows])
    pictured = torch.tensor([bool(item.images) for item in prompts.items for _ in range(G)])
    outcome = (totals, totals == 1, pictured)
    evidence = Evidence(scores, advantages, mask, *outcome)
    loss, _ = objective(evidence, objective.denominators(mask, *outcome, horizon=7))
    loss.backward()
    torch.optim.SGD(policy.parameters(), lr=1e-3).step()
    return {f"policy.{name}": parameter.detach() for name, parameter in policy.named_parameters()}


@pytest.mark.parametrize("train_vision", [True, False])
def test_the_update_is_the_one_by_hand(make_module, prompts, train_vision):
    module = make_module(train_vision=train_vision)
    expected = update_by_hand(module, PAPO, prompts)
    before = weights(module)
    fit(module, prompts)
    assert close(weights(module), expected, 1e-6)
    moved = {name for name, value in weights(module).items() if not torch.equal(value, before[name])}
    assert any("language_model" in name for name in moved)
    assert any("visual" in name for name in moved) == train_vision


@pytest.mark.parametrize(("train_vision", "aggregation"), [(True, "seq-mean-token-mean"), (False, "token-mean")])
def test_micro_batches_change_memory_only(make_module, prompts, train_vision, aggregation):
    """Two updates of a step, so that the second one sees ratios, a reference and clipping away from 1."""
    objective = having(PAPO, aggregation)
    results = [
        fit(make_module(objective, train_vision=train_vision, micro_batch_prompts=size, updates_per_rollout=2), prompts)
        for size in (5, 3, 2, 1)
    ]
    lengths = results[0].rollouts.responses.response_mask.sum(-1)
    assert len(lengths.unique()) > 3
    for other in results[1:]:
        assert close(weights(other), weights(results[0]))
        for name in ("loss/total", "perception/kl", "policy/ref_kl", "policy/grad_norm", "policy/entropy"):
            assert other.metrics[name] == pytest.approx(results[0].metrics[name], rel=1e-3, abs=1e-6), name
    assert results[0].metrics["policy/ref_kl"] > 1e-6


def test_coefficients_of_zero_are_grpo_bit_for_bit(make_module, prompts):
    """And cost what GRPO costs: no corrupted image, no second pass, no reference."""
    module = make_module(GRPO, corruption=None)
    expected = update_by_hand(module, GRPO, prompts)
    passes, scores, updates = count_tower_passes(module.policy), record_scores(module.policy), record_updates(module)
    fit(module, prompts)
    assert same(weights(module), expected)
    assert passes == [sum(prompts.images.patches())] * 2  # roll-out and update
    assert len(scores) == 1
    assert module.reference is None
    assert module.rollouts.views.keys() == {"clean"}
    assert updates[0].scores == {}
    assert not any(name.startswith("perception/") for name in module.metrics)


@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("perception", "coef"),
        ("entropy", "coef"),
        ("entropy", "corrupted_coef"),
        ("entropy_hinge", "coef"),
        ("robustness", "coef"),
    ],
)
def test_each_coefficient_moves_the_parameters(make_module, prompts, term, name):
    base = fit(make_module(GRPO), prompts)
    other = fit(make_module(having(GRPO, **{term: {name: 0.1}})), prompts)
    assert not close(weights(other), weights(base), 1e-7)


def test_updates_divide_the_prompts(make_module, prompts, monkeypatch):
    module = make_module(updates_per_rollout=2)
    seen = []
    original = module.update
    monkeypatch.setattr(module, "update", lambda part: seen.append(part.prompts.items) or original(part))
    fit(module, prompts)
    assert seen == [prompts.items[:2], prompts.items[2:]]


def test_gradient_is_clipped_to_its_norm(make_module, prompts):
    module = make_module(grad_clip=0.01, optimizer=partial(torch.optim.SGD, lr=1.0))
    before = weights(module)
    fit(module, prompts)
    after = weights(module)
    step = torch.stack([(after[name] - before[name]).norm() for name in before]).norm().item()
    assert step == pytest.approx(0.01, rel=1e-3)
    assert module.metrics["policy/grad_norm"] > 0.1  # reported as it was


def test_gradient_does_not_outlive_its_update(make_module, prompts):
    module = fit(make_module(), prompts)
    assert all(parameter.grad is None for parameter in module.parameters())


# --------------------------------------------------------------------------------------------------- corrupted branch


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"perception": {"corrupted_gradient": True}, "entropy": {"corrupted_coef": 0.0}}, True),
        ({"perception": {"corrupted_gradient": False}, "entropy": {"corrupted_coef": 0.0}}, False),
        ({"perception": {"corrupted_gradient": False}}, True),  # its entropy is trained
    ],
)
def test_gradient_reaches_the_corrupted_branch_exactly_when_configured(make_module, prompts, settings, expected):
    module = make_module(having(PAPO, **settings))
    scores = record_scores(module.policy)
    fit(module, prompts)
    current, corrupted = scores
    assert current.logprobs.requires_grad
    assert corrupted.logprobs.requires_grad is expected
    ((_, micro),) = module.scoring.micro_batches(module.rollouts)
    pictured = current.logprobs[micro.rows(micro.prompts.pictured)]  # the others are not scored again
    assert (pictured - corrupted.logprobs).abs().max() > 0.1


def test_corrupted_gradient_moves_the_parameters(make_module, prompts):
    objective = having(PAPO, entropy={"corrupted_coef": 0.0})
    one = fit(make_module(objective), prompts)
    other = fit(make_module(having(objective, perception={"corrupted_gradient": False})), prompts)
    assert not close(weights(one), weights(other), 1e-7)


@pytest.mark.parametrize("train_vision", [True, False])
def test_an_uncorrupted_image_gives_exactly_zero_perception(make_module, prompts, train_vision):
    module = fit(make_module(train_vision=train_vision, corruption=RandomPatchMask(0.0)), prompts)
    assert module.metrics["perception/kl"] == 0.0
    assert fit(make_module(train_vision=train_vision), prompts).metrics["perception/kl"] > 0.01


def test_a_batch_without_images(make_module, prompts):
    module = fit(make_module(), prompts.select([2]))
    assert module.metrics["loss/perception"] == 0.0
    assert "perception/kl" not in module.metrics  # there is nothing to measure
    assert module.metrics["policy/skipped_updates"] == 0.0
    assert module.metrics["policy/learning_rate"] == module.optimizers().param_groups[0]["lr"] > 0


def test_a_micro_batch_without_images_where_only_what_sees_them_is_trained(make_module, make_policy, prompts):
    """It has no gradient; those of the others stay."""
    assert len(prompts.pictured) < len(prompts)
    one, other = (
        fit(make_module(policy=make_policy(train=["vision"]), micro_batch_prompts=size), prompts) for size in (1, 5)
    )
    assert one.metrics["policy/grad_norm"] == pytest.approx(other.metrics["policy/grad_norm"], rel=1e-3) != 0
    assert close(weights(one), weights(other))


def test_a_frozen_tower_encodes_each_image_once_a_step(make_module, prompts):
    """Original and corrupted, whatever the number of updates, micro-batches and policies that look."""
    module = make_module(train_vision=False, micro_batch_prompts=2, updates_per_rollout=2)
    passes = count_tower_passes(module.policy)
    reference_passes = count_tower_passes(reference_of(module))
    fit(module, prompts)
    assert passes == [sum(prompts.images.patches())] * 2
    assert reference_passes == []


def test_a_trained_tower_is_run_for_each_gradient(make_module, prompts):
    module = make_module(micro_batch_prompts=2)
    passes = count_tower_passes(module.policy)
    fit(module, prompts)
    assert sum(passes) == 3 * sum(prompts.images.patches())  # roll-out, current, corrupted
    assert module.rollouts.views.keys() == {"clean", "corrupted"}
    assert all(view.features is None for view in module.rollouts.views.values())


# --------------------------------------------------------------------------------------------------------- reference


def test_the_reference_stays_and_is_neither_trained_nor_saved(make_module, prompts):
    module = make_module(updates_per_rollout=2)
    before = weights(module.policy)
    fit(module, prompts, prompts)
    reference = reference_of(module)
    assert same(weights(reference), before)
    assert not close(weights(module.policy), before, 1e-5)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert all(name.startswith("policy.") for name in module.state_dict())
    assert len(list(module.parameters())) == len(before)


@pytest.mark.parametrize("micro_batch_prompts", [1, 2, 5])
def test_reference_logprobs_lie_at_their_rows(make_module, prompts, micro_batch_prompts):
    """Before the first update the reference is the policy itself."""
    module = make_module(micro_batch_prompts=micro_batch_prompts)
    updates = record_updates(module)
    fit(module, prompts)
    (rollouts,) = updates
    assert rollouts.responses.logprobs.std() > 0.5
    torch.testing.assert_close(rollouts.scores[REFERENCE].logprobs, rollouts.responses.logprobs, rtol=0, atol=1e-5)


def test_reference_logprobs_are_those_of_the_reference(make_module, prompts):
    """In the second step the policy has moved away from it."""
    module = make_module(optimizer=partial(torch.optim.SGD, lr=0.05))
    start, updates = copy.deepcopy(module.policy), record_updates(module)
    fit(module, prompts, prompts)
    _, rollouts = updates
    with torch.no_grad():
        context = start.prefill(prompts, start.encode(prompts.images))
        expected = start.score(context, rollouts.responses, temperature=0.8).logprobs
    torch.testing.assert_close(rollouts.scores[REFERENCE].logprobs, expected, rtol=0, atol=1e-5)
    assert (rollouts.scores[REFERENCE].logprobs - rollouts.responses.logprobs).abs().max() > 1e-2
    assert module.metrics["policy/ref_kl"] > 1e-5


# ---------------------------------------------------------------------------------------------------------- roll-out


def test_rewards_become_advantages_within_their_group(make_module, prompts):
    module = fit(make_module(), prompts)
    rollouts = module.rollouts
    totals = torch.tensor([marks(None, text).total for text in rollouts.texts])
    assert rollouts.texts == tuple(module.processor.decode(rollouts.responses))
    assert [result.total for result in rollouts.rewards] == totals.tolist()
    assert torch.equal(rollouts.advantages, group_advantages(totals, G))
    assert rollouts.advantages.abs().max() > 0.5


def test_nothing_but_the_loss_keeps_a_graph(make_module, prompts, monkeypatch):
    """Roll-out and reference run without gradient, every pass of them."""
    module = make_module()
    modes = {True: [], False: []}
    in_loss = False
    original = module.loss

    def loss(*args):
        nonlocal in_loss
        in_loss = True
        result = original(*args)
        in_loss = False
        return result

    monkeypatch.setattr(module, "loss", loss)
    for policy in (module.policy, reference_of(module)):
        for part in (policy.model.model.visual, policy.model.model.language_model):
            part.register_forward_pre_hook(lambda module, inputs: modes[in_loss].append(torch.is_grad_enabled()))
    fit(module, prompts)
    assert len(modes[False]) >= 6  # tower, prompt and at least one token of the policy; tower and two passes beside it
    assert not any(modes[False])
    assert all(modes[True])


def test_each_response_is_graded_against_its_own_item(make_module, prompts):
    asked = []
    module = make_module(reward=lambda item, text: asked.append(item.id) or marks(item, text))
    fit(module, prompts)
    assert asked == [item.id for item in prompts.items for _ in range(G)]


def test_an_unscorable_item_teaches_nothing(make_module, prompts):
    def grade(item, text):
        return replace(marks(item, text), scorable=item.id != "wide")

    module = fit(make_module(reward=grade), prompts)
    scorable = fit(make_module(), prompts)
    expected = scorable.rollouts.advantages.clone()
    assert expected[3:6].abs().max() > 0
    expected[3:6] = 0
    assert torch.equal(module.rollouts.advantages, expected)
    assert module.metrics["reward/frac_unscorable"] == pytest.approx(0.2)


def test_seeds_follow_purpose_step_and_item(prompts):
    seeds = item_seeds("rollout", 3, 0, prompts)
    assert seeds == [derive_seed("rollout", 3, 0, item.id) for item in prompts.items]
    assert item_seeds("corruption", 3, 4, prompts.select([1])) == [derive_seed("corruption", 3, 4, "wide")]


def test_steps_differ_and_runs_repeat(make_module, prompts):
    optimizer = partial(torch.optim.SGD, lr=0.0)  # the policy stands still: only the seeds move
    first = fit(make_module(optimizer=optimizer), prompts).rollouts
    module = fit(make_module(optimizer=optimizer), prompts, prompts)
    second, again = module.rollouts, fit(make_module(optimizer=optimizer), prompts, prompts).rollouts
    assert module.step == 2
    assert first.texts != second.texts
    assert not torch.equal(first.views["corrupted"].images.pixel_values, second.views["corrupted"].images.pixel_values)
    assert second.texts == again.texts
    assert torch.equal(second.views["corrupted"].images.pixel_values, again.views["corrupted"].images.pixel_values)
    assert fit(make_module(optimizer=optimizer, seed=4), prompts).rollouts.texts != first.texts


def test_metrics_of_the_roll_out(make_module, prompts):
    module = fit(make_module(reward=Reward(0.9, 0.1)), prompts)
    metrics, responses = module.metrics, module.rollouts.responses
    lengths = responses.response_mask.sum(-1).float()
    assert metrics["reward/mean"] == metrics["reward/accuracy"] == metrics["reward/format"] == 0.0
    assert metrics["group/frac_zero_std"] == 1.0
    assert metrics["response/length_mean"] == pytest.approx(lengths.mean().item())
    assert metrics["response/frac_unfinished"] == pytest.approx((~responses.finished).float().mean().item())
    assert 0 < metrics["response/frac_unfinished"] < 1
    assert metrics["reward/frac_unscorable"] == 0.0

    module = fit(make_module(), prompts)
    totals = torch.tensor([result.total for result in module.rollouts.rewards]).reshape(-1, G)
    assert module.metrics["reward/mean"] == pytest.approx(totals.mean().item())
    assert module.metrics["reward/accuracy"] == pytest.approx(totals.mean().item())
    zero = (totals.amax(-1) == totals.amin(-1)).float().mean().item()
    assert module.metrics["group/frac_zero_std"] == pytest.approx(zero)


def test_metrics_are_means_over_the_updates_of_a_step(make_module, prompts, monkeypatch):
    module = make_module(updates_per_rollout=3)
    losses = []
    original = module.update

    def update(part):
        metrics = original(part)
        losses.append(metrics["loss/total"])
        return metrics

    monkeypatch.setattr(module, "update", update)
    fit(module, prompts)
    assert len(set(losses)) == 3
    assert module.metrics["loss/total"] == pytest.approx(sum(losses) / 3)


def test_prompts_of_similar_length_share_a_micro_batch(make_module, prompts):
    module = fit(make_module(micro_batch_prompts=2), prompts)
    lengths = prompts.prompt_mask.sum(-1).tolist()
    longest = module.rollouts.responses.response_mask.sum(-1).reshape(-1, G).amax(-1).tolist()
    pieces = list(module.scoring.micro_batches(module.rollouts))
    order = [n for chosen, _ in pieces for n in chosen]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert [len(chosen) for chosen, _ in pieces] == [2, 2, 1]
    assert order != sorted(order)
    assert [lengths[n] for n in order] == sorted(lengths)
    for chosen, micro in pieces:
        assert [item.id for item in micro.prompts.items] == [prompts.items[n].id for n in chosen]
        assert micro.prompts.prompt_ids.shape[1] == max(lengths[n] for n in chosen)
        assert micro.responses.response_ids.shape[1] == max(longest[n] for n in chosen)


@pytest.mark.parametrize(
    ("n", "parts", "sizes"), [(6, 3, [2, 2, 2]), (5, 2, [2, 3]), (7, 3, [2, 2, 3]), (2, 5, [1, 1]), (1, 1, [1])]
)
def test_split_evenly(n, parts, sizes):
    pieces = split_evenly(n, parts)
    assert [len(piece) for piece in pieces] == sizes
    assert [i for piece in pieces for i in piece] == list(range(n))


# -------------------------------------------------------------------------------------------------------- divergence


def poison_advantages(module, steps=99):
    """As a part of the reward that a policy's scores decide may make them; loss and gradient are not a number either.

    Args:
        steps: of how many, from the first on.
    """
    weighing = module.weighing

    def weighed(rollouts, step):
        rollouts, found = weighing(rollouts, step)
        return replace(rollouts, advantages=rollouts.advantages * (float("nan") if step < steps else 1)), found

    module.weighing = weighed


def poison_gradient(module):
    """The loss is fine, one gradient is not."""
    module.policy.model.model.language_model.norm.weight.register_hook(lambda gradient: gradient * float("nan"))


def poison_loss(module):
    """All gradients are fine, the loss is not."""
    objective = module.objective

    class Poisoned:
        def __getattr__(self, name):
            return getattr(objective, name)

        def __call__(self, *args, **kwargs):
            loss, metrics = objective(*args, **kwargs)
            return loss, metrics | {"loss/total": torch.tensor(float("inf"))}

    module.objective = Poisoned()


POISONS = [poison_advantages, poison_gradient, poison_loss]


@pytest.mark.parametrize("poison", POISONS)
def test_a_non_finite_update_is_skipped_and_counted(make_module, prompts, poison):
    module = make_module(optimizer=partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1))
    before = weights(module)
    poison(module)
    fit(module, prompts)
    assert same(weights(module), before)
    assert module.metrics["policy/skipped_updates"] == 1.0
    assert module.skipped_in_a_row == 1
    assert not module.optimizers().state  # no moment has seen it
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_good_update_resets_the_count(make_module, prompts):
    module = make_module(max_skipped_updates=1)
    poison_advantages(module, steps=1)
    before = weights(module)
    fit(module, prompts, prompts)
    assert module.skipped_in_a_row == 0
    assert module.metrics["policy/skipped_updates"] == 0.0
    assert not same(weights(module), before)
    assert all(value.isfinite().all() for value in weights(module).values())


@pytest.mark.parametrize("poison", POISONS)
def test_too_many_skipped_updates_stop_the_run(make_module, prompts, poison):
    module = make_module(max_skipped_updates=2)
    before = weights(module)
    poison(module)
    with pytest.raises(
        TrainingDiverged, match=r"3 updates in a row.*optimizer\.lr or the weights of the objective's terms"
    ):
        fit(module, prompts, prompts, prompts, prompts)
    assert module.step == 2  # the third step did not finish
    assert same(weights(module), before)


def test_as_many_skipped_updates_as_allowed_do_not(make_module, prompts):
    module = make_module(max_skipped_updates=2)
    poison_advantages(module)
    fit(module, prompts, prompts)
    assert module.step == 2
    assert module.skipped_in_a_row == 2


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"group_size": 1}, "group_size must be at least 2.*got 1"),
        ({"updates_per_rollout": 0}, r"updates_per_rollout must be at least 1, got 0"),
        ({"micro_batch_prompts": 0}, r"micro_batch_prompts must be at least 1, got 0"),
        ({"sampling": Sampling(4, temperature=0)}, r"sampling\.temperature must be positive"),
    ],
)
def test_an_impossible_setting_names_its_override(make_module, settings, words):
    with pytest.raises(SettingError, match=words):
        make_module(**settings)
