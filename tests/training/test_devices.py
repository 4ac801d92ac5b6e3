"""The whole training step on a device that is not the CPU."""

from dataclasses import replace

import torch
from devices import DEVICE, Constants, OtherDevice, move
from objectives import having
from papo_steps import PAPO, SAMPLING

from papo.objective import EntropyHinge, RobustnessKL

EVERY_TERM = having(
    PAPO,
    surrogate={"visual_token_share": 0.5, "dual_clip": 3.0},
    reference={"estimator": "full"},
    perception={"estimator": "full", "token_share": 0.5, "responses": "correct"},
    entropy_hinge=EntropyHinge(0.1),
    robustness=RobustnessKL(0.1),
)


def stepped(make_module, prompts, device):
    module = make_module(
        EVERY_TERM,
        sampling=replace(SAMPLING, top_p=0.95),
        updates_per_rollout=2,
        micro_batch_prompts=2,
        noisy_rollout_share=1 / 3,
        overlong_filter=True,
    )
    if device == DEVICE:
        move(module)
    # What Lightning does with a loss and a gradient is its own affair.
    module.manual_backward = lambda loss: loss.backward()
    trained = list(module.policy.parameters())
    module.clip_gradient = lambda: torch.stack([p.grad.norm() for p in trained if p.grad is not None]).norm()
    module.apply_gradient = lambda loss, norm: module.zero_grad(set_to_none=True)
    module.training_step(prompts.to(device), 0)
    return module.metrics


def test_a_training_step_stays_on_its_device(make_module, prompts):
    """With every term on: a tensor that is made or left on the CPU, or asks for what accelerators lack, fails here."""
    prompts = prompts.select([2, 3, 4])
    here = stepped(make_module, prompts, torch.device("cpu"))
    torch.use_deterministic_algorithms(True)
    try:
        with Constants(), OtherDevice():
            there = stepped(make_module, prompts, DEVICE)
    finally:
        torch.use_deterministic_algorithms(False)
    assert there.keys() == here.keys()
    for name in here.keys() - {"time/step", "time/rollout"}:
        assert abs(there[name] - here[name]) < 1e-3, name
