"""Ragged updates in float64, and objectives that use every option; shared by the tests of this folder."""

from dataclasses import dataclass, fields, replace

import torch
from objectives import having
from torch import Tensor

from papo.objective import (
    Branch,
    DoubleEntropy,
    EntropyHinge,
    Evidence,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    Surrogate,
)
from papo.objective.branch import CURRENT, OLD, REFERENCE
from papo.types import Scores

LENGTHS = (5, 1, 4, 0, 7, 2, 7, 3)  # the response without tokens was cut off, and filtered
HORIZON = 9
AGGREGATIONS = ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm")
PICTURED = (True, True, False, True, False, True, True, True)  # two prompts in one update have no picture
OFF = Objective(
    "seq-mean-token-mean",
    surrogate=Surrogate(clip_low=0.2, clip_high=0.3),
    reference=ReferenceKL(),
    perception=PerceptionKL(),
    entropy=DoubleEntropy(),
    entropy_hinge=EntropyHinge(),
    robustness=RobustnessKL(),
)
EVERYTHING = Objective(
    "seq-mean-token-mean",
    surrogate=Surrogate(clip_low=0.2, clip_high=0.28, dual_clip=1.4, visual_token_share=0.6),
    reference=ReferenceKL(coef=0.04, cap=0.1),
    perception=PerceptionKL(coef=0.3, cap=3.0, token_share=0.5, responses="weighted"),
    entropy=DoubleEntropy(coef=0.05, corrupted_coef=0.07),
    entropy_hinge=EntropyHinge(coef=0.02, low=0.4, high=1.5),
    robustness=RobustnessKL(coef=0.06, cap=0.2),
)


def surrogates():
    """Name and objective, of each option of the surrogate."""
    for name, settings in {
        "defaults": {},
        "clip-higher": {"clip_high": 0.35},
        "no upper bound": {"clip_high": None},
        "dual clip": {"dual_clip": 1.2},
        "dual clip, no upper bound": {"dual_clip": 1.2, "clip_high": None},
        "sequence ratio": {"ratio": "sequence", "clip_low": 0.05, "clip_high": 0.06},
        "visual tokens": {"visual_token_share": 0.4},
        "visual tokens by the full KL": {"visual_token_share": 0.4, "visual_estimator": "full"},
        "visual tokens, sequence ratio": {"visual_token_share": 0.7, "ratio": "sequence", "dual_clip": 1.1},
    }.items():
        yield name, having(OFF, surrogate=Surrogate(**settings))


def other_terms():
    """Name and objective, of each option of the other terms but for the perception term."""
    for estimator in ("k1", "k2", "k3", "full"):
        for cap in (None, 0.3):
            yield f"reference {estimator} {cap}", having(OFF, reference=ReferenceKL(0.2, estimator, cap=cap))
            yield f"robustness {estimator} {cap}", having(OFF, robustness=RobustnessKL(0.2, estimator, cap=cap))
        back = "reference_to_policy", "noised_to_clean"
        yield f"reference {estimator} back", having(OFF, reference=ReferenceKL(0.2, estimator, back[0]))
        yield f"robustness {estimator} back", having(OFF, robustness=RobustnessKL(0.2, estimator, back[1]))
    yield "reference in the reward", having(OFF, reference=ReferenceKL(0.2, place="reward"))
    for estimator in ("full", "sampled"):
        yield f"both entropies {estimator}", having(OFF, entropy=DoubleEntropy(0.2, 0.3, estimator))
        yield f"entropy {estimator}", having(OFF, entropy=DoubleEntropy(0.2, 0.0, estimator))
        yield f"corrupted entropy {estimator}", having(OFF, entropy=DoubleEntropy(0.0, 0.3, estimator))
    yield "hinge", having(OFF, entropy_hinge=EntropyHinge(0.2, low=0.7, high=1.3))


def perceptions():
    """Name and objective, of the perception term's options one at a time."""
    for name, settings in {
        "k1": {"estimator": "k1"},
        "k2": {"estimator": "k2"},
        "k3": {},
        "full": {"estimator": "full"},
        "k1 back": {"estimator": "k1", "direction": "corrupted_to_clean"},
        "k2 back": {"estimator": "k2", "direction": "corrupted_to_clean"},
        "k3 back": {"direction": "corrupted_to_clean"},
        "constant branch": {"corrupted_gradient": False},
        "rollout": {"recompute": "rollout"},
        "full, rollout": {"estimator": "full", "recompute": "rollout"},
        "full back": {"estimator": "full", "direction": "corrupted_to_clean"},
        "no cap": {"cap": None},
        "share": {"token_share": 0.4},
        "correct": {"responses": "correct"},
        "weighted": {"responses": "weighted"},
        "share, weighted": {"responses": "weighted", "token_share": 0.7},
    }.items():
        yield f"perception {name}", having(OFF, perception=PerceptionKL(**{"coef": 0.4, "cap": 2.0} | settings))


VARIANTS = {**dict(surrogates()), **dict(other_terms()), **dict(perceptions()), "everything": EVERYTHING}


@dataclass(frozen=True)
class Told:
    """What is known of one branch; all are [B, T]."""

    logprobs: Tensor
    entropy: Tensor
    full_kl: Tensor | None = None  # KL(pi || this branch) over the vocabulary
    full_kl_back: Tensor | None = None  # and KL(this branch || pi)


@dataclass(frozen=True)
class Update:
    """What the terms look at, by plain names; `seen` makes it what they are given."""

    current: Told
    old_logprobs: Tensor
    advantages: Tensor
    response_mask: Tensor
    rewards: Tensor
    correct: Tensor
    pictured: Tensor
    reference: Told | None = None
    corrupted: Told | None = None
    rollout_corrupted: Told | None = None
    noised: Told | None = None


BRANCHES = {
    "current": CURRENT,
    "reference": REFERENCE,
    "corrupted": Branch("current", "corrupted"),
    "rollout_corrupted": Branch("rollout", "corrupted"),
    "noised": Branch("current", "noised"),
}


def seen(objective, update) -> Evidence:
    """The update as the terms see it. A KL over the vocabulary is there for the branches whose states they ask for."""
    told = {branch: getattr(update, name) for name, branch in BRANCHES.items()}
    told = {branch: value for branch, value in told.items() if value is not None}
    passes = objective.passes()

    def full_kl(p, q, *, constant=None):
        assert passes[p].states
        assert passes[q].states
        assert CURRENT in (p, q)
        assert constant != CURRENT
        return told[q].full_kl if p == CURRENT else told[p].full_kl_back

    nothing = torch.full_like(update.old_logprobs, float("nan"))  # nobody asks for the entropy of the roll-out
    scores = {branch: Scores(value.logprobs, value.entropy) for branch, value in told.items()}
    return Evidence(
        scores={**scores, OLD: Scores(update.old_logprobs, nothing)},
        advantages=update.advantages,
        response_mask=update.response_mask,
        rewards=update.rewards,
        correct=update.correct,
        pictured=update.pictured,
        full_kl=full_kl,
    )


def make_evidence(seed=0, lengths=LENGTHS, padding=0.0, pictured=None) -> Update:
    """A ragged update; `padding` stands wherever no token is. Log-ratios lie on both sides of every bound."""
    generator = torch.Generator().manual_seed(seed)
    B, T = len(lengths), max(lengths)
    mask = torch.arange(T) < torch.tensor(lengths)[:, None]

    def uniform(low, high):
        return low + (high - low) * torch.rand(B, T, generator=generator, dtype=torch.float64)

    def near(logprobs, spread):
        return logprobs + spread * torch.randn(B, T, generator=generator, dtype=torch.float64)

    logprobs = uniform(-3.1, -0.1)
    branches = {}
    for name, spread in (("reference", 0.5), ("corrupted", 1.2), ("rollout_corrupted", 1.1), ("noised", 0.6)):
        full = uniform(0.0, 3 * spread)
        branches[name] = Told(near(logprobs, spread), uniform(0.0, 2.5), full, full_kl_back=full.square())
    branches["corrupted"].logprobs[0, 0] = logprobs[0, 0] - 25  # beyond the limit of a log-ratio
    rewards = torch.tensor([0.9, 0.0, 0.4, 1.0, 1.0, -0.3, 0.7, 0.2] * 2, dtype=torch.float64)[:B]
    found = Update(
        current=Told(logprobs, uniform(0.0, 2.5)),
        old_logprobs=near(logprobs, 0.5),
        advantages=torch.tensor([1.2, -0.7, -1.5, 0.3, -0.4, 0.0, 0.6, -0.9] * 2, dtype=torch.float64)[:B],
        response_mask=mask,
        rewards=rewards,
        correct=rewards > 0.5,
        pictured=torch.ones(B, dtype=torch.bool) if pictured is None else torch.tensor(pictured),
        **branches,
    )
    return over_tensors(found, lambda _, x: x.masked_fill(~mask, padding) if x.is_floating_point() else x)


def over_tensors(evidence, change):
    """`evidence` with change(name, tensor) for every [B, T] tensor of it."""
    changed = {}
    for field in fields(evidence):
        value = getattr(evidence, field.name)
        if isinstance(value, Told):
            inside = {name: x if x is None else change(f"{field.name}.{name}", x) for name, x in vars(value).items()}
            changed[field.name] = Told(**inside)
        elif value is not None and value.ndim == 2:
            changed[field.name] = change(field.name, value)
    return replace(evidence, **changed)


CONSTANT = {"old_logprobs"} | {
    f"{name}.{what}" for name in ("reference", "rollout_corrupted") for what in ("logprobs", "entropy")
}


def with_leaves(evidence):
    """`evidence` whose tensors are leaves where a policy that trains may have made them, and these by name."""
    leaves = {}

    def leaf(name, tensor):
        if not tensor.is_floating_point() or name in CONSTANT:
            return tensor
        leaves[name] = tensor.clone().requires_grad_()
        return leaves[name]

    return over_tensors(evidence, leaf), leaves


def take(evidence, rows):
    """The given rows as a micro-batch, without the columns that are padding in all of them."""
    width = max(1, int(evidence.response_mask[rows].sum(-1).max()))
    cut = over_tensors(evidence, lambda _, x: x[rows][:, :width])
    of_rows = {name: getattr(evidence, name)[rows] for name in ("advantages", "rewards", "correct", "pictured")}
    return replace(cut, **of_rows)


def counts(objective, evidence):
    return objective.denominators(
        evidence.response_mask, evidence.rewards, evidence.correct, evidence.pictured, horizon=HORIZON
    )


def run_part(objective, evidence, denominators, **options):
    """Loss and metrics of a micro-batch."""
    return objective(seen(objective, evidence), denominators, **options)


def run(objective, evidence, **options):
    """Loss and metrics of a whole update."""
    return run_part(objective, evidence, counts(objective, evidence), **options)


def gradients(objective, evidence, **options):
    """Loss, metrics, and the gradient by leaf, zero where none arrives."""
    evidence, leaves = with_leaves(evidence)
    loss, metrics = run(objective, evidence, **options)
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), metrics, dict(zip(leaves, found, strict=True))
