"""One test per defect of other implementations that lies in the step, named after it; tests/objective has the rest."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from papo_steps import GRPO, PAPO, close, fit, having, marks, weights
from PIL import Image

from papo.corruption import RandomPatchMask
from papo.objective import Branch
from papo.policy.sampling import Sampling
from papo.types import Item

CONF = Path(__file__).parents[2] / "conf"
QUICK = {"optimizer": partial(torch.optim.SGD, lr=0.05)}


def test_released_code_scores_the_corrupted_branch_with_the_parameters_before_the_updates(make_module, prompts):
    """Here the second update sees the policy that the first one left."""
    module = make_module(having(GRPO, perception={"coef": 0.2}), updates_per_rollout=5, **QUICK)
    start = [parameter.detach().clone() for parameter in module.policy.parameters()]
    scores, now, corrupted = [], module.scoring.now, Branch("current", "corrupted")
    module.scoring.now = lambda *args: scores.append(now(*args)) or scores[-1]
    fit(module, prompts)
    assert len(scores) == 5  # once in each update
    last = scores[-1][corrupted].logprobs
    for parameter, value in zip(module.policy.parameters(), start, strict=True):
        parameter.data = value
    with torch.no_grad():
        stale = now(module.rollouts.select([4]), module.every)[corrupted].logprobs
    assert (last - stale).abs().max() > 1e-4


def test_released_code_draws_masks_from_the_global_generator(make_module, prompts):
    masks = []
    for state in (1, 2):
        torch.manual_seed(state)
        masks.append(fit(make_module(), prompts).rollouts.views["corrupted"].images.pixel_values)
    assert torch.equal(*masks)


def test_released_code_masks_before_the_resize(processor):
    """A picture that the processor resizes is still masked in whole patches of the model's grid."""
    picture = Image.new("RGB", (101, 87), "white")
    images = processor.prompts([Item("a", "?", (picture,), "1", "integer")]).images
    corrupted = RandomPatchMask(0.5)(images, [0]).pixel_values
    changed = (corrupted != images.pixel_values).float().mean(-1)  # of each patch
    assert set(changed.tolist()) == {0.0, 1.0}
    assert changed.sum() == len(changed) // 2


def test_released_code_keeps_dead_groups_when_none_survives(make_module, prompts):
    module = make_module(max_refills=1, reward=lambda item, text: marks(item, "a"))
    module.refill_items = lambda refill: []
    before = weights(module)
    fit(module, prompts)
    assert module.rollouts is None
    assert close(weights(module), before, 0.0)


def test_released_code_aborts_after_the_last_refill(make_module, prompts):
    module = make_module(max_refills=2, reward=lambda item, text: marks(item, "a"))
    module.refill_items = lambda refill: []
    fit(module, prompts, prompts)
    assert module.step == 2
    assert module.metrics["policy/skipped_steps"] == 1


def test_released_code_loses_the_annealing_step_when_it_resumes(make_module, prompts):
    annealed = having(GRPO, perception={"coef": 0.2, "schedule": "cosine"})
    module = make_module(annealed)
    module.step = 7
    checkpoint = {"loops": None, "optimizer_states": []}
    module.on_save_checkpoint(checkpoint)
    resumed = make_module(annealed)
    resumed.on_load_checkpoint(checkpoint)
    fit(resumed, prompts)
    expected = 0.2 * annealed.terms["perception"].scale(0.7)
    assert resumed.metrics["loss/perception"] == pytest.approx(-expected * resumed.metrics["perception/kl"], rel=1e-5)


def test_released_code_depends_on_the_drivers_random_state(make_module, prompts):
    texts = []
    for state in (1, 2):
        torch.manual_seed(state)
        texts.append(fit(make_module(), prompts).rollouts.texts)
    assert texts[0] == texts[1]


def test_released_code_qwen3_adds_the_terms_after_the_loss_was_bound(make_module, prompts):
    """It trained GRPO while it logged PAPO: here the terms that are logged move the parameters."""
    papo, grpo = fit(make_module(PAPO), prompts), fit(make_module(GRPO), prompts)
    assert not close(weights(papo), weights(grpo), 1e-7)
    parts = [value for name, value in papo.metrics.items() if name.startswith("loss/") and name != "loss/total"]
    assert len(parts) == 5
    assert papo.metrics["loss/total"] == pytest.approx(sum(parts), rel=1e-5)


@pytest.mark.parametrize("choice", ["algorithm=grpo", "experiment=grpo_qwen", "algorithm=dapo"])
def test_released_code_loads_papo_for_its_7b_grpo_baseline(choice):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        objective = compose("train", overrides=[choice]).algorithm.objective
    assert objective.perception.coef == objective.entropy.coef == objective.entropy.corrupted_coef == 0


@pytest.mark.parametrize("train_vision", [True, False])
def test_trl_overwrites_pixel_values(make_module, prompts, train_vision):
    before = prompts.images.pixel_values.clone()
    module = fit(make_module(train_vision=train_vision), prompts)
    assert torch.equal(prompts.images.pixel_values, before)
    assert torch.equal(module.rollouts.prompts.images.pixel_values, before)
    assert not torch.equal(module.rollouts.views["corrupted"].images.pixel_values, before)


def test_trl_crashes_when_an_image_token_is_sampled(make_policy, bias_logits, prompts):
    """The likeliest token by far is the image placeholder: it is never drawn, and the next pass runs."""
    policy = make_policy()
    bias_logits(policy, {policy.family.image_token_id: 1e4})
    with torch.no_grad():
        context = policy.prefill(prompts, policy.encode(prompts.images))
        responses = policy.sample(context, 2, Sampling(6), range(len(prompts)))
        policy.score(context, responses)
    assert policy.family.image_token_id not in responses.response_ids
