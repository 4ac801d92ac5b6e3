"""The paper's runs as configurations: every value of its tables (arXiv 2507.06448), read from what is composed."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

CONF = Path(__file__).parents[2] / "conf"

# model, gamma, eta, beta, upper clip, aggregation, refills
TABLE = {
    "grpo_qwen_3b": ("Qwen/Qwen2.5-VL-3B-Instruct", 0.0, 0.0, 0.01, 0.3, "seq-mean-token-mean", 0),
    "grpo_qwen_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", 0.0, 0.0, 0.01, 0.3, "seq-mean-token-mean", 0),
    "papo_qwen_3b": ("Qwen/Qwen2.5-VL-3B-Instruct", 0.02, 0.0, 0.01, 0.3, "seq-mean-token-mean", 0),
    "papo_qwen_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", 0.02, 0.05, 0.01, 0.3, "seq-mean-token-mean", 0),
    "dapo_qwen_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", 0.0, 0.0, 0.0, 0.28, "token-mean", 20),
    "papo_d_qwen_7b": ("Qwen/Qwen2.5-VL-7B-Instruct", 0.01, 0.03, 0.0, 0.28, "token-mean", 20),
    # Not the paper's models; what it has for the nearest size.
    "papo_qwen3_vl_4b": ("Qwen/Qwen3-VL-4B-Instruct", 0.02, 0.0, 0.01, 0.3, "seq-mean-token-mean", 0),
    "papo_llava_7b": ("llava-hf/llava-1.5-7b-hf", 0.02, 0.05, 0.01, 0.3, "seq-mean-token-mean", 0),
    "papo_qwen_7b_lora": ("Qwen/Qwen2.5-VL-7B-Instruct", 0.02, 0.05, 0.01, 0.3, "seq-mean-token-mean", 0),
}


def composed(experiment: str, *overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"experiment={experiment}", *overrides, "run_dir=."])


@pytest.mark.parametrize("experiment", TABLE)
def test_the_papers_table(experiment):
    cfg = composed(experiment)
    model, gamma, eta, beta, clip_high, aggregation, refills = TABLE[experiment]
    terms = cfg.algorithm.objective
    assert (cfg.name, cfg.model.path) == (experiment, model)
    assert (terms.perception.coef, terms.reference.coef) == (gamma, beta)
    assert (terms.entropy.coef, terms.entropy.corrupted_coef) == (eta, eta)
    assert (terms.surrogate.clip_low, terms.surrogate.clip_high) == (0.2, clip_high)
    assert (terms.loss_aggregation, cfg.algorithm.max_refills) == (aggregation, refills)


@pytest.mark.parametrize("experiment", TABLE)
def test_what_all_runs_of_the_paper_share(experiment):
    cfg = composed(experiment)
    assert (cfg.group_size, cfg.data.batch_size, cfg.algorithm.updates_per_rollout) == (5, 384, 3)
    assert cfg.trainer.max_steps == int(2 * 38870 / 384)  # two passes
    assert (cfg.rollout.max_new_tokens, cfg.rollout.temperature, cfg.rollout.top_p) == (2048, 1.0, 0.99)
    assert (cfg.mask_ratio, cfg.algorithm.grad_clip) == (0.6, 1.0)
    assert (cfg.algorithm.schedule, cfg.optimizer.weight_decay) == ("constant", 0.01)
    assert (cfg.data.train.schema, cfg.data.train.split) == ("virl39k", "train")
    assert cfg.corruption._target_ == "papo.corruption.RandomPatchMask"
    if experiment != "papo_qwen_7b_lora":  # whose rate is its own
        assert cfg.optimizer.lr == 1e-6
        assert list(cfg.model.train) == ["vision", "projector", "language"]
        assert (cfg.model.dtype, cfg.trainer.precision) == ("bfloat16", "bf16-true")
    if experiment != "papo_llava_7b":  # which has one size, and half as many positions
        assert cfg.data.max_prompt_tokens == 4096
        assert (cfg.model.min_pixels, cfg.model.max_pixels) == (200704, 1003520)


def test_the_recommended_term_is_the_one_of_the_lab():
    """As docs/models.md has its command."""
    page = (CONF.parent / "docs" / "models.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"experiment=papo_qwen_3b (corruption=patch_shuffle .*)", page.replace("\\\n", ""))
    asked = composed("papo_qwen_3b", *command.split())
    lab = composed("papo_qwen", "corruption=patch_shuffle", "mask_ratio=1")
    assert asked.algorithm.objective.perception == lab.algorithm.objective.perception
    assert asked.corruption == lab.corruption
