"""Which policy is run on which prompts, how often, and where its scores land."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from papo.corruption import RandomPatchMask
from papo.objective import Branch, Need
from papo.objective.branch import CURRENT, OLD, REFERENCE
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor
from papo.policy.reference import Reference
from papo.training.scoring import Scoring, divided
from papo.types import PromptBatch, RewardResult, Rollouts, View

CORRUPTED, STALE = Branch("current", "corrupted"), Branch("rollout", "corrupted")
LOOKED_AT, TRAINED, STATES = Need(), Need(gradient=True), Need(states=True)
LENGTHS = [4, 2, 6, 6, 3, 1, 5, 5, 2, 2]  # two responses to each of five prompts, the third of which has no picture
PICTURED, TEXT_ONLY = [0, 1, 2, 3, 6, 7, 8, 9], [4, 5]


@pytest.fixture(scope="module")
def rollouts(prompts: PromptBatch, make_responses) -> Rollouts:
    corruption = RandomPatchMask(0.6)
    own = prompts.images.select([n for n in range(5) for _ in range(2)])
    return Rollouts(
        prompts=prompts,
        responses=make_responses(LENGTHS),
        texts=("",) * 10,
        rewards=(RewardResult(0.0, {}, None, True),) * 10,
        views={
            "clean": View(prompts.images),
            "corrupted": View(corruption(prompts.images, range(5))),
            "own": View(corruption(own, range(10)), per="response"),
        },
    )


class Counting:
    """A policy's verbs, and the prompts and images that they were called with."""

    def __init__(self, policy) -> None:
        self.policy = policy
        self.encoded, self.prompts, self.temperatures = [], [], []

    def encode(self, images):
        self.encoded.append(images.counts)
        return self.policy.encode(images)

    def prefill(self, prompts, features):
        self.prompts.append([item.id for item in prompts.items])
        return self.policy.prefill(prompts, features)

    def score(self, context, responses, *, temperature, keep_states):
        self.temperatures.append(temperature)
        return self.policy.score(context, responses, temperature=temperature, keep_states=keep_states)

    def __getattr__(self, name):
        return getattr(self.policy, name)


@pytest.fixture
def counting(policy) -> Counting:
    return Counting(policy)


@pytest.fixture
def scoring(counting) -> Scoring:
    return Scoring(counting, None, temperature=0.8, micro_batch_prompts=2)


def by_hand(policy, rollouts, view):
    """Every response at once, on the images of a view of each prompt."""
    with torch.no_grad():
        context = policy.prefill(rollouts.prompts, policy.encode(rollouts.views[view].images))
        return policy.score(context, rollouts.responses, temperature=0.8)


def close(a, b) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


# ----------------------------------------------------------------------------------------------------- once in a step


def test_once_scores_every_response_at_its_row(scoring, rollouts, policy):
    """In micro-batches of other prompts together, cut to other widths."""
    scored = scoring.once(rollouts, {OLD: LOOKED_AT, STALE: LOOKED_AT})
    assert scored.scores.keys() == {OLD, STALE}
    for branch in (OLD, STALE):
        expected = by_hand(policy, rollouts, branch.view)
        close(scored.scores[branch].logprobs, expected.logprobs)
        close(scored.scores[branch].entropy, expected.entropy)
        assert scored.scores[branch].states is None
    assert rollouts.scores == {}


def test_once_carries_no_gradient(scoring, rollouts):
    scores = scoring.once(rollouts, {OLD: STATES}).scores[OLD]
    assert not any(x.requires_grad for x in vars(scores).values())


def test_once_keeps_what_is_known(scoring, counting, rollouts):
    """What rewards depended on is not scored again for the loss."""
    scored = scoring.once(rollouts, {OLD: LOOKED_AT})
    passes = len(counting.prompts)
    again = scoring.once(scored, {OLD: LOOKED_AT})
    assert again.scores[OLD] is scored.scores[OLD]
    assert len(counting.prompts) == passes == 3  # five prompts, two at a time


def test_states_are_kept_where_they_are_asked_for(scoring, rollouts, model):
    """Also where the clean view, which text-only prompts share, was scored without them: they are scored again."""
    scored = scoring.once(rollouts, {OLD: LOOKED_AT, STALE: STATES})
    assert scored.scores[OLD].states is None
    assert scored.scores[STALE].states.shape == (10, 6, model.config.get_text_config().hidden_size)
    assert torch.equal(scored.scores[STALE].logprobs[TEXT_ONLY], scored.scores[OLD].logprobs[TEXT_ONLY])
    alone = scoring.once(scoring.once(rollouts.select([2]), {OLD: LOOKED_AT}), {STALE: STATES})
    assert alone.scores[STALE].states.shape == (2, 3, model.config.get_text_config().hidden_size)


def test_states_are_not_kept_where_nobody_asks_for_them(scoring, rollouts):
    """Not even those that text-only prompts share with the clean view."""
    asked = {OLD: STATES, STALE: LOOKED_AT}
    assert scoring.once(rollouts, asked).scores[STALE].states is None
    scoring.micro_batch_prompts = 1
    assert scoring.once(rollouts, asked).scores[STALE].states is None


def test_the_reference_is_scored_by_the_reference(policy, make_policy, rollouts):
    other = make_policy()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter *= 1.1
    scoring = Scoring(policy, Reference(other), temperature=0.8, micro_batch_prompts=5)
    scores = scoring.once(rollouts, {OLD: LOOKED_AT, REFERENCE: LOOKED_AT}).scores
    close(scores[REFERENCE].logprobs, by_hand(other, rollouts, "clean").logprobs)
    assert (scores[REFERENCE].logprobs - scores[OLD].logprobs).abs().max() > 0.01


def test_a_reference_in_shares_is_put_together_once_for_all_parts(policy, make_policy, rollouts):
    """By a rank that has none, too: the others cannot do it alone. What its states mean is known when it is gone."""
    asked, entered, reference = {REFERENCE: STATES, OLD: LOOKED_AT}, [], Reference(make_policy())
    with torch.no_grad():
        for parameter in reference._policy[0].parameters():
            parameter *= 1.1
    head = reference.head
    expected = Scoring(policy, reference, temperature=0.8, micro_batch_prompts=5).once(rollouts, asked).scores

    def kept(copied):
        @contextmanager
        def gathered():
            entered.append(True)
            yield copied

        return gathered

    reference.share_out(kept)
    scoring = Scoring(policy, reference, temperature=0.8, micro_batch_prompts=5)
    first, nothing, last = scoring.all_once([rollouts.select([0, 1, 2]), None, rollouts.select([3, 4])], asked)
    assert (nothing, len(entered)) == (None, 1)
    for branch in asked:
        close(first.scores[branch].logprobs, expected[branch].logprobs[:6])
        close(last.scores[branch].logprobs, expected[branch].logprobs[6:, :5])
    assert scoring.all_once([None], asked) == [None]
    assert scoring.all_once([None], {OLD: LOOKED_AT}) == [None]
    assert len(entered) == 2
    left = scoring.head(REFERENCE)
    assert left is not head
    assert torch.equal(left.weight, head.weight)
    assert not left.weight.requires_grad


# ----------------------------------------------------------------------------------------------------------- text only


@pytest.mark.parametrize("need", [LOOKED_AT, STATES])
def test_text_only_prompts_are_not_run_again_for_a_view(scoring, counting, rollouts, need):
    """Their scores are those of the clean branch, states and all."""
    scored = scoring.once(scoring.once(rollouts, {OLD: need}), {STALE: need})
    clean, corrupted = ([id for ids in part for id in ids] for part in (counting.prompts[:3], counting.prompts[3:]))
    assert sorted(clean) == ["pair", "small", "square", "text", "wide"]
    assert sorted(corrupted) == ["pair", "small", "square", "wide"]
    one, other = scored.scores[OLD], scored.scores[STALE]
    for name in ("logprobs", "entropy", "states") if need.states else ("logprobs", "entropy"):
        assert torch.equal(getattr(one, name)[TEXT_ONLY], getattr(other, name)[TEXT_ONLY]), name
        assert not torch.equal(getattr(one, name)[PICTURED], getattr(other, name)[PICTURED]), name


def test_now_gives_text_only_prompts_the_clean_scores_without_their_gradient(scoring, counting, rollouts):
    scores = scoring.now(rollouts, {CURRENT: TRAINED, CORRUPTED: TRAINED})
    assert counting.prompts == [["square", "wide", "text", "pair", "small"], ["square", "wide", "pair", "small"]]
    assert torch.equal(scores[CORRUPTED].logprobs[TEXT_ONLY], scores[CURRENT].logprobs[TEXT_ONLY])
    text_only = scores[CORRUPTED].logprobs[TEXT_ONLY].sum()
    (gradient,) = torch.autograd.grad(text_only, scores[CURRENT].logprobs, allow_unused=True, retain_graph=True)
    assert gradient is None
    pictured = scores[CORRUPTED].logprobs[PICTURED].sum()
    weight = counting.model.get_input_embeddings().weight
    assert torch.autograd.grad(pictured, weight)[0].any()


def test_text_only_prompts_alone_need_no_pass(scoring, counting, rollouts):
    micro = rollouts.select([2])
    scores = scoring.now(micro, {CURRENT: TRAINED, CORRUPTED: TRAINED})
    assert counting.prompts == [["text"]]
    assert torch.equal(scores[CORRUPTED].logprobs, scores[CURRENT].logprobs)
    assert not scores[CORRUPTED].logprobs.requires_grad


def test_without_the_clean_scores_text_only_prompts_have_zeros(scoring, counting, rollouts):
    """No term averages over them."""
    scored = scoring.once(rollouts.select([2, 0]), {STALE: LOOKED_AT}).scores[STALE]
    assert counting.prompts == [["square"]]
    assert not scored.logprobs[:2].any()
    assert not scored.entropy[:2].any()
    assert scored.logprobs[2:].any()
    alone = scoring.once(rollouts.select([2]), {STALE: LOOKED_AT}).scores[STALE]
    assert alone.logprobs.shape == (2, 3)


def test_the_order_in_which_terms_ask_says_nothing(scoring, rollouts):
    for scores in (
        scoring.once(rollouts, {STALE: LOOKED_AT, OLD: LOOKED_AT}).scores,
        scoring.now(rollouts, {CORRUPTED: TRAINED, CURRENT: TRAINED}),
    ):
        clean, other = (next(scores[b] for b in scores if b.view == view) for view in ("clean", "corrupted"))
        assert torch.equal(clean.logprobs[TEXT_ONLY], other.logprobs[TEXT_ONLY])
        assert other.logprobs[TEXT_ONLY].any()


def test_states_that_are_logits_are_kept_of_prompts_without_a_picture_too(saved_family, family_items, make_responses):
    loaded = load_policy(saved_family("gemma3"), dtype="float32", chunk_tokens=100)
    prompts = PromptProcessor(loaded.processor, "").prompts(family_items[:2])  # the second has no picture
    rollouts = Rollouts(
        prompts=prompts,
        responses=make_responses([4, 2, 3, 1]),
        texts=("",) * 4,
        rewards=(RewardResult(0.0, {}, None, True),) * 4,
        views={"clean": View(prompts.images), "corrupted": View(RandomPatchMask(0.6)(prompts.images, range(2)))},
    )
    scoring = Scoring(loaded.policy, None, temperature=0.8, micro_batch_prompts=1)
    states = scoring.once(rollouts, {STALE: STATES}).scores[STALE].states
    clean = scoring.once(rollouts, {OLD: STATES}).scores[OLD].states
    assert states.shape == clean.shape
    assert not torch.equal(states[0], clean[0])
    torch.testing.assert_close(states[2:], clean[2:], rtol=0, atol=1e-5)


# --------------------------------------------------------------------------------------------------- in every update


@pytest.mark.parametrize(("need", "gradient"), [(TRAINED, True), (LOOKED_AT, False)])
def test_now_carries_a_gradient_where_one_is_needed(scoring, rollouts, need, gradient):
    scores = scoring.now(rollouts, {CURRENT: TRAINED, CORRUPTED: need})
    assert scores[CURRENT].logprobs.requires_grad
    assert scores[CORRUPTED].logprobs.requires_grad is gradient


def test_now_carries_no_gradient_where_none_is_wanted(scoring, rollouts):
    """As in the pictures that a log shows."""
    with torch.no_grad():
        scores = scoring.now(rollouts, {CURRENT: TRAINED})
    assert not scores[CURRENT].logprobs.requires_grad


def test_now_keeps_what_was_scored_before(scoring, rollouts):
    scored = scoring.once(rollouts, {OLD: LOOKED_AT})
    scores = scoring.now(scored, {CURRENT: TRAINED})
    assert scores[OLD] is scored.scores[OLD]


def test_a_roll_out_branch_that_was_not_scored_is_the_current_one_held_constant(scoring, rollouts):
    scores = scoring.now(rollouts, {CURRENT: TRAINED, CORRUPTED: TRAINED})
    for old, current in ((OLD, CURRENT), (STALE, CORRUPTED)):
        assert torch.equal(scores[old].logprobs, scores[current].logprobs)
        assert not scores[old].logprobs.requires_grad


def test_scored_as_sampled(scoring, counting, rollouts):
    """Under the sampling temperature."""
    scoring.now(rollouts, {CURRENT: TRAINED})
    scoring.once(rollouts, {OLD: LOOKED_AT})
    assert set(counting.temperatures) == {0.8}


def test_features_that_are_known_are_not_made_again(scoring, counting, rollouts, policy):
    with torch.no_grad():
        features = policy.encode(rollouts.views["corrupted"].images)
    known = replace(rollouts, views={**rollouts.views, "corrupted": View(rollouts.views["corrupted"].images, features)})
    expected = scoring.now(rollouts, {CURRENT: LOOKED_AT, CORRUPTED: LOOKED_AT})
    counting.encoded.clear()
    got = scoring.now(known, {CURRENT: LOOKED_AT, CORRUPTED: LOOKED_AT})
    assert len(counting.encoded) == 1
    close(got[CORRUPTED].logprobs, expected[CORRUPTED].logprobs)


def test_a_view_per_response_is_shown_to_its_response(scoring, counting, rollouts, policy):
    own = Branch("current", "own")
    scores = scoring.now(rollouts, {own: LOOKED_AT})[own].logprobs
    pictured = ["square", "square", "wide", "wide", "pair", "pair", "small", "small"]
    assert counting.prompts == [pictured]
    for row in (1, 6):
        images, prompt = rollouts.views["own"].images.select([row]), rollouts.prompts.select([row // 2])
        with torch.no_grad():
            context = policy.prefill(prompt, policy.encode(images))
            alone = policy.score(context, rollouts.responses.select([row]), temperature=0.8).logprobs
        close(scores[row, : alone.shape[1]], alone[0])


# ------------------------------------------------------------------------------------------------------ full divergence


def test_full_kl_is_between_the_branches_in_the_order_asked(scoring, rollouts, policy):
    scores = scoring.now(rollouts, {CURRENT: Need(True, True), CORRUPTED: Need(True, True)})
    mask = rollouts.responses.response_mask
    p, q = ((policy.model.lm_head(scores[b].states) / 0.8).log_softmax(-1) for b in (CURRENT, CORRUPTED))
    full_kl = scoring.full_kl(scores, mask)
    for first, second, x, y in ((CURRENT, CORRUPTED, p, q), (CORRUPTED, CURRENT, q, p)):
        close(full_kl(first, second), (x.exp() * (x - y)).sum(-1) * mask)


@pytest.mark.parametrize("constant", [None, CORRUPTED])
def test_full_kl_sends_nothing_into_the_states_that_are_constant(scoring, rollouts, constant):
    scores = scoring.now(rollouts.select([0]), {CURRENT: Need(True, True), CORRUPTED: Need(True, True)})
    kl = scoring.full_kl(scores, rollouts.select([0]).responses.response_mask)(CURRENT, CORRUPTED, constant=constant)
    states = [scores[branch].states for branch in (CURRENT, CORRUPTED)]
    current, corrupted = torch.autograd.grad(kl.sum(), states, allow_unused=True)
    assert current.any()
    assert (corrupted is None) == (constant is not None)


def test_a_full_kl_against_the_roll_out_keeps_its_output_layer(make_policy, rollouts):
    """Updates of a step move the head of the policy that is trained, not the distributions that were scored before."""
    policy = make_policy()
    scoring = Scoring(policy, None, temperature=0.8, micro_batch_prompts=2)
    scored = scoring.once(rollouts, {STALE: STATES})
    with torch.no_grad():
        old = (policy.head(scored.scores[STALE].states) / 0.8).log_softmax(-1)
        policy.model.lm_head.weight += 0.1 * torch.randn_like(policy.model.lm_head.weight)
        scores = scoring.now(scored, {CURRENT: STATES})
        new = (policy.head(scores[CURRENT].states) / 0.8).log_softmax(-1)
    mask = rollouts.responses.response_mask
    close(scoring.full_kl(scores, mask)(CURRENT, STALE, constant=STALE), (new.exp() * (new - old)).sum(-1) * mask)


# ------------------------------------------------------------------------------------------------------------ how often


@pytest.mark.parametrize(
    ("passes", "single_update", "once", "every"),
    [
        ({CURRENT: TRAINED, OLD: LOOKED_AT}, True, {}, {CURRENT: TRAINED}),
        ({CURRENT: TRAINED, OLD: LOOKED_AT}, False, {OLD: LOOKED_AT}, {CURRENT: TRAINED}),
        ({CURRENT: TRAINED, OLD: STATES}, True, {}, {CURRENT: Need(True, True)}),
        ({CURRENT: TRAINED, REFERENCE: STATES}, True, {REFERENCE: STATES}, {CURRENT: TRAINED}),
        ({CURRENT: TRAINED, STALE: LOOKED_AT}, True, {STALE: LOOKED_AT}, {CURRENT: TRAINED}),
        ({CORRUPTED: LOOKED_AT, STALE: STATES}, True, {}, {CORRUPTED: STATES}),
        ({CORRUPTED: LOOKED_AT, STALE: STATES}, False, {STALE: STATES}, {CORRUPTED: LOOKED_AT}),
    ],
)
def test_the_old_policy_is_scored_for_itself_only_where_it_differs_from_the_current_one(
    passes, single_update, once, every
):
    assert divided(passes, single_update=single_update) == (once, every)
