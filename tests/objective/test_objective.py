"""The combined loss against a second implementation, one token at a time, written from the equation alone."""

import dataclasses
import itertools
import math
import re

import pytest
import torch

from papo.objective import Denominators, Objective
from papo.objective.aggregation import AGGREGATIONS, token_weights
from papo.objective.surrogate import clipped_surrogate
from papo.types import Scores

FULL = Objective(
    clip_low=0.2,
    clip_high=0.3,
    kl_coef=0.04,
    perception_coef=0.3,
    entropy_coef=0.05,
    corrupted_entropy_coef=0.07,
    corrupted_gradient=True,
    kl_cap=10.0,
    loss_aggregation="seq-mean-token-mean",
)
COEFFICIENTS = ("kl_coef", "perception_coef", "entropy_coef", "corrupted_entropy_coef")
BASE = dataclasses.replace(FULL, **dict.fromkeys(COEFFICIENTS, 0.0))
LENGTHS = (5, 1, 4, 7, 2, 7)


@dataclasses.dataclass
class Case:
    """Inputs of one update, B = 6, T = 7; float64 leaves where the loss carries gradient."""

    logprobs: torch.Tensor
    entropy: torch.Tensor
    corrupted_logprobs: torch.Tensor
    corrupted_entropy: torch.Tensor
    old: torch.Tensor
    ref: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor

    @property
    def leaves(self):
        return (self.logprobs, self.entropy, self.corrupted_logprobs, self.corrupted_entropy)

    def rows(self, rows, width=None):
        """The given rows, cut to `width` columns; gradient still flows into the leaves of the whole."""
        tensors = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Case(*(tensor[rows][:, :width] if tensor.ndim == 2 else tensor[rows] for tensor in tensors))

    def loss(self, objective, denominators=None, **overrides):
        inputs = {
            "ref_logprobs": self.ref,
            "corrupted": Scores(self.corrupted_logprobs, self.corrupted_entropy),
        } | overrides
        denominators = denominators or Denominators.of(self.mask)
        current = Scores(self.logprobs, self.entropy)
        return objective(current, self.old, self.advantages, self.mask, denominators, **inputs)


@pytest.fixture
def case() -> Case:
    generator = torch.Generator().manual_seed(0)
    shape = (len(LENGTHS), max(LENGTHS))

    def normal(scale):
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    def uniform(scale):
        return scale * torch.rand(shape, generator=generator, dtype=torch.float64)

    logprobs = -uniform(3.0) - 0.1
    case = Case(
        logprobs=logprobs,
        entropy=uniform(2.0),
        corrupted_logprobs=logprobs + normal(1.5),
        corrupted_entropy=uniform(3.0),
        old=logprobs + normal(0.3),
        ref=logprobs + normal(0.5),
        advantages=torch.tensor([1.2, -0.7, 0.0, -1.5, 0.4, 0.6], dtype=torch.float64),
        mask=torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None],
    )
    case.corrupted_logprobs[0, 0] = case.logprobs[0, 0] - 14  # beyond the cap
    for leaf in case.leaves:
        leaf.requires_grad_()
    return case


def slow_loss(case: Case, objective: Objective) -> float:
    """surrogate + beta KL_ref - gamma KL_prcp + eta_1 H + eta_2 H_mask; 1/B 1/|o_i| or 1/sum |o_i|, token by token."""

    def estimate(logp, logq):
        ratio = math.exp(logq - logp)
        return min(ratio - math.log(ratio) - 1, objective.kl_cap)

    lengths = [int(row.sum()) for row in case.mask]
    total = 0.0
    for i, length in enumerate(lengths):
        for t in range(length):
            logp, advantage = case.logprobs[i, t].item(), case.advantages[i].item()
            ratio = math.exp(logp - case.old[i, t].item())
            bounded = min(max(ratio, 1 - objective.clip_low), 1 + objective.clip_high)
            token = -min(ratio * advantage, bounded * advantage)
            token += objective.kl_coef * estimate(logp, case.ref[i, t].item())
            token -= objective.perception_coef * estimate(logp, case.corrupted_logprobs[i, t].item())
            token += objective.entropy_coef * case.entropy[i, t].item()
            token += objective.corrupted_entropy_coef * case.corrupted_entropy[i, t].item()
            if objective.loss_aggregation == "seq-mean-token-mean":
                total += token / length / len(lengths)
            else:
                total += token / sum(lengths)
    return total


def variants():
    """Every on/off pattern of the four coefficients with both aggregations."""
    for aggregation, kept in itertools.product(AGGREGATIONS, itertools.product((0, 1), repeat=4)):
        values = {name: getattr(FULL, name) * on for name, on in zip(COEFFICIENTS, kept, strict=True)}
        yield pytest.param(
            dataclasses.replace(FULL, loss_aggregation=aggregation, **values),
            id=f"{aggregation}-{''.join(map(str, kept))}",
        )


@pytest.mark.parametrize("objective", list(variants()))
def test_whole_loss_against_the_slow_one(case, objective):
    loss, metrics = case.loss(objective)
    # The weights are float32: they agree to 1e-7 relative, whatever the precision of the values.
    assert loss.item() == pytest.approx(slow_loss(case, objective), abs=1e-6)
    parts = sum(value for name, value in metrics.items() if name.startswith("loss/") and name != "loss/total")
    assert metrics["loss/total"].item() == pytest.approx(parts.item(), abs=1e-12)
    assert metrics["loss/total"].item() == loss.item()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("corrupted_gradient", [True, False])
def test_gradient_against_finite_differences_of_the_slow_one(case, aggregation, corrupted_gradient):
    objective = dataclasses.replace(FULL, loss_aggregation=aggregation, corrupted_gradient=corrupted_gradient)
    case.loss(objective)[0].backward()
    step = 1e-6
    for name in ("logprobs", "entropy", "corrupted_logprobs", "corrupted_entropy"):
        leaf = getattr(case, name)
        for i, t in itertools.product(range(len(LENGTHS)), range(max(LENGTHS))):
            sides = []
            for sign in (1, -1):
                with torch.no_grad():
                    leaf[i, t] += sign * step
                    sides.append(slow_loss(case, objective))
                    leaf[i, t] -= sign * step
            slope = (sides[0] - sides[1]) / (2 * step)
            if name == "corrupted_logprobs" and not corrupted_gradient:
                slope = 0.0
            got = 0.0 if leaf.grad is None else leaf.grad[i, t].item()
            assert got == pytest.approx(slope, abs=1e-6), (name, i, t)


@pytest.mark.parametrize(
    "kept", [(), ("kl_coef",), ("perception_coef",), ("entropy_coef",), ("corrupted_entropy_coef",), COEFFICIENTS]
)
def test_gradcheck_of_each_term(case, kept):
    objective = dataclasses.replace(BASE, **{name: getattr(FULL, name) for name in kept})

    def loss(*leaves):
        return dataclasses.replace(
            case,
            logprobs=leaves[0],
            entropy=leaves[1],
            corrupted_logprobs=leaves[2],
            corrupted_entropy=leaves[3],
        ).loss(objective)[0]

    torch.autograd.gradcheck(loss, case.leaves)


# ------------------------------------------------------------------------------------------------------ properties


def test_coefficients_of_zero_are_the_surrogate_bit_for_bit(case):
    """And nothing else has to be computed for it."""
    loss, metrics = case.loss(BASE, ref_logprobs=None, corrupted=None)
    weights = token_weights(case.mask, BASE.loss_aggregation, Denominators.of(case.mask))
    surrogate, _ = clipped_surrogate(case.logprobs, case.old, case.advantages, weights, clip_low=0.2, clip_high=0.3)
    assert torch.equal(loss, surrogate)
    (got,) = torch.autograd.grad(loss, case.logprobs)
    (expected,) = torch.autograd.grad(surrogate, case.logprobs)
    assert torch.equal(got, expected)
    assert not any((BASE.needs_reference, BASE.needs_corrupted, BASE.needs_corrupted_gradient))
    assert set(metrics) == {
        "policy/ratio_mean",
        "policy/clip_frac_low",
        "policy/clip_frac_high",
        "policy/entropy",
        "loss/policy",
        "loss/total",
    }


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_each_coefficient_switches_its_own_part(case, name):
    objective = dataclasses.replace(BASE, **{name: getattr(FULL, name)})
    _, metrics = case.loss(objective)
    part = {
        "kl_coef": "loss/kl",
        "perception_coef": "loss/perception",
        "entropy_coef": "loss/entropy",
        "corrupted_entropy_coef": "loss/corrupted_entropy",
    }[name]
    assert {key for key in metrics if key.startswith("loss/")} == {"loss/policy", "loss/total", part}


@pytest.mark.parametrize(
    ("settings", "reference", "corrupted", "corrupted_gradient"),
    [
        ({"kl_coef": 0.1}, True, False, False),
        ({"entropy_coef": 0.1}, False, False, False),
        ({"perception_coef": 0.1, "corrupted_gradient": True}, False, True, True),
        ({"perception_coef": 0.1, "corrupted_gradient": False}, False, True, False),
        ({"corrupted_entropy_coef": 0.1, "corrupted_gradient": False}, False, True, True),
        ({"corrupted_gradient": True}, False, False, False),
    ],
)
def test_what_is_needed(settings, reference, corrupted, corrupted_gradient):
    objective = dataclasses.replace(BASE, **settings)
    assert objective.needs_reference is reference
    assert objective.needs_corrupted is corrupted
    assert objective.needs_corrupted_gradient is corrupted_gradient


def test_metrics_are_what_their_names_say(case):
    _, metrics = case.loss(FULL)
    weights = token_weights(case.mask, FULL.loss_aggregation, Denominators.of(case.mask)).double()
    assert metrics["policy/entropy"].item() == pytest.approx((weights * case.entropy).sum().item())
    assert metrics["policy/corrupted_entropy"].item() == pytest.approx((weights * case.corrupted_entropy).sum().item())
    for metric, part, sign, coefficient in [
        ("policy/entropy", "loss/entropy", 1, FULL.entropy_coef),
        ("policy/corrupted_entropy", "loss/corrupted_entropy", 1, FULL.corrupted_entropy_coef),
        ("policy/ref_kl", "loss/kl", 1, FULL.kl_coef),
        ("perception/kl", "loss/perception", -1, FULL.perception_coef),
    ]:
        assert metrics[metric].item() > 0
        assert metrics[part].item() == pytest.approx(sign * coefficient * metrics[metric].item())
    assert not any(value.requires_grad for value in metrics.values())


def test_clip_metrics_are_there(case):
    """Values are tested with the surrogate; here that each keeps its own name."""
    weights = token_weights(case.mask, FULL.loss_aggregation, Denominators.of(case.mask))
    _, expected = clipped_surrogate(case.logprobs, case.old, case.advantages, weights, clip_low=0.2, clip_high=0.3)
    _, metrics = case.loss(FULL)
    assert len({value.item() for value in expected.values()}) == 3
    for name, value in expected.items():
        assert torch.equal(metrics[f"policy/{name}"], value)


@pytest.mark.parametrize("corrupted_gradient", [True, False])
def test_corrupted_branch_gets_gradient_exactly_when_configured(case, corrupted_gradient):
    case.loss(dataclasses.replace(FULL, corrupted_gradient=corrupted_gradient))[0].backward()
    assert (case.corrupted_logprobs.grad is not None) == corrupted_gradient
    assert case.corrupted_entropy.grad is not None  # eta_2 always trains it


def test_constants_get_no_gradient(case):
    for constant in (case.old, case.ref, case.advantages):
        constant.requires_grad_()
    case.loss(FULL)[0].backward()
    assert case.old.grad is None
    assert case.ref.grad is None
    assert case.advantages.grad is None


def test_identical_corrupted_scores_give_exactly_zero_perception(case):
    _, metrics = case.loss(FULL, corrupted=Scores(case.logprobs.detach().clone(), case.entropy))
    assert metrics["perception/kl"].item() == 0.0
    assert metrics["loss/perception"].item() == 0.0


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("split", [[[0, 1, 2], [3, 4, 5]], [[5, 3], [1, 4], [0, 2]], [[1], [4], [2], [0], [5], [3]]])
def test_micro_batches_add_up_to_the_batch(case, aggregation, split):
    """Loss, every summed metric and gradient, in any order, each piece cut to its own longest response."""
    objective = dataclasses.replace(FULL, loss_aggregation=aggregation)
    whole, whole_metrics = case.loss(objective)
    expected = torch.autograd.grad(whole, case.leaves)

    denominators = Denominators.of(case.mask)
    total, metrics, gradients = 0.0, dict.fromkeys(whole_metrics, 0.0), [torch.zeros_like(leaf) for leaf in case.leaves]
    for rows in split:
        micro = case.rows(rows, width=max(LENGTHS[row] for row in rows))
        loss, parts = micro.loss(objective, denominators)
        total += loss.item()
        for name, value in parts.items():
            metrics[name] += value.item()
        for sum_, gradient in zip(gradients, torch.autograd.grad(loss, case.leaves), strict=True):
            sum_ += gradient
    assert total == pytest.approx(whole.item(), abs=1e-6)
    assert metrics == pytest.approx({name: value.item() for name, value in whole_metrics.items()}, abs=1e-6)
    for got, want in zip(gradients, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_padding_cannot_move_any_term(case, aggregation, junk):
    """Three columns of junk behind the mask, and junk in the padding that is there: the same bits, no NaN gradient."""
    objective = dataclasses.replace(FULL, loss_aggregation=aggregation)
    loss, metrics = case.loss(objective)
    expected = torch.autograd.grad(loss, case.leaves)

    B, T = case.mask.shape
    names = ("logprobs", "entropy", "corrupted_logprobs", "corrupted_entropy", "old", "ref")
    padded = {}
    for name in names:
        tensor = getattr(case, name).detach().masked_fill(~case.mask, junk)
        padded[name] = torch.cat([tensor, torch.full((B, 3), junk, dtype=torch.float64)], dim=1).requires_grad_()
    mask = torch.cat([case.mask, torch.zeros(B, 3, dtype=torch.bool)], dim=1)
    other = Case(**padded, advantages=case.advantages, mask=mask)
    padded_loss, padded_metrics = other.loss(objective)
    assert padded_loss.item() == pytest.approx(loss.item(), abs=1e-15)
    for name, value in metrics.items():
        assert padded_metrics[name].item() == pytest.approx(value.item(), abs=1e-15), name
    for got, want in zip(torch.autograd.grad(padded_loss, other.leaves), expected, strict=True):
        assert torch.equal(got[:, :T][case.mask], want[case.mask])
        assert torch.equal(got.masked_fill(mask, 0.0), torch.zeros(B, T + 3, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------ validation


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kl_coef", -0.01),
        ("perception_coef", -1.0),
        ("entropy_coef", -0.1),
        ("corrupted_entropy_coef", -0.1),
        ("clip_low", 0.0),
        ("clip_low", 1.0),
        ("clip_low", -0.2),
        ("clip_high", 0.0),
        ("clip_high", -0.3),
        ("kl_cap", 0.0),
        ("kl_cap", -1.0),
        ("loss_aggregation", "mean"),
    ],
)
def test_an_impossible_setting_names_its_override(name, value):
    override = name if name in COEFFICIENTS else f"algorithm.objective.{name}"
    with pytest.raises(ValueError, match=rf"^{re.escape(override)} must .*{value}"):
        dataclasses.replace(FULL, **{name: value})
