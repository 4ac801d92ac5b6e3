"""The step's options beyond GRPO and PAPO-G, each on the tiny policy inside a real Trainer."""

import gc
from dataclasses import replace
from functools import partial

import pytest
import torch
from papo_steps import (
    GRPO,
    PAPO,
    G,
    close,
    count_tower_passes,
    fit,
    having,
    marks,
    record_scores,
    record_updates,
    same,
    weights,
)

from papo.corruption import RandomPatchMask, Swap
from papo.errors import SettingError
from papo.objective import Branch, Need, group_advantages
from papo.objective.branch import OLD, REFERENCE
from papo.objective.kl import sampled_kl
from papo.rewards.length import overlong_penalty
from papo.rewards.perception import PerceptionReward
from papo.rewards.reward import Reward

QUICK = {"optimizer": partial(torch.optim.SGD, lr=0.05)}  # far enough for a second update to see another policy
STALE = Branch("rollout", "corrupted")
PERCEPTION_ONLY = having(GRPO, perception={"coef": 0.2})


def dead_but(alive):
    """A reward under which only groups of the named items differ within themselves."""

    def reward(item, text):
        result = marks(item, text)
        return result if item.id in alive else replace(result, total=1.0)

    return reward


# ------------------------------------------------------------------------------------------------- dynamic sampling


@pytest.fixture
def further(items):
    """Items for refills: copies of the fixture's, under other names."""
    return lambda refill: [replace(item, id=f"{item.id}-{refill}") for item in items]


def test_dead_groups_are_replaced_until_the_batch_is_full(make_module, prompts, further):
    names = {"square", "wide-0", "small-0", "square-1", "wide-1", "small-1"}
    module = make_module(max_refills=5, reward=dead_but(names))
    module.refill_items = further
    fit(module, prompts)
    ids = [item.id for item in module.rollouts.prompts.items]
    assert len(ids) == len(prompts) == 5
    assert ids[:3] == ["square", "wide-0", "small-0"]
    assert set(ids[3:]) < names
    totals = torch.tensor([result.total for result in module.rollouts.rewards]).view(-1, G)
    assert (totals.std(-1) > 0).all()
    assert module.metrics["group/refills"] == 2
    assert module.metrics["group/alive"] == 5
    assert module.metrics["group/frac_zero_std"] == pytest.approx(4 / 5)  # of the prompts that were asked first
    assert module.metrics["policy/skipped_steps"] == 0


def test_a_spent_budget_trains_on_what_is_alive(make_module, prompts, further):
    module = make_module(max_refills=2, reward=dead_but({"wide", "wide-1"}))
    module.refill_items = further
    before = weights(module)
    fit(module, prompts)
    assert [item.id for item in module.rollouts.prompts.items] == ["wide", "wide-1"]
    assert module.metrics["group/refills"] == 2
    assert module.metrics["group/alive"] == 2
    assert not same(weights(module), before)


def test_a_step_without_a_group_alive_is_skipped_and_counted(make_module, prompts, further):
    module = make_module(max_refills=3, reward=dead_but(set()))
    module.refill_items = further
    before = weights(module)
    fit(module, prompts)
    assert same(weights(module), before)
    assert module.metrics["policy/skipped_steps"] == 1
    assert module.metrics["group/alive"] == 0
    assert module.metrics["group/refills"] == 3
    assert module.step == 1
    assert module.rollouts is None


def test_an_item_that_came_already_is_not_rolled_out_again(make_module, prompts, items):
    asked = []
    module = make_module(max_refills=3, reward=lambda item, text: asked.append(item.id) or dead_but(set())(item, text))
    module.refill_items = lambda refill: items
    fit(module, prompts)
    assert sorted(asked) == sorted(item.id for item in items for _ in range(G))
    assert module.metrics["group/refills"] == 3


def test_a_group_that_cannot_be_graded_is_dead(make_module, prompts, further):
    module = make_module(
        max_refills=1, reward=lambda item, text: replace(marks(item, text), scorable=item.id == "wide")
    )
    module.refill_items = further
    fit(module, prompts)
    assert [item.id for item in module.rollouts.prompts.items] == ["wide"]


@pytest.mark.parametrize("max_refills", [0, 1])
def test_groups_are_counted_alive_after_the_whole_reward(make_module, prompts, max_refills):
    """The text earns every response the same; that one is longer than another makes their group alive."""
    module = make_module(max_refills=max_refills, reward=dead_but(set()), overlong_buffer=7)
    module.refill_items = lambda refill: []
    before = weights(module)
    fit(module, prompts)
    lengths = module.rollouts.responses.response_mask.sum(-1).view(-1, G)
    spread = lengths.amax(-1) > lengths.amin(-1)
    assert spread.any()
    assert module.metrics["group/frac_zero_std"] == pytest.approx(1 - spread.sum().item() / len(prompts))
    assert not same(weights(module), before)
    if max_refills:
        assert spread.all()
        assert module.metrics["group/alive"] == len(spread)


def test_groups_are_counted_alive_after_what_terms_pay(make_module, prompts, perception_reward, monkeypatch):
    """Rewards that depend on scores, of which the text knows nothing."""
    monkeypatch.setattr(perception_reward, "graded", dead_but(set()))
    pictured = [item.id for item in prompts.items if item.images]
    module = make_module(GRPO, max_refills=1, reward=perception_reward)
    module.refill_items = lambda refill: []
    fit(module, prompts)
    assert [item.id for item in module.rollouts.prompts.items] == pictured
    assert module.metrics["group/frac_zero_std"] == pytest.approx(1 / 5)
    objective = having(GRPO, reference={"coef": 0.3, "estimator": "k1", "place": "reward", "cap": None})
    module = make_module(objective, max_refills=1, reward=dead_but(set()), **QUICK)
    module.refill_items = lambda refill: []
    with torch.no_grad():
        module.policy.model.lm_head.bias[100] += 1.0  # it has left the reference
    fit(module, prompts)
    assert module.metrics["group/alive"] >= 4


def test_without_refills_dead_groups_stay_without_a_gradient(make_module, prompts):
    module = fit(make_module(reward=dead_but({"wide"})), prompts)
    assert len(module.rollouts) == 5
    assert module.metrics["group/frac_zero_std"] == pytest.approx(4 / 5)
    assert "group/refills" not in module.metrics
    assert module.rollouts.advantages.view(-1, G).abs().sum(-1).nonzero().tolist() == [[1]]


def live_tensors() -> tuple[int, int]:
    """How many tensors there are, and the bytes behind them."""
    gc.collect()
    # By type: isinstance would ask modules that are loaded when they are looked at.
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return len(tensors), sum(storages.values())


@pytest.mark.integration  # it measures memory
def test_a_step_leaves_no_tensor_behind(make_module, prompts, further):
    """But the last roll-outs, whose width the seed decides."""
    module = make_module(PAPO, max_refills=1, reward=dead_but({"wide", "small-0"}), updates_per_rollout=2)
    module.refill_items = further
    alive, refills = [], []

    def count(*_):
        assert len(module.rollouts) == 2
        module.rollouts = None
        refills.append(module.metrics["group/refills"])
        alive.append(live_tensors() if module.step in (2, 6) else None)

    module.on_train_batch_end = count
    fit(module, *[prompts] * 6)
    assert refills == [1] * 6
    assert alive[1] == alive[5]


def test_a_full_batch_needs_no_refill(make_module, prompts):
    names = {item.id for item in prompts.items}
    plain = fit(make_module(reward=dead_but(names)), prompts)
    if plain.metrics["group/frac_zero_std"]:
        pytest.fail("the fixture's rewards leave a group dead; choose another reward")
    module = make_module(max_refills=5, reward=dead_but(names))
    module.refill_items = None  # would fail if it were called
    fit(module, prompts)
    assert module.metrics["group/refills"] == 0
    assert close(weights(module), weights(plain))


# ------------------------------------------------------------------------------------------------- corrupted branch


def test_scored_once_per_step_it_is_constant_and_stale(make_module, prompts):
    """The released code's way, by name: the second update still compares with the first policy."""
    objective = having(PERCEPTION_ONLY, perception={"recompute": "rollout"})
    module = make_module(objective, updates_per_rollout=5, **QUICK)
    start = [parameter.clone() for parameter in module.policy.parameters()]
    scores, updates = record_scores(module.policy), record_updates(module)
    fit(module, prompts)
    # Of each share the policy that wrote the responses, on the picture and, but for the text, on the corrupted one.
    once, later = scores[:9], scores[9:]
    assert not any(score.logprobs.requires_grad for score in once)
    assert len(later) == len(updates) == 5
    assert all(score.logprobs.requires_grad for score in later)  # no further corrupted pass
    after = updates[-1]
    for parameter, value in zip(module.policy.parameters(), start, strict=True):
        parameter.data = value.data
    with torch.no_grad():
        again = module.scoring.once(replace(after, scores={OLD: after.scores[OLD]}), {STALE: Need()}).scores[STALE]
    torch.testing.assert_close(after.scores[STALE].logprobs, again.logprobs, rtol=0, atol=1e-5)


def test_recomputing_changes_the_second_update_only(make_module, prompts):
    stale = having(PERCEPTION_ONLY, perception={"recompute": "rollout"})
    fresh = having(PERCEPTION_ONLY, perception={"corrupted_gradient": False})
    first = [fit(make_module(objective, **QUICK), prompts) for objective in (stale, fresh)]
    assert close(weights(first[0]), weights(first[1]), 1e-6)
    both = [fit(make_module(objective, updates_per_rollout=5, **QUICK), prompts) for objective in (stale, fresh)]
    assert not close(weights(both[0]), weights(both[1]), 1e-6)


@pytest.mark.parametrize("train_vision", [True, False])
def test_each_response_may_have_its_own_corrupted_image(make_module, prompts, train_vision):
    own = RandomPatchMask(0.6, per="response")
    module = make_module(corruption=own, train_vision=train_vision, micro_batch_prompts=2)
    passes = count_tower_passes(module.policy)
    fit(module, prompts)
    images, patches = module.rollouts.views["corrupted"].images, sum(prompts.images.patches())
    assert images.counts == tuple(count for count in prompts.images.counts for _ in range(G))
    assert sum(passes) == (1 + G + train_vision) * patches  # roll-out, one corrupted image per response, current
    parts = images.pixel_values.split(images.patches())
    assert not torch.equal(parts[0], parts[1])
    shared = fit(make_module(PAPO, train_vision=train_vision), prompts)
    assert module.metrics["perception/kl"] != pytest.approx(shared.metrics["perception/kl"], rel=1e-3)


def test_own_images_that_are_all_alike_are_the_shared_one(make_module, prompts):
    own, shared = (
        fit(make_module(corruption=RandomPatchMask(1.0, per=per), micro_batch_prompts=2), prompts)
        for per in ("response", "prompt")
    )
    assert own.metrics["perception/kl"] == pytest.approx(shared.metrics["perception/kl"], rel=1e-4)
    assert close(weights(own), weights(shared), 1e-6)


# ------------------------------------------------------------------------------------------------- whole vocabulary


@pytest.mark.parametrize("direction", ["clean_to_corrupted", "corrupted_to_clean"])
def test_full_perception_kl_is_the_sum_over_the_vocabulary(make_module, prompts, direction):
    objective = having(PERCEPTION_ONLY, perception={"estimator": "full", "direction": direction, "cap": None})
    module = make_module(objective, micro_batch_prompts=2)
    policy = make_module(objective).policy
    fit(module, prompts)
    rollouts = module.rollouts
    mask = rollouts.responses.response_mask
    with torch.no_grad():
        log_probs = []
        for images in (prompts.images, rollouts.views["corrupted"].images):
            context = policy.prefill(prompts, policy.encode(images))
            states = policy.score(context, rollouts.responses, temperature=0.8, keep_states=True).states
            log_probs.append((policy.model.lm_head(states) / 0.8).log_softmax(-1))
        p, q = log_probs if direction == "clean_to_corrupted" else reversed(log_probs)
        per_token = (p.exp() * (p - q)).sum(-1)
        per_response = (per_token * mask).sum(-1) / mask.sum(-1)
        kl = per_response[rollouts.rows(prompts.pictured)].mean()
    assert module.metrics["perception/kl"] == pytest.approx(kl.item(), rel=1e-4)


@pytest.mark.parametrize("updates_per_rollout", [1, 2])
def test_full_perception_kl_against_the_roll_out(make_module, prompts, updates_per_rollout):
    """In the first update, and where no policy moves, it is the one against the current parameters."""
    full = having(PERCEPTION_ONLY, perception={"estimator": "full", "corrupted_gradient": False})
    stale = having(full, perception={"recompute": "rollout"})
    still = {"optimizer": partial(torch.optim.SGD, lr=0.0), "updates_per_rollout": updates_per_rollout}
    one, other = (fit(make_module(objective, **still), prompts) for objective in (full, stale))
    assert other.metrics["perception/kl"] == pytest.approx(one.metrics["perception/kl"], rel=1e-5)
    assert other.metrics["policy/grad_norm"] == pytest.approx(one.metrics["policy/grad_norm"], rel=1e-4)


@pytest.mark.parametrize("corrupted_gradient", [True, False])
def test_full_kl_sends_its_gradient_where_it_is_told(make_module, prompts, corrupted_gradient):
    objective = having(PERCEPTION_ONLY, perception={"estimator": "full", "corrupted_gradient": corrupted_gradient})
    module = make_module(objective)
    scores = record_scores(module.policy)
    fit(module, prompts)
    current, corrupted = scores
    assert current.states.requires_grad
    assert corrupted.states.requires_grad is corrupted_gradient


def test_full_reference_kl_is_zero_before_the_first_update_and_positive_after(make_module, prompts):
    objective = having(GRPO, reference={"coef": 0.1, "estimator": "full"})
    module = fit(make_module(objective, **QUICK), prompts)
    assert module.metrics["policy/ref_kl"] == pytest.approx(0, abs=1e-6)
    module = fit(make_module(objective, updates_per_rollout=2, **QUICK), prompts)
    sampled = fit(make_module(having(GRPO, reference={"coef": 0.1}), updates_per_rollout=2, **QUICK), prompts)
    assert module.metrics["policy/ref_kl"] > 1e-5
    assert module.metrics["policy/ref_kl"] == pytest.approx(sampled.metrics["policy/ref_kl"], rel=1.0)


def test_states_are_kept_only_for_a_full_kl(make_module, prompts):
    module = make_module(PAPO)
    scores = record_scores(module.policy)
    fit(module, prompts)
    assert all(score.states is None for score in scores)


# ------------------------------------------------------------------------------------------------- what is rewarded


@pytest.fixture
def perception_reward(monkeypatch):
    reward = PerceptionReward(Reward(), weight=0.5, scale=2.0, correct_only=False)
    monkeypatch.setattr(reward, "graded", marks)
    return reward


@pytest.mark.parametrize("objective", [GRPO, PAPO])
def test_perception_reward_is_the_divergence_of_each_response(make_module, prompts, perception_reward, objective):
    module = make_module(objective, reward=perception_reward, micro_batch_prompts=2)
    fit(module, prompts)
    rollouts = module.rollouts
    lengths = rollouts.responses.response_mask.sum(-1)
    kl = sampled_kl(rollouts.responses.logprobs, rollouts.scores[STALE].logprobs, "k3", cap=10.0)
    mean = (kl * rollouts.responses.response_mask).sum(-1) / lengths
    parts = torch.tensor([result.parts["perception"] for result in rollouts.rewards])
    torch.testing.assert_close(parts, 1 - (-mean / 2).exp())
    assert parts[rollouts.rows([0, 1])].min() > 0
    assert parts[rollouts.rows([2])].tolist() == [0.0] * G  # no image
    totals = torch.tensor([marks(None, text).total for text in rollouts.texts]) + 0.5 * parts
    torch.testing.assert_close(rollouts.advantages, group_advantages(totals, G), rtol=0, atol=1e-5)
    assert module.metrics["reward/perception"] == pytest.approx(parts.mean().item())


@pytest.mark.parametrize("updates_per_rollout", [1, 2])
def test_a_reward_and_a_full_kl_may_look_at_the_same_branch(make_module, prompts, updates_per_rollout):
    """The reward comes first and needs no states; the loss does."""
    objective = having(PERCEPTION_ONLY, perception={"recompute": "rollout", "estimator": "full"})
    reward = PerceptionReward(Reward(), weight=0.5, scale=2.0, correct_only=False)
    module = make_module(objective, reward=reward, updates_per_rollout=updates_per_rollout)
    passes = record_scores(module.policy)
    fit(module, prompts)
    assert module.metrics["perception/kl"] > 0
    assert module.metrics["policy/skipped_updates"] == 0.0
    # Old, and old on the corrupted view, for the reward; in the batches of the updates again what those hold constant,
    # which is not the old policy where there is one update alone; and the updates.
    assert len(passes) == {1: 2 + 1 + 1, 2: 2 + 2 * 2 + 2}[updates_per_rollout]
    assert module.scoring.heads == {}  # of the old policy, which states were compared by until the step was done
    text_only = [G * i + g for i, item in enumerate(prompts.items) if not item.images for g in range(G)]
    assert [module.rollouts.rewards[row].parts["perception"] for row in text_only] == [0.0] * G


@pytest.mark.parametrize("updates_per_rollout", [1, 2])
def test_what_a_reward_was_scored_with_is_not_what_updates_compare_with(
    make_module, prompts, perception_reward, updates_per_rollout, monkeypatch
):
    """Those were other batches, which in bfloat16 round differently: ratios would not be 1 before the first update."""
    still = partial(torch.optim.SGD, lr=0.0)
    settings = {"reward": perception_reward, "updates_per_rollout": updates_per_rollout, "optimizer": still}
    module = make_module(GRPO, **settings)
    rewarded = module.rewarded

    def rounded(rollouts):
        rollouts = rewarded(rollouts)
        old = rollouts.scores[OLD]
        return replace(rollouts, scores={**rollouts.scores, OLD: replace(old, logprobs=old.logprobs - 0.5)})

    monkeypatch.setattr(module, "rewarded", rounded)
    fit(module, prompts)
    assert module.metrics["policy/ratio_mean"] == pytest.approx(1, abs=1e-5)
    assert module.metrics["policy/clip_frac_high"] == 0


def test_length_penalty_enters_reward_and_advantage(make_module, prompts):
    module = fit(make_module(overlong_buffer=4), prompts)
    rollouts = module.rollouts
    lengths = rollouts.responses.response_mask.sum(-1).tolist()
    penalties = [overlong_penalty(length, 7, 4) for length in lengths]
    assert min(penalties) == -1
    assert max(penalties) == 0
    assert [result.parts["overlong"] for result in rollouts.rewards] == penalties
    totals = torch.tensor([marks(None, text).total for text in rollouts.texts]) + torch.tensor(penalties)
    assert torch.equal(rollouts.advantages, group_advantages(totals, G))


def test_responses_that_were_cut_off_can_be_left_out(make_module, prompts):
    module = make_module(overlong_filter=True)
    fit(module, prompts)
    rollouts = module.rollouts
    finished = rollouts.responses.finished
    assert 0 < finished.sum() < len(finished)
    assert torch.equal(rollouts.trained.any(-1), finished)
    assert torch.equal(rollouts.trained[finished], rollouts.responses.response_mask[finished])
    assert not close(weights(module), weights(fit(make_module(), prompts)), 1e-7)


def test_reference_kl_can_be_taken_from_the_reward(make_module, prompts):
    """In the second step, when the policy has left the reference."""
    objective = having(GRPO, reference={"coef": 0.3, "estimator": "k1", "place": "reward", "cap": None})
    module = fit(make_module(objective, **QUICK), prompts, prompts)
    rollouts = module.rollouts
    gap = (rollouts.responses.logprobs - rollouts.scores[REFERENCE].logprobs) * rollouts.responses.response_mask
    parts = torch.tensor([result.parts["ref_kl"] for result in rollouts.rewards])
    torch.testing.assert_close(parts, gap.sum(-1))
    assert parts.abs().max() > 1e-3
    totals = torch.tensor([result.total for result in rollouts.rewards])
    torch.testing.assert_close(totals, torch.tensor([marks(None, t).total for t in rollouts.texts]) - 0.3 * parts)
    assert torch.equal(rollouts.advantages, group_advantages(totals, G))
    assert "loss/kl" not in module.metrics
    assert "policy/ref_kl" in module.metrics


def test_advantages_without_the_standard_deviation(make_module, prompts):
    module = fit(make_module(normalize_std=False), prompts)
    totals = torch.tensor([result.total for result in module.rollouts.rewards])
    assert torch.equal(module.rollouts.advantages, group_advantages(totals, G, normalize_std=False))


# ------------------------------------------------------------------------------------------------- beyond the paper


def test_a_share_of_the_group_answers_the_noised_image(make_module, prompts):
    module = fit(make_module(GRPO, noisy_rollout_share=1 / 3), prompts)
    plain = fit(make_module(GRPO), prompts)
    clean = [row for row in range(len(prompts) * G) if row % G < 2]
    noisy = [row for row in range(len(prompts) * G) if row % G == 2]
    assert [module.rollouts.texts[row] for row in clean] == [plain.rollouts.texts[row] for row in clean]
    assert [module.rollouts.texts[row] for row in noisy] != [plain.rollouts.texts[row] for row in noisy]


def test_what_makes_the_noised_image_is_shown_the_policy(make_module):
    """Also where no term looks at that view."""

    class Looking(RandomPatchMask):
        def attach(self, policy):
            self.policy = policy

    noise = Looking(0.5)
    module = make_module(GRPO, noise=noise, noisy_rollout_share=1 / 3)
    assert noise.policy is module.policy


def test_answers_to_the_noised_image_start_at_a_ratio_of_one(make_module, prompts):
    """They are trained as answers to the clean image, so log pi_old is of the clean image too."""
    module = fit(make_module(GRPO, noisy_rollout_share=0.5), prompts)
    assert module.metrics["policy/ratio_mean"] == pytest.approx(1, abs=1e-5)
    assert module.collector.noisy_responses == 2


def test_no_noisy_share_is_no_noise_bit_for_bit(make_module, prompts):
    module = fit(make_module(GRPO, noise=None), prompts)
    assert same(weights(module), weights(fit(make_module(GRPO), prompts)))


def test_robustness_looks_at_the_noised_image(make_module, prompts):
    objective = having(GRPO, robustness={"coef": 0.1})
    module = make_module(objective, corruption=None)
    passes = count_tower_passes(module.policy)
    fit(module, prompts)
    assert passes == [sum(prompts.images.patches())] * 3  # roll-out, current, noised
    assert module.metrics["perception/robustness_kl"] > 0
    assert module.metrics["loss/robustness"] == pytest.approx(
        0.1 * module.metrics["perception/robustness_kl"], rel=1e-5
    )
    noised, clean = module.rollouts.views["noised"].images.pixel_values, prompts.images.pixel_values
    assert 0 < (noised - clean).abs().mean() < 1


def test_visual_tokens_cost_one_pass_without_gradient(make_module, prompts):
    module = make_module(having(GRPO, surrogate={"visual_token_share": 0.4}))
    scores = record_scores(module.policy)
    fit(module, prompts)
    current, corrupted = scores
    assert current.logprobs.requires_grad
    assert not corrupted.logprobs.requires_grad
    assert not close(weights(module), weights(fit(make_module(GRPO), prompts)), 1e-7)


@pytest.mark.parametrize(
    ("maker", "share"), [(Swap(), 0.5), (RandomPatchMask(0.001), 1.0), (RandomPatchMask(0.6, per="response"), 0.0)]
)
def test_the_share_of_pictures_that_are_compared_with_themselves(make_module, prompts, maker, share):
    """Of the four prompts with pictures two have one of the size of another's."""
    module = fit(make_module(PERCEPTION_ONLY, corruption=maker), prompts)
    assert module.metrics["views/same_corrupted"] == share
    assert (module.metrics["perception/kl"] == 0) == (share == 1)
    assert "views/same_corrupted" not in fit(make_module(GRPO, corruption=maker), prompts).metrics


# ------------------------------------------------------------------------------------------------- weight of the term


def test_damping_and_schedule_scale_the_perception_loss(make_module, prompts):
    plain = fit(make_module(PERCEPTION_ONLY), prompts)
    module = make_module(PERCEPTION_ONLY)
    module.damping["perception"] = 0.25
    fit(module, prompts)
    assert module.metrics["loss/perception"] == pytest.approx(0.25 * plain.metrics["loss/perception"], rel=1e-5)
    module = make_module(having(PERCEPTION_ONLY, perception={"schedule": "linear"}))
    module.step = 5  # of 10
    fit(module, prompts)
    assert module.metrics["loss/perception"] == pytest.approx(-0.2 * 0.5 * module.metrics["perception/kl"], rel=1e-5)


def test_damping_is_in_the_checkpoint(make_module):
    module = make_module(PAPO)
    module.damping["perception"] = 0.25
    checkpoint = {"loops": None, "optimizer_states": []}
    module.on_save_checkpoint(checkpoint)
    other = make_module(PAPO)
    other.on_load_checkpoint(checkpoint)
    assert other.damping == {"perception": 0.25}


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_refills": -1}, "max_refills"),
        ({"overlong_buffer": 8}, "overlong_buffer must lie in 0..7"),
        ({"overlong_buffer": -1}, "overlong_buffer"),
        ({"noisy_rollout_share": 1.0}, "noisy_rollout_share"),
        ({"noisy_rollout_share": -0.1}, "noisy_rollout_share"),
    ],
)
def test_settings_out_of_range_name_their_override(make_module, settings, message):
    with pytest.raises(SettingError, match=message):
        make_module(**settings)
