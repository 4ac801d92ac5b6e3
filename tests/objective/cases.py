"""Ragged updates in float64, and objectives that use every option; shared by the tests of this folder."""

from dataclasses import fields, replace

import torch

from papo.objective import (
    DoubleEntropy,
    EntropyHinge,
    Evidence,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    Surrogate,
)
from papo.types import Scores

LENGTHS = (5, 1, 4, 0, 7, 2, 7, 3)  # the response without tokens was cut off, and filtered
HORIZON = 9
AGGREGATIONS = ("seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm")
OFF = Objective(
    surrogate=Surrogate(clip_low=0.2, clip_high=0.3),
    reference=ReferenceKL(coef=0.0),
    perception=PerceptionKL(coef=0.0),
    loss_aggregation="seq-mean-token-mean",
)
EVERYTHING = Objective(
    surrogate=Surrogate(clip_low=0.2, clip_high=0.28, dual_clip=1.4, visual_token_share=0.6),
    reference=ReferenceKL(coef=0.04, cap=0.1),
    perception=PerceptionKL(coef=0.3, cap=3.0, token_share=0.5, responses="weighted"),
    loss_aggregation="seq-mean-token-mean",
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
        "visual tokens, sequence ratio": {"visual_token_share": 0.7, "ratio": "sequence", "dual_clip": 1.1},
    }.items():
        yield name, replace(OFF, surrogate=Surrogate(**settings))


def other_terms():
    """Name and objective, of each option of the other terms but for the perception term."""
    for estimator in ("k1", "k2", "k3", "full"):
        for cap in (None, 0.3):
            yield f"reference {estimator} {cap}", replace(OFF, reference=ReferenceKL(0.2, estimator, cap=cap))
            yield f"robustness {estimator} {cap}", replace(OFF, robustness=RobustnessKL(0.2, estimator, cap=cap))
    yield "reference in the reward", replace(OFF, reference=ReferenceKL(0.2, place="reward"))
    for estimator in ("full", "sampled"):
        yield f"both entropies {estimator}", replace(OFF, entropy=DoubleEntropy(0.2, 0.3, estimator))
        yield f"entropy {estimator}", replace(OFF, entropy=DoubleEntropy(0.2, 0.0, estimator))
        yield f"corrupted entropy {estimator}", replace(OFF, entropy=DoubleEntropy(0.0, 0.3, estimator))
    yield "hinge", replace(OFF, entropy_hinge=EntropyHinge(0.2, low=0.7, high=1.3))


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
        "no cap": {"cap": None},
        "share": {"token_share": 0.4},
        "correct": {"responses": "correct"},
        "weighted": {"responses": "weighted"},
        "share, weighted": {"responses": "weighted", "token_share": 0.7},
    }.items():
        yield f"perception {name}", replace(OFF, perception=PerceptionKL(**{"coef": 0.4, "cap": 2.0} | settings))


VARIANTS = {**dict(surrogates()), **dict(other_terms()), **dict(perceptions()), "everything": EVERYTHING}


def make_evidence(seed=0, lengths=LENGTHS, padding=0.0) -> Evidence:
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
        branches[name] = Scores(near(logprobs, spread), uniform(0.0, 2.5), full_kl=uniform(0.0, 3 * spread))
    branches["corrupted"].logprobs[0, 0] = logprobs[0, 0] - 25  # beyond the limit of a log-ratio
    rewards = torch.tensor([0.9, 0.0, 0.4, 1.0, 1.0, -0.3, 0.7, 0.2] * 2, dtype=torch.float64)[:B]
    found = Evidence(
        current=Scores(logprobs, uniform(0.0, 2.5)),
        old_logprobs=near(logprobs, 0.5),
        advantages=torch.tensor([1.2, -0.7, -1.5, 0.3, -0.4, 0.0, 0.6, -0.9] * 2, dtype=torch.float64)[:B],
        response_mask=mask,
        rewards=rewards,
        correct=rewards > 0.5,
        **branches,
    )
    return over_tensors(found, lambda _, x: x.masked_fill(~mask, padding) if x.is_floating_point() else x)


def over_tensors(evidence, change):
    """`evidence` with change(name, tensor) for every [B, T] tensor of it."""
    changed = {}
    for field in fields(evidence):
        value = getattr(evidence, field.name)
        if isinstance(value, Scores):
            inside = {name: x if x is None else change(f"{field.name}.{name}", x) for name, x in vars(value).items()}
            changed[field.name] = Scores(**inside)
        elif value is not None and value.ndim == 2:
            changed[field.name] = change(field.name, value)
    return replace(evidence, **changed)


CONSTANT = ("old_logprobs", "reference.logprobs", "reference.entropy")  # and whatever begins with rollout_


def with_leaves(evidence):
    """`evidence` whose tensors are leaves where a policy that trains may have made them, and these by name."""
    leaves = {}

    def leaf(name, tensor):
        if not tensor.is_floating_point() or name in CONSTANT or name.startswith("rollout_"):
            return tensor
        leaves[name] = tensor.clone().requires_grad_()
        return leaves[name]

    return over_tensors(evidence, leaf), leaves


def take(evidence, rows):
    """The given rows as a micro-batch, without the columns that are padding in all of them."""
    width = max(1, int(evidence.response_mask[rows].sum(-1).max()))
    cut = over_tensors(evidence, lambda _, x: x[rows][:, :width])
    return replace(
        cut, advantages=evidence.advantages[rows], rewards=evidence.rewards[rows], correct=evidence.correct[rows]
    )


def counts(objective, evidence):
    return objective.denominators(evidence.response_mask, evidence.rewards, evidence.correct, horizon=HORIZON)


def run(objective, evidence, **options):
    """Loss and metrics of a whole update."""
    return objective(evidence, counts(objective, evidence), **options)


def gradients(objective, evidence, **options):
    """Loss, metrics, and the gradient by leaf, zero where none arrives."""
    evidence, leaves = with_leaves(evidence)
    loss, metrics = run(objective, evidence, **options)
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), metrics, dict(zip(leaves, found, strict=True))
