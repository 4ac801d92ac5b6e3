"""A PapoModule around a fresh tiny policy."""

from functools import partial

import pytest
import torch
from papo_steps import PAPO, SAMPLING, G, marks

from papo.corruption import GaussianNoise, RandomPatchMask
from papo.evaluation.held_out import HeldOut
from papo.rollout import NativeEngine
from papo.training.papo import PapoModule


@pytest.fixture
def make_module(make_policy, bias_logits, processor):
    """A module around a fresh policy, whose responses are of 1 to 7 tokens."""

    def make(objective=PAPO, *, train_vision=True, **settings) -> PapoModule:
        policy = make_policy(train_vision=train_vision)
        bias_logits(policy, {processor.tokenizer.eos_token_id: 5.0})
        defaults = {
            "policy": policy,
            "processor": processor,
            # Plain steps along the gradient: Adam would hide its scale. Far from the clipping, which would too.
            "optimizer": partial(torch.optim.SGD, lr=1e-3),
            "objective": objective,
            "corruption": RandomPatchMask(0.6),
            "noise": GaussianNoise(1.0, std=0.1),
            "reward": marks,
            "sampling": SAMPLING,
            "group_size": G,
            "normalize_std": True,
            "max_refills": 0,
            "overlong_buffer": 0,
            "overlong_filter": False,
            "weigh_by_guessability": False,
            "noisy_rollout_share": 0.0,
            "updates_per_rollout": 1,
            "micro_batch_prompts": 5,
            "max_skipped_updates": 5,
            "schedule": "constant",
            "warmup_steps": 0,
            "total_steps": 10,
            "grad_clip": 1e6,
            "held_out": HeldOut(1, 1, greedy=False, blind=False, masked=None, sampling=SAMPLING),
            "engine": NativeEngine(),
            "seed": 3,
        }
        return PapoModule(**defaults | settings)

    return make
