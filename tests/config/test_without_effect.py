"""Choices of a command that do nothing, or not what they say, are named where a run begins."""

import pytest
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from papo.overrides import without_effect
from papo.study.composing import hydra


@pytest.fixture
def said():
    """Of a command."""

    def said(*overrides):
        with hydra():
            cfg = compose("train", [*overrides, "run_dir=."], return_hydra_config=True)
            HydraConfig.instance().set_config(cfg)
            with open_dict(cfg):
                del cfg["hydra"]
            return without_effect(cfg)

    yield said
    HydraConfig.instance().cfg = None
    GlobalHydra.instance().clear()


def test_an_experiment_over_an_algorithm(said):
    assert said("experiment=papo_qwen", "algorithm=grpo") == [
        "experiment=papo_qwen sets what algorithm=grpo sets otherwise: perception_coef=0.3 (there 0.0), "
        "algorithm.updates_per_rollout=1 (there 3); KEY=VALUE of the command wins"
    ]
    (line,) = said("experiment=papo_qwen_7b", "algorithm=papo_d")
    assert "perception_coef=0.02 (there 0.01), entropy_coef=0.05 (there 0.03)" in line


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=papo_qwen", "algorithm=grpo", "perception_coef=0", "algorithm.updates_per_rollout=1"],
        ["experiment=grpo_qwen"],  # which chooses its algorithm itself
        ["algorithm=grpo"],
        ["experiment=papo_qwen", "seed=1", "group_size=4", "guessable_share=0.5", "name=a"],
        ["experiment=papo_qwen", "data.batch_size=4", "data=easy_vqa", "+trainer.lightning.max_time=1"],
        ["experiment=sft_lab", "seed=1", "val.every=3"],
        ["experiment=papo_qwen"],  # where the share is as it was
        ["experiment=papo_qwen", "corruption=random_patch", "mask_ratio=0.4"],
        ["experiment=papo_paper", "mask_ratio=0.4"],
    ],
)
def test_what_does_what_it_says(said, overrides):
    assert said(*overrides) == []


def test_settings_that_nothing_refers_to(said):
    nothing = "changes nothing here: no other setting refers to it"
    assert said("experiment=sft_lab", "guessable_share=1") == [f"guessable_share=1 {nothing}"]
    assert said("algorithm=sft", "data=lab_supervised", "group_size=4", "perception_coef=0.5", "seed=1") == [
        f"group_size=4 {nothing}",
        f"perception_coef=0.5 {nothing}",
    ]


def test_a_share_of_patches_where_the_view_is_another_picture(said):
    """A sweep's runs say it too: each has its own value on its command line."""
    (line,) = said("experiment=papo_qwen", "mask_ratio=0.9")
    assert line.startswith("mask_ratio=0.9 acts only where the data has no other picture for a question, and the lab ")
    assert "corruption=counterfactual_or_shuffled shows that instead; corruption=random_patch" in line
    (line,) = said("experiment=papo_qwen", "corruption=counterfactual", "mask_ratio=0.9")
    assert line == "mask_ratio=0.9 changes nothing here: no other setting refers to it"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_strategy_of_several_processes_where_there_is_one(said, strategy):
    assert said("experiment=papo_qwen", f"strategy={strategy}", "strategy.devices=1") == [
        f"strategy={strategy} changes nothing here: strategy.devices=1 is one process, which runs as with "
        "strategy=single"
    ]
    assert said("experiment=papo_qwen", f"strategy={strategy}") == []
    assert said("experiment=papo_qwen", f"strategy={strategy}", "strategy.devices=1", "strategy.num_nodes=2") == []


def test_what_is_no_command():
    assert without_effect(None) == []
