"""What the tests of a training step share: objectives, a reward that any policy earns, and one fit."""

import warnings

import torch
from lightning import Trainer
from objectives import having
from torch.utils.data import DataLoader

from papo.objective import (
    DoubleEntropy,
    EntropyHinge,
    Objective,
    PerceptionKL,
    ReferenceKL,
    RobustnessKL,
    Surrogate,
)
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.training.papo import PapoModule
from papo.types import PromptBatch, RewardResult, Rollouts

G = 3
PAPO = Objective(
    "seq-mean-token-mean",
    surrogate=Surrogate(clip_low=0.2, clip_high=0.3),
    reference=ReferenceKL(coef=0.1),
    perception=PerceptionKL(coef=0.2),
    entropy=DoubleEntropy(coef=0.05, corrupted_coef=0.03),
    entropy_hinge=EntropyHinge(),
    robustness=RobustnessKL(),
)
GRPO = having(PAPO, reference={"coef": 0.0}, perception={"coef": 0.0}, entropy={"coef": 0.0, "corrupted_coef": 0.0})
SAMPLING = Sampling(max_new_tokens=7, temperature=0.8)


def marks(item, text: str) -> RewardResult:
    """A reward that a random policy earns more and less of."""
    total = sum(map(ord, text)) % 5 / 4
    return RewardResult(total, {"accuracy": total}, None, scorable=True)


def fit(module: PapoModule, *batches: PromptBatch, **settings) -> PapoModule:
    """Trains one step on each batch."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"logger": False} | settings,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # advice about workers, validation, eval mode
        trainer.fit(module, DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch))
    return module


def reference_of(module: PapoModule) -> Policy:
    """The frozen copy that the module's reference keeps."""
    (policy,) = module.reference._policy
    return policy


def record_updates(module: PapoModule) -> list[Rollouts]:
    """What each later update trains on: its share of the roll-outs that teach something, with all scores that stay."""
    found, original = [], module.update
    module.update = lambda rollouts: found.append(rollouts) or original(rollouts)
    return found


def weights(module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def same(a, b) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def close(a, b, tolerance=1e-6) -> bool:
    assert a.keys() == b.keys()
    return all(float((a[name] - b[name]).abs().max()) <= tolerance for name in a)


def count_tower_passes(policy) -> list[int]:
    """Patches of each pass of the vision tower from here on."""
    passes = []
    policy.model.model.visual.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    return passes


def record_scores(policy) -> list:
    """What each later call of `score` returns."""
    scores, original = [], policy.score

    def score(*args, **kwargs):
        scores.append(original(*args, **kwargs))
        return scores[-1]

    policy.score = score
    return scores
