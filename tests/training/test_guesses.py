"""Responses drawn on a view: what they earn, what they teach, and what it costs."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from papo_steps import GRPO, SAMPLING, close, count_tower_passes, fit, marks, record_scores, same, weights

from papo.corruption import Maker, RandomPatchMask, Swap
from papo.errors import ConfigError, SettingError
from papo.objective import Objective, Surrogate, group_advantages
from papo.seeding import item_seeds
from papo.training.guesses import BlindGuess
from papo.types import RewardResult

TRAINED_WITH = Objective("seq-mean-token-mean", surrogate=Surrogate(clip_low=0.2, clip_high=0.3))
ON = BlindGuess(coef=0.5, objective=TRAINED_WITH)
QUICK = {"optimizer": partial(torch.optim.SGD, lr=0.05)}  # far enough for a second update to see another policy


def reward(item, text) -> RewardResult:
    """Right by chance of the text; one item cannot be graded."""
    right = float(sum(map(ord, text)) % 3 == 0)
    return RewardResult(right, {"accuracy": right}, None, scorable=item.id != "wide")


@pytest.fixture(autouse=True)
def read(monkeypatch):
    """What a policy that knows nothing writes can be read, but for some."""
    monkeypatch.setattr("papo.training.guesses.readable", lambda text, instruction: len(text) % 4 > 0)


@pytest.fixture
def guessing(make_module):
    """A module that learns from guesses and nothing else."""

    def make(settings=ON, **changes):
        nothing = lambda item, text: replace(reward(item, text), total=0.0)  # noqa: E731
        return make_module(GRPO, **{"reward": nothing, "blind_guess": settings} | changes)

    return make


def test_a_guess_earns_by_being_readable_and_wrong(make_module, prompts):
    module = fit(make_module(GRPO, reward=reward, blind_guess=ON), prompts)
    guesses = module.rollouts.guesses
    assert len(guesses.texts) == 5 * ON.group_size
    earned = set()
    for n, item in enumerate(prompts.items):
        for g in range(ON.group_size):
            row = n * ON.group_size + g
            right, readable = reward(item, guesses.texts[row]).parts["accuracy"], len(guesses.texts[row]) % 4 > 0
            assert guesses.rewards[row].total == float(readable and not right)
            earned.add((bool(right), readable, guesses.rewards[row].total))
    assert len(earned) == 4  # every case comes
    learning = torch.tensor([item.id not in ("wide", "text") for item in prompts.items]).repeat_interleave(4)
    right, readable = (
        torch.tensor([result.parts[name] for result in guesses.rewards]) for name in ("accuracy", "readable")
    )
    assert module.metrics["blind_guess/correct"] == pytest.approx(right[learning].mean().item())
    assert module.metrics["blind_guess/readable"] == pytest.approx(readable[learning].mean().item())


def test_a_guess_that_no_grader_could_read_earns_nothing(guessing, make_module):
    """What makes a grader fail is not to be learnt."""
    module = guessing()
    wrong = RewardResult(0.0, {"accuracy": 0.0}, None, scorable=True)
    assert module.guesses.paid(wrong, "five!").total == 1
    assert module.guesses.paid(replace(wrong, failed=True), "five!").total == 0


def test_guesses_are_drawn_and_scored_on_the_view(guessing, prompts):
    """By the policy of the step, from seeds of their own; the one view of the step for all who look at it."""
    module = guessing(reward=marks)
    view = RandomPatchMask(0.6)(prompts.images, item_seeds("corrupted", 3, 0, prompts))
    shown = replace(prompts, images=view)
    with torch.no_grad():
        context = module.policy.prefill(shown, module.policy.encode(view))
        expected = module.policy.sample(context, 4, SAMPLING, item_seeds("blind-guess", 3, 0, prompts))
        scores = module.policy.score(context, expected, temperature=SAMPLING.score_temperature)
    found = record_scores(module.policy)
    fit(module, prompts)
    guesses = module.rollouts.guesses
    assert torch.equal(guesses.responses.response_ids, expected.response_ids)
    assert torch.equal(guesses.prompts.images.pixel_values, view.pixel_values)
    assert found[-1].logprobs.shape[0] == 4 * 5
    order = prompts.prompt_mask.sum(-1).argsort(stable=True).tolist()
    torch.testing.assert_close(found[-1].logprobs, scores.logprobs[guesses.rows(order)], rtol=0, atol=1e-5)


@pytest.mark.parametrize("train_vision", [True, False])
def test_the_update_is_the_one_by_hand(guessing, prompts, train_vision):
    """-lambda times the mean over responses of the mean over tokens of the advantage: at ratio 1 nothing is clipped."""
    module, other = guessing(train_vision=train_vision), guessing(train_vision=train_vision)
    fit(module, prompts)
    guesses, policy = module.rollouts.guesses, other.policy
    context = policy.prefill(guesses.prompts, policy.encode(guesses.prompts.images))
    logprobs = policy.score(context, guesses.responses, temperature=SAMPLING.score_temperature).logprobs
    rewards = torch.tensor([result.total for result in guesses.rewards])
    advantages = group_advantages(rewards, 4)
    kept = torch.tensor([item.id not in ("wide", "text") for item in prompts.items]).repeat_interleave(4)
    mask = guesses.responses.response_mask
    means = ((logprobs - logprobs.detach()).exp() * advantages[:, None] * mask).sum(-1) / mask.sum(-1)
    loss = -0.5 * means[kept].mean()
    loss.backward()
    torch.optim.SGD(policy.parameters(), lr=1e-3).step()
    expected = {f"policy.{name}": parameter.detach() for name, parameter in policy.named_parameters()}
    assert close(weights(module), expected, 1e-6)
    assert not same(weights(module), weights(guessing(train_vision=train_vision)))
    assert module.metrics["blind_guess/loss"] == pytest.approx(loss.item(), abs=1e-6)
    assert module.metrics["loss/total"] == pytest.approx(loss.item(), abs=1e-6)


@pytest.mark.parametrize("train_vision", [True, False])
def test_micro_batches_change_memory_only(guessing, prompts, train_vision):
    """In two updates of a step, the second of which sees ratios and clipping away from 1."""
    settings = {"train_vision": train_vision, "updates_per_rollout": 2, "reward": reward}
    results = [fit(guessing(micro_batch_prompts=size, **settings), prompts) for size in (5, 2, 1)]
    for other in results[1:]:
        assert close(weights(other), weights(results[0]))
        for name in ("blind_guess/loss", "blind_guess/correct", "loss/total", "policy/grad_norm"):
            assert other.metrics[name] == pytest.approx(results[0].metrics[name], rel=1e-3, abs=1e-6), name
    assert results[0].metrics["blind_guess/loss"] != 0


def test_a_second_update_is_held_against_who_drew_the_guesses(guessing, prompts, monkeypatch):
    module = guessing(updates_per_rollout=2, **QUICK)
    seen = []
    original = Surrogate.loss

    def loss(self, logprobs, old_logprobs, *args):
        seen.append((logprobs.detach(), old_logprobs))
        return original(self, logprobs, old_logprobs, *args)

    monkeypatch.setattr(Surrogate, "loss", loss)
    fit(module, prompts)
    (first, first_old), (second, second_old) = (pair for pair in seen if len(pair[0]) % 4 == 0)
    torch.testing.assert_close(first, first_old, rtol=0, atol=1e-5)
    assert (second - second_old).abs().max() > 1e-3
    drawn = module.rollouts.guesses.responses.logprobs
    assert any(torch.allclose(second_old.sum(-1)[0], row, atol=1e-4) for row in drawn.sum(-1))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_tower_encodes_the_view_once(guessing, prompts, frozen):
    module = guessing(train_vision=not frozen, reward=marks)
    passes = count_tower_passes(module.policy)
    fit(module, prompts)
    # The pictures and the view to draw from; trained, each of them once more for its gradient.
    assert passes == [sum(prompts.images.patches())] * (2 if frozen else 4)


class Alone(Maker):
    """Finds another picture for nobody."""

    def __call__(self, images, seeds):
        return images


@pytest.mark.parametrize("maker", [Alone(), Swap()], ids=["alone", "swap"])
def test_a_right_answer_to_the_picture_itself_is_not_unlearnt(guessing, prompts, maker):
    """Of the fixture's pictures two are of one size, and only they have others to be shown."""
    module = guessing(corruption=maker)
    before = weights(module)
    fit(module, prompts)
    trained = module.rollouts.guesses.trained.any(-1).view(5, -1).any(-1)
    expected = [False, False, False, True, True] if isinstance(maker, Swap) else [False] * 5
    assert trained.tolist() == expected
    assert same(weights(module), before) == isinstance(maker, Alone)
    assert ("blind_guess/correct" in module.metrics) == isinstance(maker, Swap)


def test_an_item_that_cannot_be_graded_teaches_nothing(guessing, prompts):
    module = guessing(reward=lambda item, text: replace(reward(item, text), scorable=False))
    before = weights(module)
    fit(module, prompts)
    assert same(weights(module), before)


@pytest.mark.parametrize("filtered", [False, True])
def test_guesses_that_were_cut_off_are_left_out_like_other_responses(guessing, prompts, filtered):
    module = fit(guessing(overlong_filter=filtered), prompts)
    guesses = module.rollouts.guesses
    finished = guesses.responses.finished
    assert 0 < finished.sum() < len(finished)
    # One has no picture, one cannot be graded.
    learning = torch.tensor([item.id not in ("text", "wide") for item in prompts.items]).repeat_interleave(4)
    assert guesses.trained.any(-1).tolist() == (learning & (finished | (not filtered))).tolist()


def test_a_view_for_each_response_is_guessed_at_once(guessing, prompts):
    module = fit(guessing(corruption=RandomPatchMask(0.6, per="response")), prompts)
    assert len(module.rollouts.guesses.prompts.images.grid) == len(prompts.images.grid)
    assert module.metrics["blind_guess/loss"] != 0


def test_off_costs_nothing_and_changes_nothing(make_module, prompts):
    off = make_module(GRPO, corruption=None, blind_guess=BlindGuess())
    base = make_module(GRPO, corruption=None)
    passes, scores = count_tower_passes(off.policy), record_scores(off.policy)
    for module in (off, base):
        fit(module, prompts)
    assert same(weights(off), weights(base))
    assert len(passes) == 2
    assert len(scores) == 1
    assert off.rollouts.guesses is None
    assert off.metrics.keys() == base.metrics.keys()


def test_it_adds_to_what_the_other_responses_teach(make_module, prompts):
    """The gradient of the whole is the sum of the two."""

    def moved(**settings):
        module = make_module(GRPO, **settings)
        before = weights(module)
        after = weights(fit(module, prompts))
        return {name: after[name] - before[name] for name in before}

    both, without = moved(reward=reward, blind_guess=ON), moved(reward=reward)
    alone = moved(reward=lambda item, text: replace(reward(item, text), total=0.0), blind_guess=ON)
    assert close(both, {name: without[name] + alone[name] for name in without})


def test_dynamic_sampling_guesses_at_what_is_left(make_module, prompts, items):
    module = make_module(GRPO, reward=marks, blind_guess=ON, max_refills=1)
    module.refill_items = lambda refill: [replace(item, id=f"{item.id}-{refill}") for item in items]
    fit(module, prompts)
    left = module.rollouts
    assert [item.id for item in left.guesses.prompts.items] == [item.id for item in left.prompts.items]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"coef": -1.0}, "^coef must be 0"),
        ({"coef": float("nan")}, "^coef must be 0"),
        ({"group_size": 1}, "^group_size must be at least 2"),
        ({"view": "clean"}, "^view must be another view"),
        ({"coef": 0.1}, "^objective must be set"),
    ],
)
def test_an_impossible_setting_names_its_override(settings, message):
    with pytest.raises(SettingError, match=message):
        BlindGuess(**settings)


def test_a_view_that_nothing_makes_is_named(make_module):
    with pytest.raises(ConfigError, match="'tiles', which nothing makes"):
        make_module(GRPO, blind_guess=replace(ON, view="tiles"))


def test_a_view_that_is_bound_to_be_the_picture_is_refused_before_the_run(make_module, items):
    with pytest.raises(ConfigError, match=r"^corruption leaves all of the first 5 pictures as they are"):
        make_module(GRPO, corruption=RandomPatchMask(0.001), blind_guess=ON).check_data(iter(items))
    make_module(GRPO, corruption=RandomPatchMask(0.001)).check_data(iter(items))  # nobody looks at it
