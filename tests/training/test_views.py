"""The views of a step: from which seed, once for a prompt or for a response, and encoded when."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from papo.corruption import Counterfactual, GaussianNoise, PatchShuffle, RandomPatchMask, Swap
from papo.errors import ConfigError
from papo.seeding import derive_seed, item_seeds
from papo.training.views import Views, differing
from papo.types import Images, PromptBatch, RewardResult, Rollouts, View

MAKERS = {
    "corrupted": RandomPatchMask(0.6),
    "noised": GaussianNoise(1.0, std=0.1),
    "own": RandomPatchMask(0.6, per="response"),
}


@pytest.fixture
def views(make_policy, processor) -> Views:
    return Views(make_policy(train_vision=False), processor, MAKERS, seed=3)


@pytest.fixture(scope="module")
def rollouts(prompts: PromptBatch, make_responses) -> Rollouts:
    results = (RewardResult(0.0, {}, None, True),) * 10
    return Rollouts(prompts, make_responses([2] * 10), ("",) * 10, results, views={"clean": View(prompts.images)})


def test_a_view_is_made_from_the_runs_seed_the_step_and_the_item(views, prompts):
    for name in ("corrupted", "noised"):
        view = views.make(name, prompts, 2, step=4)
        expected = MAKERS[name](prompts.images, item_seeds(name, 3, 4, prompts))
        assert torch.equal(view.images.pixel_values, expected.pixel_values)
        assert view.per == "prompt"
        assert not torch.equal(views.make(name, prompts, 2, step=5).images.pixel_values, expected.pixel_values)


def test_a_view_per_response_has_a_seed_for_each(views, prompts):
    view = views.make("own", prompts, 2, step=4)
    seeds = [derive_seed("response", seed, g) for seed in item_seeds("own", 3, 4, prompts) for g in range(2)]
    expected = MAKERS["own"](prompts.images.select([n for n in range(5) for _ in range(2)]), seeds)
    assert torch.equal(view.images.pixel_values, expected.pixel_values)
    assert view.images.counts == expected.counts == (1, 1, 1, 1, 0, 0, 2, 2, 1, 1)
    assert view.per == "response"
    first, second = view.images.parts()[:2]
    assert not torch.equal(first, second)


def test_the_roll_outs_have_the_views_asked_for_and_keep_those_they_had(views, rollouts):
    found = views(rollouts, ["clean", "noised"], step=0)
    assert found.views.keys() == {"clean", "noised"}
    assert found.views["clean"] is rollouts.views["clean"]
    again = views(found, ["corrupted", "noised"], step=7)
    assert again.views["noised"] is found.views["noised"]
    assert rollouts.views.keys() == {"clean"}
    assert len(views(rollouts, ["own"], step=0).views["own"].images.counts) == 10


@pytest.mark.parametrize("train_vision", [True, False])
def test_a_frozen_tower_encodes_a_view_when_it_is_made(make_policy, processor, prompts, train_vision):
    policy = make_policy(train_vision=train_vision)
    view = Views(policy, processor, MAKERS, seed=3).make("corrupted", prompts, 2, step=0)
    if train_vision:
        assert view.features is None  # made again in every pass, with its gradient
        return
    with torch.no_grad():
        expected = policy.encode(view.images)
    assert all(torch.equal(*pair) for pair in zip(view.features, expected, strict=True))
    assert not any(tokens.requires_grad for tokens in view.features)


def test_makers_are_shown_the_policy_before_the_first_step(make_policy, processor):
    """Those that are looked at, and no others: a view that no term looks at may lack its maker."""
    shown = []

    class Shown(RandomPatchMask):
        def attach(self, policy):
            shown.append((self.mask_ratio, policy))

    policy = make_policy()
    makers = {"corrupted": Shown(0.6), "tiles": Shown(0.2), "noised": None}
    Views(policy, processor, makers, 3).prepare(["clean", "tiles"])
    assert shown == [(0.2, policy)]


def test_a_view_that_nothing_makes_is_named(views):
    with pytest.raises(
        ConfigError, match=r"'tiles', which nothing makes; there are clean, corrupted, noised, own: add"
    ):
        views.prepare(["corrupted", "tiles"])


# ------------------------------------------------------------------------------------------- made where data is loaded


def redrawn(item, picture, seed):
    """Noise from the seed, of the sizes of the item's pictures."""
    return tuple(picture(image.width, image.height, seed % 1000) for image in item.images)


@pytest.fixture
def early(make_policy, processor) -> Views:
    views = Views(make_policy(), processor, MAKERS | {"other": Counterfactual()}, seed=3)
    views.prepare(["clean", "corrupted", "other"])
    return views


@pytest.fixture
def two_faced(items, picture):
    return [replace(item, counterfactual=partial(redrawn, item, picture)) for item in items]


def test_only_what_draws_is_made_with_the_batch(early, processor, two_faced):
    prompts = early.collate(two_faced)
    assert prompts.views.keys() == {"other"}
    assert torch.equal(prompts.prompt_ids, processor.prompts(two_faced).prompt_ids)
    assert not torch.equal(prompts.views["other"].pixel_values, prompts.images.pixel_values)
    assert early.make("other", prompts, 2, step=4).images is prompts.views["other"]


def test_with_the_batch_or_at_the_step_it_is_the_same(early, processor, two_faced):
    """A function of the run's seed and the item: not of the step, nor of the batch."""
    loaded = early.collate(two_faced).views["other"]
    for step in (0, 4):
        made = early.make("other", processor.prompts(two_faced), 2, step=step).images
        assert torch.equal(made.pixel_values, loaded.pixel_values)
    alone = early.collate([two_faced[3]]).views["other"]
    assert torch.equal(alone.pixel_values, loaded.select([3]).pixel_values)
    other = Views(early.policy, processor, early.makers, seed=4)
    other.prepare(["other"])
    assert not torch.equal(other.collate(two_faced).views["other"].pixel_values, loaded.pixel_values)


def test_it_goes_with_its_prompts(early, two_faced):
    prompts = early.collate(two_faced)
    chosen = prompts.select([3, 0]).to(torch.device("cpu"))
    assert torch.equal(chosen.views["other"].pixel_values, prompts.views["other"].select([3, 0]).pixel_values)
    joined = PromptBatch.concat([chosen, early.collate([two_faced[4]])], pad_token_id=0)
    assert joined.views["other"].counts == (2, 1, 1)


def test_a_run_that_looks_at_no_such_view_loads_none(make_policy, processor, items):
    views = Views(make_policy(), processor, MAKERS | {"other": Counterfactual()}, seed=3)
    views.prepare(["corrupted"])
    assert views.collate(items).views == {}


@pytest.mark.parametrize(
    ("name", "maker", "key", "why"),
    [
        ("corrupted", PatchShuffle(1.0, unit=50), "corruption", r"corruption\.mask_ratio is too small"),
        ("corrupted", Counterfactual(PatchShuffle(0.001)), "corruption", r"corruption\.otherwise\.mask_ratio is too"),
        ("corrupted", Swap(), "corruption", "no two items have pictures with as many visual tokens"),
        ("noised", GaussianNoise(0.001, std=0.1), r"algorithm\.noise", r"algorithm\.noise\.mask_ratio is too small"),
        ("other", PatchShuffle(0.001), r"algorithm\.views\.other", r"algorithm\.views\.other\.mask_ratio is too small"),
    ],
)
def test_a_view_that_is_bound_to_be_the_picture_is_refused_by_its_key(
    make_policy, processor, items, name, maker, key, why
):
    views = Views(make_policy(), processor, MAKERS | {name: maker}, seed=3)
    views.prepare(["clean", name, "own"])
    with pytest.raises(ConfigError, match=rf"^{key} leaves all of the first 2 pictures as they are: {why}"):
        views.check_changes(items[:3])  # one is without a picture
    views.check_changes([items[2]])
    views.prepare(["clean", "own"])
    views.check_changes(items[:3])  # nobody looks at it


def test_further_items_are_looked_at_where_the_first_leave_it_open(make_policy, processor, items):
    """A batch of pictures of many sizes, two of which are of one."""
    views = Views(make_policy(), processor, {"corrupted": Swap()}, seed=3)
    views.prepare(["corrupted"])
    further = iter(items[3:])
    views.check_changes(items[:3], further)
    assert list(further) == []
    further = iter(items)
    views.check_changes(items, further)
    assert list(further) == list(items)
    with pytest.raises(ConfigError, match="all of the first 4 pictures"):
        views.check_changes(items[:2], items[:2])


def test_what_differs_is_told_of_each_prompt_or_response(prompts):
    clean = prompts.images
    view = Swap()(clean, [1] * 5)
    assert differing(clean, view) == [False, False, False, True, True]  # two pictures are of one size
    assert differing(clean, clean) == [False] * 5
    each = Images.concat([prompts.select([n]).images for n in range(5) for _ in range(2)])
    black = RandomPatchMask(1.0)(clean, [1] * 5)
    mixed = Images.concat([of.select([n]) for n in range(5) for of in (clean, black)])
    assert differing(clean, each) == [False] * 10
    assert differing(clean, mixed) == [False, True] * 2 + [False, False] + [False, True] * 2


def test_data_without_it_is_refused_with_the_batch(early, items):
    with pytest.raises(ConfigError, match="item square has none"):
        early.collate(items)
