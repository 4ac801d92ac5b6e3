"""Groups of graded responses, the noisy share of each, and further prompts in place of groups that teach nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from papo.errors import ConfigError
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.rollout.collect import Collector
from papo.seeding import item_seeds
from papo.types import RewardResult, Rollouts, View

SAMPLING = Sampling(max_new_tokens=5, temperature=0.8)
G = 3


def graded(item, text) -> RewardResult:
    return RewardResult(float(len(text)), {"accuracy": 0.0}, f"{item.id}: {text}", scorable=True)


def dark(prompts, policy):
    """A view of nothing, so that it is seen whose answers are to it."""
    images = prompts.images
    return View(replace(images, pixel_values=torch.zeros_like(images.pixel_values)))


class Recording(NativeEngine):
    """What it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = []

    def sample(self, prompts, features, group_size, sampling, seeds):
        self.asked.append(([item.id for item in prompts.items], group_size, list(seeds)))
        return super().sample(prompts, features, group_size, sampling, seeds)


@pytest.fixture
def make_collector(policy, processor):
    def make(policy=policy, **settings) -> Collector:
        engine = Recording()
        engine.sync(policy, step=0)
        defaults = {
            "sampling": SAMPLING,
            "group_size": G,
            "noisy_rollout_share": 0,
            "noised": lambda prompts, step: dark(prompts, policy),
            "collate": processor.prompts,
            "max_refills": 0,
            "seed": 3,
        }
        return Collector(policy, engine, processor, graded, **defaults | settings)

    return make


def collect(collector, prompts, *, alive=None, refill=None, complete=lambda rollouts: rollouts):
    """A step in which groups of the named items are alive; all where none are named."""

    def of(rollouts):
        return [n for n, item in enumerate(rollouts.prompts.items) if alive is None or item.id in alive]

    return collector(prompts, 4, complete=complete, alive=of, refill=refill)


@pytest.fixture
def further(items):
    """Items for refills: copies of the fixture's, under other names."""
    return lambda refill: [replace(item, id=f"{item.id}-{refill}") for item in items]


def ids(rollouts: Rollouts) -> list[str]:
    return [item.id for item in rollouts.prompts.items]


# -------------------------------------------------------------------------------------------------------- one roll-out


def test_every_response_is_graded_against_its_own_item(make_collector, prompts, processor):
    rollouts, _ = collect(make_collector(), prompts)
    assert rollouts.texts == tuple(processor.decode(rollouts.responses))
    assert rollouts.rewards == tuple(
        graded(item, rollouts.texts[n * G + g]) for n, item in enumerate(prompts.items) for g in range(G)
    )
    assert len(set(rollouts.texts)) > G


def test_a_group_has_the_seed_of_its_item_at_its_step(make_collector, prompts):
    collector = make_collector()
    collect(collector, prompts)
    assert collector.engine.asked == [([item.id for item in prompts.items], G, item_seeds("rollout", 3, 4, prompts))]


@pytest.mark.parametrize("train_vision", [True, False])
def test_the_features_of_a_frozen_tower_serve_every_later_pass(make_collector, make_policy, prompts, train_vision):
    policy = make_policy(train_vision=train_vision)
    rollouts, _ = collect(make_collector(policy), prompts)
    clean = rollouts.views["clean"]
    assert clean.images is prompts.images
    assert rollouts.views.keys() == {"clean"}
    if train_vision:
        assert clean.features is None
    else:
        assert all(torch.equal(*pair) for pair in zip(clean.features, policy.encode(prompts.images), strict=True))


def test_no_roll_out_keeps_a_graph(make_collector, make_policy, prompts):
    rollouts, _ = collect(make_collector(make_policy(train_vision=False)), prompts)
    assert not rollouts.responses.logprobs.requires_grad
    assert not any(tokens.requires_grad for tokens in rollouts.views["clean"].features)


# --------------------------------------------------------------------------------------------------------- noisy share


def test_the_last_of_each_group_answer_the_noised_view(make_collector, policy, prompts):
    """From seeds of their own; the others are what they are without them."""
    collector = make_collector(noisy_rollout_share=2 / G)
    rollouts, _ = collect(collector, prompts)
    assert [(size, seeds) for _, size, seeds in collector.engine.asked] == [
        (1, item_seeds("rollout", 3, 4, prompts)),
        (2, item_seeds("noisy-sample", 3, 4, prompts)),
    ]
    with torch.no_grad():
        clean, noised = (policy.encode(view.images) for view in (View(prompts.images), dark(prompts, policy)))
    native = NativeEngine()
    native.sync(policy, 0)
    first = native.sample(prompts, clean, 1, SAMPLING, item_seeds("rollout", 3, 4, prompts))
    rest = native.sample(prompts, noised, 2, SAMPLING, item_seeds("noisy-sample", 3, 4, prompts))
    for n in range(len(prompts)):
        for row, part, of in ((n * G, first, n), (n * G + 1, rest, 2 * n), (n * G + 2, rest, 2 * n + 1)):
            mask = rollouts.responses.response_mask[row]
            assert mask.sum() == part.response_mask[of].sum()
            assert torch.equal(
                rollouts.responses.response_ids[row][mask], part.response_ids[of][part.response_mask[of]]
            )
    assert rollouts.views.keys() == {"clean"}  # that they are trained on


def test_without_a_noisy_share_no_view_is_made(make_collector, prompts):
    collect(make_collector(noised=None), prompts)


# ---------------------------------------------------------------------------------------------------- dynamic sampling


def test_without_refills_dead_groups_stay(make_collector, prompts):
    rollouts, metrics = collect(make_collector(), prompts, alive={"wide", "pair"})
    assert ids(rollouts) == [item.id for item in prompts.items]
    assert metrics == {"group/frac_zero_std": pytest.approx(3 / 5)}


def test_dead_groups_are_replaced_until_the_batch_is_full(make_collector, prompts, further):
    names = {"square", "wide-0", "small-0", "square-1", "wide-1", "small-1"}
    rollouts, metrics = collect(make_collector(max_refills=5), prompts, alive=names, refill=further)
    assert ids(rollouts) == ["square", "wide-0", "small-0", "square-1", "wide-1"]
    assert len(rollouts.texts) == 5 * G
    assert rollouts.rewards[3].answer.startswith("wide-0: ")
    assert metrics == {
        "group/frac_zero_std": pytest.approx(4 / 5),  # of the prompts that were asked first
        "group/refills": 2,
        "group/alive": 5,
        "policy/skipped_steps": 0.0,
    }


def test_a_full_batch_needs_no_refill(make_collector, prompts):
    rollouts, metrics = collect(make_collector(max_refills=5), prompts, refill=None)
    assert len(rollouts) == 5
    assert metrics["group/refills"] == 0


def test_a_spent_budget_is_what_is_alive(make_collector, prompts, further):
    rollouts, metrics = collect(
        make_collector(max_refills=2), prompts, alive={"wide", "wide-1", "wide-2"}, refill=further
    )
    assert ids(rollouts) == ["wide", "wide-1"]
    assert (metrics["group/refills"], metrics["group/alive"]) == (2, 2)


def test_nothing_alive_is_nothing(make_collector, prompts, further):
    rollouts, metrics = collect(make_collector(max_refills=2), prompts, alive=set(), refill=further)
    assert rollouts is None
    assert (metrics["group/alive"], metrics["policy/skipped_steps"]) == (0, 1.0)


def test_an_item_that_came_already_is_not_rolled_out_again(make_collector, prompts, items):
    collector = make_collector(max_refills=3)
    _, metrics = collect(collector, prompts, alive=set(), refill=lambda refill: items)
    assert len(collector.engine.asked) == 1
    assert metrics["group/refills"] == 3


def test_it_is_asked_who_is_alive_when_the_reward_is_whole(make_collector, prompts, further):
    """Refills too; a group that the text alone leaves dead may be alive by then, and the other way round."""

    def complete(rollouts):
        totals = [result.total for result in rollouts.rewards]
        paid = [replace(result, total=-total) for result, total in zip(rollouts.rewards, totals, strict=True)]
        return replace(rollouts, rewards=tuple(paid))

    def alive(rollouts):
        assert all(result.total <= 0 for result in rollouts.rewards)
        return [0]

    collector = make_collector(max_refills=1)
    rollouts, _ = collector(prompts, 4, complete=complete, alive=alive, refill=further)
    assert ids(rollouts) == ["square", "square-0"]
    assert min(result.total for result in rollouts.rewards) < 0


def test_a_reward_is_made_whole_by_all_ranks_as_often(make_collector, prompts):
    """Also where a refill has nothing for one: what the others ask of all would never come."""
    asked = []
    collector = make_collector(max_refills=2)
    collect(collector, prompts, alive=["square"], refill=lambda n: [], complete=lambda of: asked.append(of) or of)
    assert [of is None for of in asked] == [False, True, True]


def test_a_reward_says_which_responses_are_right(make_collector, prompts):
    """Terms of right responses alone, and guesses, would find none, without a word."""
    collector = make_collector()
    collector.reward = lambda item, text: RewardResult(1.0, {"brevity": 1.0}, None, scorable=True)
    with pytest.raises(
        ConfigError, match=r"^reward=function must have the same parts .* accuracy.*; got brevity after"
    ):
        collect(collector, prompts)


def test_a_reward_has_always_the_same_parts(make_collector, prompts):
    """What only some responses have has no mean."""
    collector = make_collector()
    parts = iter([{"accuracy": 1.0}] * (len(prompts) * G) + [{"accuracy": 1.0, "bonus": 1.0}] * len(prompts) * G)
    collector.reward = lambda item, text: RewardResult(1.0, next(parts), None, scorable=True)
    collect(collector, prompts)
    with pytest.raises(ConfigError, match=r"^reward=function .*; got accuracy, bonus after accuracy$"):
        collect(collector, prompts)


def test_a_reward_may_count(make_collector, prompts):
    """Whole numbers have no mean, and NumPy's no JSON."""
    collector = make_collector()
    collector.reward = lambda item, text: RewardResult(
        len(text), {"accuracy": np.bool_(True), "words": torch.tensor(2)}, None, scorable=True
    )
    rollouts, _ = collect(collector, prompts)
    assert rollouts.totals.dtype == torch.float32
    assert rollouts.correct.all()
    assert {type(value) for result in rollouts.rewards for value in result.parts.values()} == {float}


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("inf")])
def test_a_reward_gives_finite_numbers(make_collector, prompts, value):
    collector = make_collector()
    named = prompts.items[-1].id
    collector.reward = lambda item, text: RewardResult(
        value if item.id == named else 0.5, {"accuracy": 1.0}, None, scorable=True
    )
    with pytest.raises(
        ConfigError, match=f"^reward=function must give finite numbers, got .* as total of item {named}$"
    ):
        collect(collector, prompts)
