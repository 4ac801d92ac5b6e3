"""The whole loss: against the slow one, in any split, with any padding, and with each term taken out."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from objectives import having

from papo.errors import SettingError
from papo.objective import (
    Branch,
    DoubleEntropy,
    EntropyHinge,
    Need,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    Surrogate,
)
from papo.objective.branch import CURRENT, OLD, REFERENCE

from . import slow
from .cases import (
    AGGREGATIONS,
    BRANCHES,
    EVERYTHING,
    HORIZON,
    LENGTHS,
    OFF,
    PICTURED,
    VARIANTS,
    Told,
    counts,
    gradients,
    make_evidence,
    over_tensors,
    run,
    run_part,
    take,
    with_leaves,
)

variants = pytest.mark.parametrize("objective", VARIANTS.values(), ids=VARIANTS)
aggregations = pytest.mark.parametrize("aggregation", AGGREGATIONS)


def numbers(metrics):
    return {name: value.item() for name, value in metrics.items()}


# ------------------------------------------------------------------------------------------------------- second opinion


@variants
def test_loss_and_metrics_against_the_slow_ones(objective):
    """In every aggregation, where every prompt has a picture and where two have none."""
    for aggregation, pictured in product(AGGREGATIONS, (None, PICTURED)):
        objective = having(objective, loss_aggregation=aggregation)
        evidence = make_evidence(padding=float("nan"), pictured=pictured)
        loss, metrics = run(objective, evidence)
        expected = slow.objective(objective, evidence, HORIZON)
        assert numbers(metrics) == pytest.approx(expected, abs=1e-12), (aggregation, pictured)
        assert loss.item() == metrics["loss/total"].item()


@aggregations
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "full"])
@pytest.mark.parametrize("direction", ["clean_to_corrupted", "corrupted_to_clean"])
def test_perception_against_the_slow_one_in_every_combination(aggregation, estimator, direction):
    evidence = make_evidence(2)
    for cap, share, responses, constant in product(
        (None, 0.6), (1.0, 0.4), ("all", "correct", "weighted"), (True, False)
    ):
        term = PerceptionKL(
            0.4,
            estimator,
            direction,
            corrupted_gradient=not constant,
            cap=cap,
            token_share=share,
            responses=responses,
        )
        objective = having(OFF, perception=term, loss_aggregation=aggregation)
        expected = slow.objective(objective, evidence, HORIZON, scale=0.7)
        got = numbers(run(objective, evidence, scales={"perception": 0.7})[1])
        assert got == pytest.approx(expected, abs=1e-12), (cap, share, responses, constant)


def test_the_update_reaches_every_bound():
    """Otherwise the tests around this one would not see them."""
    metrics = numbers(run(EVERYTHING, make_evidence())[1])
    assert min(metrics[f"policy/clip_frac_{name}"] for name in ("low", "high", "dual")) > 0.03
    for scores, term in (("reference", EVERYTHING.terms["reference"]), ("noised", EVERYTHING.terms["robustness"])):
        uncapped = replace(term, cap=None)
        evidence = make_evidence()
        values = uncapped.values(evidence.current.logprobs, getattr(evidence, scores).logprobs)
        assert 0 < (values > term.cap)[evidence.response_mask].double().mean() < 1


@variants
def test_gradient_is_the_derivative(objective):
    """Of everything that a policy in training may have made; the constant branches of the variants are left out."""
    evidence, leaves = with_leaves(make_evidence(3, lengths=(3, 0, 1, 4)))
    names = list(leaves)
    if not objective.terms["perception"].corrupted_gradient:
        names.remove("corrupted.logprobs")

    def loss(*tensors):
        given = leaves | dict(zip(names, tensors, strict=True))
        return run(objective, over_tensors(evidence, lambda name, x: given.get(name, x)))[0]

    # Along random directions, a hundredth of the time of one direction for each element.
    torch.autograd.gradcheck(loss, [leaves[name] for name in names], fast_mode=True)


@aggregations
def test_gradient_of_everything_in_every_aggregation(aggregation):
    test_gradient_is_the_derivative(having(EVERYTHING, loss_aggregation=aggregation))


@aggregations
def test_metrics_have_weights_that_sum_to_one(aggregation):
    """A metric that is 1 at every token is 1, also where the loss divides by the horizon."""
    evidence = make_evidence(pictured=PICTURED)
    ones = torch.ones_like(evidence.old_logprobs)
    every = dict.fromkeys(BRANCHES, Told(evidence.old_logprobs, ones, full_kl=ones))
    objective = having(
        EVERYTHING,
        aggregation,
        surrogate={"visual_token_share": 0.5},
        reference={"estimator": "full", "cap": None},
        perception={"estimator": "full", "cap": None},
        robustness={"estimator": "full", "cap": None},
    )
    metrics = numbers(run(objective, replace(evidence, **every))[1])
    names = (
        "policy/ratio_mean",
        "policy/entropy",
        "policy/corrupted_entropy",
        "policy/ref_kl",
        "perception/kl",
        "perception/robustness_kl",
    )
    assert {name: metrics[name] for name in names} == pytest.approx(dict.fromkeys(names, 1.0), abs=1e-12)


def test_the_loss_of_dr_grpo_keeps_its_weights():
    """Ratio 1 and advantage 1 at 29 tokens of 7 responses with any, horizon 9."""
    evidence = make_evidence()
    evidence = replace(
        evidence, old_logprobs=evidence.current.logprobs, advantages=torch.ones_like(evidence.advantages)
    )
    _, metrics = run(having(OFF, "seq-mean-token-sum-norm"), evidence)
    assert metrics["loss/policy"].item() == pytest.approx(-29 / (7 * 9), abs=1e-12)
    assert metrics["policy/ratio_mean"].item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_precision_is_that_of_the_scores(dtype):
    """Rewards of another precision do not change it, and nothing in between rounds to float32."""
    evidence = over_tensors(make_evidence(), lambda _, x: x.to(dtype) if x.is_floating_point() else x)
    evidence = replace(evidence, advantages=evidence.advantages.to(dtype))
    loss, metrics = run(EVERYTHING, evidence)
    assert loss.dtype == dtype
    assert {value.dtype for value in metrics.values()} == {dtype}


# -------------------------------------------------------------------------------------------------------- micro-batches


def splits():
    yield "one row at a time", [[row] for row in range(len(LENGTHS))]
    yield "halves", [[0, 1, 2, 3], [4, 5, 6, 7]]
    yield "groups backwards", [[4, 5, 6, 7], [0, 1, 2, 3]]
    yield "an odd piece without a token", [[3], [6, 0, 5], [7, 4, 2, 1]]
    yield "the whole in another order", [[5, 2, 7, 3, 0, 6, 1, 4]]


SPLITS = dict(splits())


def check_split(objective, split):
    """Loss, metrics and gradient, in any order, each piece cut to its own longest response."""
    expected, expected_metrics, expected_gradient = gradients(objective, make_evidence(pictured=PICTURED))
    whole, leaves = with_leaves(make_evidence(pictured=PICTURED))
    denominators = counts(objective, whole)
    total, metrics = 0.0, dict.fromkeys(expected_metrics, 0.0)
    for rows in split:
        loss, parts = run_part(objective, take(whole, rows), denominators)
        loss.backward()
        total += loss.item()
        assert parts.keys() == metrics.keys()
        for name, value in parts.items():
            metrics[name] += value.item()
    assert total == pytest.approx(expected.item(), abs=1e-12)
    assert metrics == pytest.approx(numbers(expected_metrics), abs=1e-12)
    for name, leaf in leaves.items():
        got = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        torch.testing.assert_close(got, expected_gradient[name], rtol=0, atol=1e-12, msg=name)


@variants
def test_micro_batches_add_up_to_the_batch(objective):
    for aggregation in AGGREGATIONS:
        check_split(having(objective, loss_aggregation=aggregation), SPLITS["an odd piece without a token"])


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@aggregations
def test_any_split_adds_up_to_the_batch(split, aggregation):
    check_split(having(EVERYTHING, loss_aggregation=aggregation), split)


@aggregations
def test_a_filtered_response_is_as_good_as_absent(aggregation):
    """Row 3 has no token: without it the update is the same."""
    objective, evidence = having(EVERYTHING, loss_aggregation=aggregation), make_evidence()
    rest = take(evidence, [row for row in range(len(LENGTHS)) if row != 3])
    assert numbers(run(objective, rest)[1]) == pytest.approx(numbers(run(objective, evidence)[1]), abs=1e-15)


# -------------------------------------------------------------------------------------------------------------- padding


@variants
def test_padding_cannot_move_any_term(objective):
    """Junk in the padding and two columns of it behind: the same numbers, and no gradient into it."""
    check_padding(objective, float("nan"))


@pytest.mark.parametrize("junk", [float("inf"), -1e30])
def test_nor_can_other_junk_than_nan(junk):
    check_padding(EVERYTHING, junk)


def check_padding(objective, junk):
    _, expected, expected_gradient = gradients(objective, make_evidence())

    def widen(_, x):
        return torch.cat(
            [x, torch.full((len(x), 2), junk).to(x) if x.is_floating_point() else torch.zeros_like(x[:, :2])], 1
        )

    padded = over_tensors(make_evidence(padding=junk), widen)
    _, metrics, gradient = gradients(objective, padded)
    assert numbers(metrics) == pytest.approx(numbers(expected), abs=1e-14)
    mask = padded.response_mask
    for name, want in expected_gradient.items():
        torch.testing.assert_close(gradient[name][mask], want[mask[:, :-2]], rtol=0, atol=1e-14, msg=name)
        assert torch.equal(gradient[name][~mask], torch.zeros(int((~mask).sum()), dtype=torch.float64)), name


# ------------------------------------------------------------------------------------------------------ terms taken out

TERMS = {  # part of the loss: the objective without it, and the branch that only it looked at
    "kl": ({"reference": {"coef": 0.0}}, "reference"),
    "perception": ({"perception": {"coef": 0.0}}, "rollout_corrupted"),
    "entropy": ({"entropy": {"coef": 0.0}}, None),
    "corrupted_entropy": ({"entropy": {"corrupted_coef": 0.0}}, None),
    "entropy_hinge": ({"entropy_hinge": {"coef": 0.0}}, None),
    "robustness": ({"robustness": {"coef": 0.0}}, "noised"),
}
LOSSES = {f"loss/{name}" for name in ("policy", *TERMS)}
terms = pytest.mark.parametrize("name", TERMS)


def only(*names):
    """Nothing but the surrogate and some terms."""
    objective = having(EVERYTHING, surrogate={"visual_token_share": None})
    for other, (without, _) in TERMS.items():
        objective = objective if other in names else having(objective, **without)
    return objective


NOTHING = only()


@terms
def test_a_coefficient_of_zero_removes_its_term_bit_for_bit(name):
    """The other parts stay what they are to the last bit, and so does their sum."""
    settings, branch = TERMS[name]
    objective = having(EVERYTHING, **settings)
    _, expected = run(EVERYTHING, make_evidence())
    loss, metrics = run(objective, replace(make_evidence(), **({branch: None} if branch else {})))
    assert {key for key in metrics if key.startswith("loss/")} == LOSSES - {f"loss/{name}"} | {"loss/total"}
    for key in metrics.keys() - {"loss/total"}:
        assert torch.equal(metrics[key], expected[key]), key
    assert torch.equal(loss, sum(expected[key] for key in expected if key in LOSSES - {f"loss/{name}"}))


@terms
def test_one_coefficient_adds_one_part(name):
    """To the surrogate, whose bits it does not change; its own are those it has among all the others."""
    _, metrics = run(only(name), make_evidence())
    assert {key for key in metrics if key.startswith("loss/")} == {"loss/policy", f"loss/{name}", "loss/total"}
    assert torch.equal(metrics["loss/policy"], run(NOTHING, make_evidence())[1]["loss/policy"])
    assert torch.equal(metrics[f"loss/{name}"], run(EVERYTHING, make_evidence())[1][f"loss/{name}"])


def test_without_any_term_the_loss_is_the_surrogate_bit_for_bit():
    """And nothing else has to be computed for it."""
    evidence, leaves = with_leaves(make_evidence())
    alone = replace(evidence, reference=None, corrupted=None, rollout_corrupted=None, noised=None)
    loss, metrics = run(NOTHING, alone)
    mask = evidence.response_mask
    lengths = mask.sum(-1, keepdim=True).clamp(min=1)
    surrogate, _ = NOTHING.terms["surrogate"].loss(
        evidence.current.logprobs,
        evidence.old_logprobs,
        evidence.advantages,
        mask,
        mask.double() / lengths / 7,
        torch.mean,
    )
    assert torch.equal(loss, surrogate)
    (got,) = torch.autograd.grad(loss, leaves["current.logprobs"])
    (want,) = torch.autograd.grad(surrogate, leaves["current.logprobs"])
    assert torch.equal(got, want)
    assert metrics.keys() == {
        "policy/ratio_mean",
        "policy/clip_frac_low",
        "policy/clip_frac_high",
        "policy/clip_frac_dual",
        "policy/entropy",
        "loss/policy",
        "loss/total",
    }


CORRUPTED, NOISED, OLD_CORRUPTED = BRANCHES["corrupted"], BRANCHES["noised"], BRANCHES["rollout_corrupted"]
LOOKED_AT, TRAINED = Need(), Need(gradient=True)
WITH_STATES, TRAINED_WITH_STATES = Need(states=True), Need(gradient=True, states=True)
POLICY = {CURRENT: TRAINED, OLD: LOOKED_AT}  # of the surrogate
VPPO = Surrogate(visual_token_share=0.4)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, {}),
        ({"reference": ReferenceKL(0.0, "full")}, {}),
        ({"perception": PerceptionKL(0.0)}, {}),
        ({"perception": PerceptionKL(0.0, "full")}, {}),
        ({"perception": PerceptionKL(0.0, recompute="rollout")}, {}),
        ({"entropy": DoubleEntropy(0.0, 0.0)}, {}),
        ({"entropy_hinge": EntropyHinge(0.0)}, {}),
        ({"robustness": RobustnessKL(0.0, "full")}, {}),
        ({"surrogate": Surrogate(visual_estimator="full")}, {}),
        ({"reference": ReferenceKL(0.1)}, {REFERENCE: LOOKED_AT}),
        ({"reference": ReferenceKL(0.1, place="reward")}, {REFERENCE: LOOKED_AT}),
        ({"reference": ReferenceKL(0.1, "full")}, {CURRENT: TRAINED_WITH_STATES, REFERENCE: WITH_STATES}),
        ({"perception": PerceptionKL(0.1)}, {CORRUPTED: TRAINED}),
        (
            {"perception": PerceptionKL(0.1, "full")},
            {CURRENT: TRAINED_WITH_STATES, CORRUPTED: TRAINED_WITH_STATES},
        ),
        ({"perception": PerceptionKL(0.1, corrupted_gradient=False)}, {CORRUPTED: LOOKED_AT}),
        ({"perception": PerceptionKL(0.1, recompute="rollout")}, {OLD_CORRUPTED: LOOKED_AT}),
        (
            {"perception": PerceptionKL(0.1, recompute="rollout", corrupted_gradient=False)},
            {OLD_CORRUPTED: LOOKED_AT},
        ),
        (
            {"perception": PerceptionKL(0.1, "full", recompute="rollout")},
            {CURRENT: TRAINED_WITH_STATES, OLD_CORRUPTED: WITH_STATES},
        ),
        ({"perception": PerceptionKL(0.1, view="tiles")}, {Branch("current", "tiles"): TRAINED}),
        ({"entropy": DoubleEntropy(0.1, 0.0)}, {}),
        ({"entropy": DoubleEntropy(0.0, 0.1)}, {CORRUPTED: TRAINED}),
        ({"entropy": DoubleEntropy(0.0, 0.1, view="noised")}, {NOISED: TRAINED}),
        ({"entropy_hinge": EntropyHinge(0.1)}, {CORRUPTED: TRAINED}),
        ({"entropy_hinge": EntropyHinge(0.1, view="noised")}, {NOISED: TRAINED}),
        ({"surrogate": VPPO}, {CORRUPTED: LOOKED_AT}),
        ({"surrogate": replace(VPPO, view="noised")}, {NOISED: LOOKED_AT}),
        ({"surrogate": VPPO, "perception": PerceptionKL(0.0, "full")}, {CORRUPTED: LOOKED_AT}),
        (
            {"surrogate": replace(VPPO, visual_estimator="full")},
            {CURRENT: TRAINED_WITH_STATES, CORRUPTED: WITH_STATES},
        ),
        (
            {"surrogate": replace(VPPO, visual_estimator="full"), "perception": PerceptionKL(0.1)},
            {CURRENT: TRAINED_WITH_STATES, CORRUPTED: TRAINED_WITH_STATES},
        ),
        ({"robustness": RobustnessKL(0.1)}, {NOISED: TRAINED}),
        ({"robustness": RobustnessKL(0.1, "full")}, {CURRENT: TRAINED_WITH_STATES, NOISED: TRAINED_WITH_STATES}),
        ({"robustness": RobustnessKL(0.1, view="corrupted")}, {CORRUPTED: TRAINED}),
        (
            {"perception": PerceptionKL(0.1, recompute="rollout"), "entropy": DoubleEntropy(0.0, 0.1)},
            {CORRUPTED: TRAINED, OLD_CORRUPTED: LOOKED_AT},
        ),
    ],
)
def test_what_a_step_must_compute(settings, needed):
    assert having(OFF, **settings).passes() == POLICY | needed


@variants
def test_what_is_not_needed_is_not_looked_at(objective):
    """And what is needed suffices; `seen` gives a KL over the vocabulary only where states are asked for."""
    evidence, needed = make_evidence(), objective.passes()
    unneeded = {name: None for name, branch in BRANCHES.items() if branch not in needed}
    assert torch.equal(run(objective, replace(evidence, **unneeded))[0], run(objective, evidence)[0])


@pytest.mark.parametrize(
    "objective",
    [
        having(OFF, entropy=DoubleEntropy(0.0, 0.1)),
        having(OFF, entropy_hinge=EntropyHinge(0.1)),
        having(OFF, perception=PerceptionKL(0.1)),
        having(OFF, surrogate=Surrogate(visual_token_share=0.4)),
    ],
)
def test_a_term_never_drops_out_for_want_of_scores(objective):
    with pytest.raises(AssertionError, match="look at nothing: current policy on the corrupted view"):
        run(objective, replace(make_evidence(), corrupted=None))


# ---------------------------------------------------------------------------------------------------- what carries what


@pytest.mark.parametrize("corrupted_gradient", [True, False])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("direction", ["clean_to_corrupted", "corrupted_to_clean"])
def test_perception_reaches_the_corrupted_branch_exactly_when_configured(corrupted_gradient, estimator, direction):
    term = PerceptionKL(0.1, estimator, direction, corrupted_gradient=corrupted_gradient, cap=None)
    objective = having(OFF, perception=term)
    assert objective.passes()[CORRUPTED].gradient == corrupted_gradient
    evidence, leaves = with_leaves(make_evidence())
    run(objective, evidence)[0].backward()
    inside = evidence.response_mask.clone()
    inside[0, 0] = False  # its log-ratio is beyond the limit
    assert (leaves["corrupted.logprobs"].grad is not None) == corrupted_gradient
    if corrupted_gradient:
        assert (leaves["corrupted.logprobs"].grad[inside] != 0).all()
    assert leaves["current.logprobs"].grad[inside].count_nonzero() == inside.sum()


def test_the_choice_of_visual_tokens_is_not_trained():
    """The corrupted branch decides where the policy gradient goes and gets none itself."""
    for estimator in ("k3", "full"):
        objective = having(OFF, surrogate=replace(VPPO, visual_estimator=estimator))
        evidence, leaves = with_leaves(make_evidence())
        run(objective, evidence)[0].backward()
        assert [name for name, leaf in leaves.items() if leaf.grad is not None] == ["current.logprobs"]


def test_visual_tokens_are_those_that_its_own_estimator_calls_so():
    """Whatever the perception term's is: here the full KL says the last token, the sampled one the first."""
    evidence = make_evidence(lengths=(3, 3))
    logprobs, full = evidence.current.logprobs, torch.tensor([[0.0, 1.0, 2.0]] * 2, dtype=torch.float64)
    corrupted = Told(logprobs - torch.tensor([2.0, 1.0, 0.0]), torch.zeros_like(logprobs), full_kl=full)
    evidence = replace(evidence, old_logprobs=logprobs, corrupted=corrupted)
    for estimator, place in (("full", 2), ("k3", 0)):
        objective = having(OFF, surrogate=Surrogate(visual_token_share=0.1, visual_estimator=estimator))
        _, _, gradient = gradients(objective, evidence)
        assert gradient["current.logprobs"].nonzero().tolist() == [[0, place], [1, place]]


def test_constants_get_no_gradient():
    evidence, leaves = with_leaves(make_evidence())
    denominators = counts(EVERYTHING, evidence)
    for constant in (evidence.old_logprobs, evidence.reference.logprobs, evidence.advantages):
        constant.requires_grad_()
    run_part(EVERYTHING, evidence, denominators)[0].backward()
    assert evidence.old_logprobs.grad is None
    assert evidence.reference.logprobs.grad is None
    assert evidence.advantages.grad is None
    assert leaves["current.logprobs"].grad is not None


def test_metrics_carry_no_gradient():
    evidence, _ = with_leaves(make_evidence())
    loss, metrics = run(EVERYTHING, evidence)
    assert loss.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("direction", ["clean_to_corrupted", "corrupted_to_clean"])
def test_identical_branches_have_no_perception_kl(estimator, direction):
    objective = having(OFF, perception=PerceptionKL(0.1, estimator, direction))
    evidence = make_evidence()
    evidence = replace(evidence, corrupted=Told(evidence.current.logprobs.clone(), evidence.current.entropy))
    _, metrics = run(objective, evidence)
    assert metrics["perception/kl"].item() == 0.0
    assert metrics["loss/perception"].item() == 0.0


def test_a_scale_multiplies_its_term_and_nothing_else():
    _, whole = run(EVERYTHING, make_evidence())
    _, damped = run(EVERYTHING, make_evidence(), scales={"perception": 0.25})
    changed = {name for name in whole if not torch.equal(whole[name], damped[name])}
    assert changed == {"loss/perception", "loss/total"}
    assert damped["loss/perception"].item() == pytest.approx(0.25 * whole["loss/perception"].item(), abs=1e-15)


def test_the_corrupted_entropy_is_reported_from_the_current_parameters_where_there_are_both():
    evidence = make_evidence()
    for kept, given in (("corrupted", {}), ("rollout_corrupted", {"corrupted": None})):
        objective = OFF if given else EVERYTHING
        _, metrics = run(objective, replace(evidence, **given))
        expected = slow.average(
            getattr(evidence, kept).entropy.tolist(), evidence.response_mask.tolist(), "seq-mean-token-mean", HORIZON
        )
        assert metrics["policy/corrupted_entropy"].item() == pytest.approx(expected, abs=1e-12)


# ---------------------------------------------------------------------------------------------- nothing to average over


@aggregations
def test_without_a_correct_response_the_perception_term_is_zero(aggregation):
    objective = having(OFF, perception=PerceptionKL(0.1, responses="correct"), loss_aggregation=aggregation)
    evidence = make_evidence()
    _, metrics, gradient = gradients(objective, replace(evidence, correct=torch.zeros_like(evidence.correct)))
    assert "perception/kl" not in metrics
    assert gradient["corrupted.logprobs"].count_nonzero() == 0
    assert metrics["loss/total"].item() == metrics["loss/policy"].item() != 0.0


@aggregations
@pytest.mark.parametrize("rewards", [0.0, -0.5])
def test_rewards_that_are_not_positive_weigh_nothing(aggregation, rewards):
    objective = having(OFF, perception=PerceptionKL(0.1, responses="weighted"), loss_aggregation=aggregation)
    evidence = make_evidence()
    _, metrics = run(objective, replace(evidence, rewards=torch.full_like(evidence.rewards, rewards)))
    assert metrics["loss/perception"].item() == 0.0
    assert "perception/kl" not in metrics


@variants
def test_an_update_without_a_token_is_zero(objective):
    evidence = make_evidence(padding=float("nan"))
    evidence = replace(evidence, response_mask=torch.zeros_like(evidence.response_mask))
    for aggregation in AGGREGATIONS:
        loss, metrics, gradient = gradients(having(objective, loss_aggregation=aggregation), evidence)
        assert loss.item() == 0.0
        assert set(numbers(metrics).values()) == {0.0}
        assert not any(value.count_nonzero() for value in gradient.values())


# ---------------------------------------------------------------------------------------------------------- composition


def test_an_unknown_aggregation_names_itself():
    with pytest.raises(
        SettingError, match=r"^loss_aggregation must be one of seq-mean-token-mean, token-mean, .*'mean'"
    ):
        having(OFF, loss_aggregation="mean")


def test_terms_that_are_not_named_are_not_there():
    """Any term alone is an objective: here the surrogate, of GRPO."""
    objective = Objective("token-mean", surrogate=Surrogate())
    assert objective.passes() == POLICY
    evidence = make_evidence()
    bare = replace(evidence, reference=None, corrupted=None, rollout_corrupted=None, noised=None)
    loss, metrics = run(objective, bare)
    assert metrics.keys() == {f"policy/{name}" for name in ("ratio_mean", "clip_frac_low", "clip_frac_high")} | {
        "loss/policy",
        "loss/total",
    }
    assert torch.equal(loss, run(having(OFF, "token-mean", surrogate=Surrogate()), evidence)[0])


def test_two_terms_of_one_class_are_both_in_the_loss():
    """On two views; what they report bears the second's name too."""
    evidence = make_evidence()
    one, other = {"coef": 0.4, "cap": None}, PerceptionKL(coef=0.3, view="noised", cap=None)
    first = having(OFF, perception=one)
    loss, metrics = run(having(first, second=other), evidence)
    part = run(having(OFF, perception=other), evidence)[1]
    assert metrics["loss/perception"] == run(first, evidence)[1]["loss/perception"]
    assert metrics["loss/perception_second"] == part["loss/perception"]
    assert metrics["perception/kl_second"] == part["perception/kl"]
    torch.testing.assert_close(loss, run(first, evidence)[0] + part["loss/perception"])
    assert torch.equal(metrics["loss/total"], loss)


def test_the_terms_say_what_is_paid_shown_and_scaled():
    assert [part.name for part in having(OFF, reference=ReferenceKL(0.1, place="reward")).reward_parts()] == ["ref_kl"]
    assert EVERYTHING.reward_parts() == []
    assert EVERYTHING.headlines() == {"perception/kl": "kl_prcp"}
    scales = having(EVERYTHING, perception={"schedule": "linear"}).scales(0.25)
    assert scales == {name: 0.75 if name == "perception" else 1.0 for name in EVERYTHING.terms}
