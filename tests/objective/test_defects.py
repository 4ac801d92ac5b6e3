"""What the released code and TRL's PAPO trainer get wrong, one test each: put the defect back, and its test fails."""

from dataclasses import replace

import pytest
import torch
from objectives import having

from papo.objective import DoubleEntropy, Objective, PerceptionKL, ReferenceKL, RobustnessKL, Surrogate

from . import slow
from .cases import (
    AGGREGATIONS,
    BRANCHES,
    EVERYTHING,
    HORIZON,
    OFF,
    Told,
    counts,
    gradients,
    make_evidence,
    run,
    run_part,
    take,
    with_leaves,
)

PAPO = having(OFF, perception=PerceptionKL(0.02), entropy=DoubleEntropy(0.05, 0.05))


def stale_and_fresh():
    """An update whose corrupted branch has moved since the roll-out."""
    evidence = make_evidence()
    assert not torch.equal(evidence.corrupted.logprobs, evidence.rollout_corrupted.logprobs)
    return evidence


# -------------------------------------------------------------------------------------------------------- released code


@pytest.mark.parametrize("estimator", ["full", "sampled"])
def test_released_code_eta2_has_no_gradient(estimator):
    """Here it has, whatever the perception term does with the corrupted branch (author's reply: PAPO issue 20)."""
    for perception in (
        PerceptionKL(0.0),
        PerceptionKL(0.02, corrupted_gradient=False),
        PerceptionKL(0.02, recompute="rollout"),
    ):
        objective = having(OFF, entropy=DoubleEntropy(0.0, 0.05, estimator), perception=perception)
        assert objective.passes()[BRANCHES["corrupted"]].gradient
        evidence = make_evidence()
        leaf = "corrupted.entropy" if estimator == "full" else "corrupted.logprobs"
        _, _, gradient = gradients(objective, evidence)
        assert (gradient[leaf][evidence.response_mask] != 0).all()


def test_released_code_corrupted_logprobs_are_stale():
    """Scored once per step, they lag behind from the second update on; here they are scored in every update."""
    evidence = stale_and_fresh()
    _, metrics = run(PAPO, evidence)
    assert BRANCHES["corrupted"] in PAPO.passes()
    assert BRANCHES["rollout_corrupted"] not in PAPO.passes()
    for name in ("perception/kl", "policy/corrupted_entropy"):
        assert metrics[name].item() == pytest.approx(slow.objective(PAPO, evidence, HORIZON)[name], abs=1e-12)
    fresh_only = run(PAPO, replace(evidence, rollout_corrupted=None))[0]
    assert run(PAPO, evidence)[0].item() == fresh_only.item()


def test_released_code_corrupted_logprobs_are_an_option():
    objective = having(OFF, perception=PerceptionKL(0.02, recompute="rollout"))
    assert BRANCHES["corrupted"] not in objective.passes()
    assert BRANCHES["rollout_corrupted"] in objective.passes()
    evidence = stale_and_fresh()
    _, metrics = run(objective, replace(evidence, corrupted=None))
    expected = slow.objective(objective, evidence, HORIZON)
    assert metrics["perception/kl"].item() == pytest.approx(expected["perception/kl"], abs=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_released_code_loss_depends_on_the_micro_batch_split(aggregation):
    """A token mean inside each micro-batch, then all micro-batches alike, is another number for every split."""
    objective, evidence = having(PAPO, loss_aggregation=aggregation), make_evidence()
    denominators = counts(objective, evidence)
    losses = [
        sum(run_part(objective, take(evidence, rows), denominators)[0].item() for rows in split)
        for split in ([[0, 1, 2, 3], [4, 5, 6, 7]], [[0], [1, 2, 3, 4, 5, 6, 7]], [[7, 1], [0, 6, 2], [3, 4, 5]])
    ]
    assert losses == pytest.approx([run(objective, evidence)[0].item()] * 3, abs=1e-12)


def constant_kl(evidence, nats, aggregation, **settings):
    """PerceptionKL's mean where every token has the same value."""
    full = torch.full_like(evidence.current.logprobs, nats)
    corrupted = Told(evidence.current.logprobs, evidence.current.entropy, full_kl=full)
    objective = having(OFF, perception=PerceptionKL(1.0, "full", **settings), loss_aggregation=aggregation)
    return run(objective, replace(evidence, corrupted=corrupted))[1]["perception/kl"].item()


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("aggregation", ["token-mean", "seq-mean-token-mean"])
def test_released_code_top_p_mask_divides_by_all_tokens(share, aggregation):
    """The mean over the chosen tokens of a value that all tokens have is that value, however few are chosen."""
    assert constant_kl(make_evidence(), 0.7, aggregation, token_share=share) == pytest.approx(0.7, abs=1e-12)


@pytest.mark.parametrize("share", [None, 0.5, 0.2])
def test_released_code_top_p_mask_divides_by_all_tokens_in_the_policy_term_too(share):
    """Ratio 1 and advantage 1 at every token: the loss is -1."""
    evidence = make_evidence()
    evidence = replace(
        evidence, old_logprobs=evidence.current.logprobs, advantages=torch.ones_like(evidence.advantages)
    )
    for aggregation in ("token-mean", "seq-mean-token-mean"):
        objective = having(OFF, surrogate=Surrogate(visual_token_share=share), loss_aggregation=aggregation)
        assert run(objective, evidence)[1]["loss/policy"].item() == pytest.approx(-1.0, abs=1e-12)


def test_released_code_kl_metric_is_overwritten_per_micro_batch():
    """Every metric of the micro-batches adds up: none is that of the last one alone."""
    evidence = make_evidence()
    denominators = counts(PAPO, evidence)
    parts = [run_part(PAPO, take(evidence, rows), denominators)[1] for rows in ([0, 1, 2], [3, 4, 5], [6, 7])]
    _, whole = run(PAPO, evidence)
    assert len({part["perception/kl"].item() for part in parts}) == 3
    for name, value in whole.items():
        assert sum(part[name].item() for part in parts) == pytest.approx(value.item(), abs=1e-12), name


def test_released_code_kl_metric_has_its_sign_flipped():
    """The divergence is logged as such, positive; what the loss gains by it is negative."""
    evidence = make_evidence()
    _, metrics = run(PAPO, evidence)
    further = replace(evidence, corrupted=replace(evidence.corrupted, logprobs=evidence.current.logprobs - 3))
    _, more = run(PAPO, further)
    assert 0 < metrics["perception/kl"].item() < more["perception/kl"].item()
    assert more["loss/perception"].item() < metrics["loss/perception"].item() < 0
    assert more["loss/total"].item() < metrics["loss/total"].item()


def test_released_code_qwen3_branch_trains_plain_grpo_and_logs_papo():
    """Every part that is logged is in the loss that is trained on, with its gradient."""
    loss, metrics, gradient = gradients(PAPO, make_evidence())
    parts = {name: value.item() for name, value in metrics.items() if name.startswith("loss/")}
    assert parts.pop("loss/total") == loss.item() == pytest.approx(sum(parts.values()), abs=1e-15)
    assert len([value for value in parts.values() if value]) == 4
    _, plain, plain_gradient = gradients(OFF, make_evidence())
    assert loss.item() != plain["loss/total"].item()
    assert not torch.equal(gradient["current.logprobs"], plain_gradient["current.logprobs"])
    assert gradient["corrupted.logprobs"].any()


# ------------------------------------------------------------------------------------------------------------------ TRL


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", ["perception", "entropy", "corrupted_entropy"])
def test_trl_terms_averaged_over_padding(aggregation, name):
    """Twice the columns, all of them padding, would halve the term there."""
    objective, evidence = having(PAPO, loss_aggregation=aggregation), make_evidence()
    _, metrics = run(objective, evidence)
    B, T = evidence.response_mask.shape

    def widen(scores):
        zeros = torch.zeros(B, T, dtype=torch.float64)
        return Told(torch.cat([scores.logprobs, zeros], 1), torch.cat([scores.entropy, zeros], 1))

    padded = replace(
        evidence,
        current=widen(evidence.current),
        corrupted=widen(evidence.corrupted),
        old_logprobs=torch.cat([evidence.old_logprobs, torch.zeros(B, T, dtype=torch.float64)], 1),
        response_mask=torch.cat([evidence.response_mask, torch.zeros(B, T, dtype=torch.bool)], 1),
    )
    _, wide = run(objective, padded)
    assert wide[f"loss/{name}"].item() == pytest.approx(metrics[f"loss/{name}"].item(), abs=1e-15)
    expected = slow.objective(objective, evidence, HORIZON)
    assert metrics[f"loss/{name}"].item() == pytest.approx(expected[f"loss/{name}"], abs=1e-12)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_trl_kl_clamped_to_0_2_has_no_gradient(estimator):
    """Tokens on which the image matters most, 1 to 5 nats, keep value and gradient under our cap."""
    logprobs = torch.full((1, 3), -0.5, dtype=torch.float64, requires_grad=True)
    corrupted = (logprobs.detach() - torch.tensor([[2.5, 4.0, 5.0]])).requires_grad_()
    values = PerceptionKL(0.02, estimator).values(logprobs, corrupted)
    values.sum().backward()
    assert (values > 1).all()
    assert (values[0, 1:] > values[0, :-1]).all()
    assert (logprobs.grad != 0).all()
    assert (corrupted.grad != 0).all()


@pytest.mark.parametrize("estimator", ["full", "sampled"])
def test_trl_entropies_without_gradient(estimator):
    """Both entropies move the policy, and down: the loss adds them."""
    objective = having(OFF, entropy=DoubleEntropy(0.05, 0.05, estimator))
    evidence = make_evidence()
    evidence = replace(evidence, advantages=torch.zeros_like(evidence.advantages))
    _, _, gradient = gradients(objective, evidence)
    leaf, sign = ("entropy", 1) if estimator == "full" else ("logprobs", -1)  # the sampled one is -log pi
    for branch in ("current", "corrupted"):
        assert (sign * gradient[f"{branch}.{leaf}"][evidence.response_mask] > 0).all()


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("policy", {}),
        ("kl", {"reference": ReferenceKL(0.1)}),
        ("perception", {"perception": PerceptionKL(0.1)}),
        ("perception", {"perception": PerceptionKL(0.1, responses="correct", token_share=0.5)}),
        ("entropy", {"entropy": DoubleEntropy(0.1, 0.0)}),
        ("corrupted_entropy", {"entropy": DoubleEntropy(0.0, 0.1)}),
        ("entropy_hinge", {"entropy_hinge": EVERYTHING.terms["entropy_hinge"]}),
        ("robustness", {"robustness": RobustnessKL(0.1)}),
    ],
)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_trl_only_the_policy_term_is_scaled_for_accumulation(part, settings, aggregation):
    """Four micro-batches do not weigh any term four times."""
    objective: Objective = having(OFF, **settings, loss_aggregation=aggregation)
    evidence, _ = with_leaves(make_evidence())
    denominators = counts(objective, evidence)
    parts = [run_part(objective, take(evidence, rows), denominators)[1] for rows in ([0, 5], [1, 2], [3, 4], [6, 7])]
    whole = run(objective, evidence)[1][f"loss/{part}"].item()
    assert whole != 0
    assert sum(micro[f"loss/{part}"].item() for micro in parts) == pytest.approx(whole, abs=1e-12)
