"""Every file under conf/ composes, and what it names can be built."""

import copy
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from replicas import REPLICAS, plain_parquet

from papo.corruption import Maker
from papo.data.module import PromptData
from papo.data.order import endless
from papo.policy.loading import Loaded, save_policy
from papo.policy.sampling import Sampling
from papo.training.base import PolicyModule
from papo.training.collapse import CollapseMonitor
from papo.training.run import build_trainer, check_settings
from papo.training.sft import target_text
from papo.types import Item

CONF = Path(__file__).parents[2] / "conf"


def names(group: str) -> list[str]:
    """The choices of a group; a file that others build on begins with an underscore."""
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir())
FILES = [f"{group}={name}" for group in GROUPS for name in names(group)]


def composed(*overrides: str, entry: str = "train", **settings: Any) -> DictConfig:
    return copy.deepcopy(composed_once(overrides, entry, **settings))


@functools.cache
def composed_once(overrides: tuple[str, ...], entry: str, **settings: Any) -> DictConfig:
    """Tests ask for one configuration several times, and some change theirs."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(entry, overrides=list(overrides), **settings)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from leaves(child, f"{key}.{name}" if key else name)
    else:
        yield key, node


@pytest.mark.parametrize("file", FILES)
def test_every_file_composes_and_its_targets_exist(file):
    group, _, name = file.partition("=")
    own = {"benchmarks": (f"benchmarks=[{name}]", "evaluate"), "source": (f"+source@data.train={name}", "train")}
    chosen, entry = own.get(group, (file, "train"))
    container = resolved(composed(chosen, "run_dir=.", entry=entry))
    targets = [value for key, value in leaves(container) if key.rpartition(".")[2] == "_target_"]
    assert len(targets) >= 3
    for target in targets:
        assert callable(get_object(target)), target


# ------------------------------------------------------------------------------------------------------------- built


@pytest.mark.parametrize("name", names("algorithm"))
def test_every_algorithm_is_built(name, make_policy, processor):
    cfg = composed(f"algorithm={name}", "seed=5", "val.samples=3", "trainer.max_steps=7", "optimizer.lr=0.5")
    module = instantiate(cfg.algorithm, policy=make_policy(), processor=processor)
    assert isinstance(module, PolicyModule)
    assert (module.seed, module.held_out.samples, module.total_steps) == (5, 3, 7)
    assert isinstance(module.held_out.sampling, Sampling)
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert sum(map(len, (group["params"] for group in optimizer.param_groups))) == len(list(module.parameters()))


@pytest.mark.parametrize("name", names("corruption"))
def test_every_corruption_is_built(name):
    cfg = composed(f"corruption={name}", "mask_ratio=0.4").corruption
    maker = instantiate(cfg)
    assert isinstance(maker, Maker)
    if "mask_ratio" in cfg:
        assert maker.mask_ratio == (1.0 if name == "whole_image" else 0.4)


@pytest.mark.parametrize("name", names("reward"))
def test_every_reward_pays_one_for_a_right_and_well_formed_response(name, item):
    reward = instantiate(composed(f"reward={name}").reward)
    total = reward(item("id", "red?"), "<think> red = 11 </think> \\boxed{11}").total
    assert total == pytest.approx(1)
    assert reward(item("id", "red?"), "12").total == 0


@pytest.mark.parametrize(("name", "right", "well_formed"), [("accuracy", 1.0, 0.0), ("accuracy_format", 0.9, 0.1)])
def test_what_the_rewards_pay_for(name, right, well_formed, item):
    reward = instantiate(composed(f"reward={name}").reward)
    assert reward(item("id", "red?"), "so \\boxed{11}").total == right
    assert reward(item("id", "red?"), "<think> red = 12 </think> \\boxed{12}").total == well_formed


@pytest.mark.parametrize("name", names("rollout"))
def test_every_rollout_is_built(name):
    assert isinstance(instantiate(composed(f"rollout={name}").rollout), Sampling)


GENERATED = ("lab", "lab_supervised")  # nothing is read from a file
TABLES = sorted(REPLICAS)


@pytest.mark.parametrize("name", GENERATED)
def test_every_generated_data_is_built(name):
    data = instantiate(composed(f"data={name}", "seed=5").data, collate=None, val_collate=None)
    assert isinstance(data, PromptData)
    assert data.seed == 5
    assert isinstance(data.train[0], Item)
    assert isinstance(data.val[0], Item)
    assert (data.train.source.split, data.val.source.split) == ("train", "val")
    assert getattr(data.val.source, "guessable_share", 0) == 0  # held-out accuracy is never of what language gives away


@pytest.fixture
def replica(tmp_path, monkeypatch):
    """Overrides that put a data set's copy in its place."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def replica(name: str, *places: str) -> list[str]:
        (tmp_path / name).mkdir()
        path = plain_parquet(REPLICAS[name], tmp_path / name)
        return [f"{place}.{key}" for place in places for key in (f"path={path}", "share=[0,1]", "size=null")]

    return replica


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_built(name, replica):
    cfg = composed(f"data={name}", "data.batch_size=2", *replica(name, "data.train", "data.val"))
    data = instantiate(cfg.data, collate=None, val_collate=None)
    assert isinstance(data, PromptData)
    assert (len(data.train), len(data.val)) == (4, 4)
    assert data.skips.count() == 0


def test_a_mixture_is_built(replica):
    cfg = composed("data=mixture")
    parts = [(name, f"data.train.sources.{name}") for name in cfg.data.train.sources] + [("mmk12", "data.val")]
    overrides = [override for part in parts for override in replica(*part)]
    data = instantiate(composed("data=mixture", *overrides).data, collate=None, val_collate=None)
    items = endless(data.train, data.seed)
    assert {items[i].id.partition("/")[0] for i in range(50)} == set(cfg.data.train.sources)


@pytest.mark.parametrize("name", names("data"))
def test_training_and_held_out_items_are_not_the_same(name):
    """Another split, another share of it, or another data set."""
    data = composed(f"data={name}", "run_dir=.").data
    train, val = (OmegaConf.to_container(part, resolve=True) for part in (data.train, data.val))
    if "path" in train and train["path"] == val["path"] and train["split"] == val["split"]:
        assert train["share"][1] <= val["share"][0]
    else:
        assert train != val


def test_the_supervised_stage_has_pictures_of_its_own():
    supervised, lab = (composed(f"data={name}").data for name in ("lab_supervised", "lab"))
    assert supervised.train.seed != lab.train.seed
    assert supervised.val == lab.val
    assert target_text(instantiate(supervised.train)[0])


@pytest.mark.parametrize("name", ["lab", "lab_guessable"])
def test_every_generated_benchmark_is_built(name):
    cfg = composed(f"benchmarks=[{name}]", entry="evaluate")
    assert list(cfg.benchmarks) == [name]
    source = instantiate(cfg.benchmarks[name])
    assert len(source) == cfg.benchmarks[name].size
    assert isinstance(source[0], Item)
    assert source.split in ("val", "test")


@pytest.mark.parametrize("name", [name for name in names("benchmarks") if name in TABLES])
def test_every_benchmark_of_a_table_is_built(name, replica):
    cfg = composed(f"benchmarks=[{name}]", *replica(name, f"benchmarks.{name}"), entry="evaluate")
    assert list(cfg.benchmarks) == [name]
    assert len(instantiate(cfg.benchmarks[name])) == 4


def test_benchmarks_can_be_measured_together():
    cfg = composed(f"benchmarks=[{','.join(names('benchmarks'))}]", entry="evaluate")
    assert list(cfg.benchmarks) == names("benchmarks")


def test_the_lab_benchmark_is_what_training_reports():
    assert composed(entry="evaluate").benchmarks == {"lab": composed().data.val}
    assert composed(entry="evaluate").seed == composed().seed
    assert composed(entry="evaluate").k == composed().val.samples


def test_a_model_is_loaded(make_policy, image_text_processor, tmp_path):
    save_policy(make_policy(), image_text_processor, tmp_path)
    loaded = instantiate(composed(f"model.path={tmp_path}", "model.train=[language]").model)
    assert isinstance(loaded, Loaded)
    assert loaded.policy.train_vision is False


def test_a_model_is_made_from_nothing():
    small = ["hidden_size=32", "layers=1", "heads=4", "vision_hidden_size=32", "vision_layers=1", "vision_heads=2"]
    overrides = [f"model.{setting}" for setting in (*small, "texts.count=4", "vocab_size=300")]
    loaded = instantiate(composed("experiment=sft_lab_read", *overrides).model)
    assert loaded.policy.model.config.text_config.hidden_size == 32
    assert loaded.policy.model.config.vision_config.depth == 1


# ------------------------------------------------------------------------------------------------------------ values


def test_papo_paper_is_the_papers_papo_g():
    cfg = composed("experiment=papo_paper", "run_dir=.")
    container = resolved(cfg)
    objective = container["algorithm"]["objective"]
    assert objective["loss_aggregation"] == "seq-mean-token-mean"
    surrogate = {"clip_low": 0.2, "clip_high": 0.3, "dual_clip": None, "ratio": "token", "visual_token_share": None}
    surrogate |= {"visual_estimator": "k3", "view": "corrupted"}
    assert objective["surrogate"] == {"_target_": "papo.objective.Surrogate"} | surrogate
    assert objective["reference"] == {
        "_target_": "papo.objective.ReferenceKL",
        "coef": 0.01,
        "estimator": "k3",
        "direction": "policy_to_reference",
        "cap": 10.0,
        "place": "loss",
    }
    assert objective["perception"] == {
        "_target_": "papo.objective.PerceptionKL",
        "coef": 0.02,
        "estimator": "k3",
        "direction": "clean_to_corrupted",
        "corrupted_gradient": True,
        "recompute": "update",
        "cap": 10.0,
        "token_share": 1.0,
        "responses": "all",
        "schedule": "constant",
        "warmup_share": 0.1,
        "start": 0.0,
        "view": "corrupted",
    }
    assert (objective["entropy"]["coef"], objective["entropy"]["corrupted_coef"]) == (0.0, 0.0)
    assert (objective["entropy_hinge"]["coef"], objective["robustness"]["coef"]) == (0.0, 0.0)
    off = {"normalize_std": True, "max_refills": 0, "overlong_buffer": 0, "noisy_rollout_share": 0.0}
    assert {name: container["algorithm"][name] for name in off} == off
    assert container["algorithm"]["corruption"] == {
        "_target_": "papo.corruption.RandomPatchMask",
        "mask_ratio": 0.6,
        "count": "exact",
        "fill": "black",
        "unit": "patch",
        "per": "prompt",
    }
    assert container["algorithm"]["reward"] == {
        "_target_": "papo.rewards.reward.Reward",
        "accuracy_weight": 1.0,
        "format_weight": 0.0,
    }
    assert (cfg.rollout.temperature, cfg.rollout.top_k) == (1.0, 0)
    assert cfg.model.train == ["vision", "projector", "language"]
    assert cfg.ckpt_path is None


def differences(one: str, other: str) -> dict[str, tuple]:
    """The settings in which two experiments differ, and each one's value."""
    a, b = (dict(leaves(resolved(composed(f"experiment={name}", "run_dir=.")))) for name in (one, other))
    return {key: (a.get(key), b.get(key)) for key in a | b if a.get(key) != b.get(key)}


def test_grpo_qwen_is_papo_paper_without_its_perception_term():
    assert differences("papo_paper", "grpo_qwen") == {
        "name": ("papo_paper", "grpo_qwen"),
        "perception_coef": (0.02, 0.0),
        "algorithm.objective.perception.coef": (0.02, 0.0),
    }


def test_papo_qwen_changes_the_view_and_the_estimator():
    found = differences("papo_paper", "papo_qwen")
    assert found.pop("algorithm.objective.perception.estimator") == ("k3", "full")
    assert found.pop("algorithm.objective.perception.cap") == (10.0, 3.0)
    assert found.pop("algorithm.corruption._target_") == tuple(
        f"papo.corruption.{name}" for name in ("RandomPatchMask", "Counterfactual")
    )
    assert {key for key in found if "corruption" not in key} == {
        "name",
        "perception_coef",
        "algorithm.objective.perception.coef",
    }


def test_papo_released_holds_the_corrupted_branch_constant():
    found = differences("papo_paper", "papo_released")
    term = "algorithm.objective.perception"
    assert {key: other for key, (_, other) in found.items() if key.startswith("algorithm.") and "blind" not in key} == {
        f"{term}.corrupted_gradient": False,
        f"{term}.recompute": "rollout",
        "algorithm.objective.loss_aggregation": "token-mean",
        "algorithm.objective.surrogate.dual_clip": 3.0,
        "algorithm.corruption.count": "bernoulli",
        "algorithm.reward.accuracy_weight": 0.9,
        "algorithm.reward.format_weight": 0.1,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # (gamma, eta_1, eta_2, beta), (eps_l, eps_h), aggregation, refills: the paper's table of runs
        ("papo_g", ((0.02, 0.0, 0.0, 0.01), (0.2, 0.3), "seq-mean-token-mean", 0)),
        ("papo_d", ((0.01, 0.03, 0.03, 0.0), (0.2, 0.28), "token-mean", 20)),
        ("grpo", ((0.0, 0.0, 0.0, 0.01), (0.2, 0.3), "seq-mean-token-mean", 0)),
        ("dapo", ((0.0, 0.0, 0.0, 0.0), (0.2, 0.28), "token-mean", 20)),
        ("dr_grpo", ((0.0, 0.0, 0.0, 0.0), (0.2, 0.2), "seq-mean-token-sum-norm", 0)),
        ("gspo", ((0.0, 0.0, 0.0, 0.0), (3e-4, 4e-4), "seq-mean-token-mean", 0)),
        ("papo_seed", ((0.5, 0.0, 0.0, 0.01), (0.2, None), "seq-mean-token-mean", 0)),
    ],
)
def test_every_algorithm_is_its_papers(name, expected):
    objective = composed(f"algorithm={name}").algorithm.objective
    found = (
        (objective.perception.coef, objective.entropy.coef, objective.entropy.corrupted_coef, objective.reference.coef),
        (objective.surrogate.clip_low, objective.surrogate.clip_high),
        objective.loss_aggregation,
        composed(f"algorithm={name}").algorithm.max_refills,
    )
    assert found == expected


def test_papo_seed_is_the_seeds_recipe():
    cfg = composed("algorithm=papo_seed")
    hinge = cfg.algorithm.objective.entropy_hinge
    assert (hinge.coef, hinge.low, hinge.high) == (0.01, 0.1, 2.0)
    assert cfg.algorithm.objective.perception.corrupted_gradient is False
    assert cfg.reward._target_ == "papo.rewards.perception.PerceptionReward"
    assert (cfg.mask_ratio, cfg.corruption.count, cfg.algorithm.grad_clip) == (0.6, "exact", 1.0)
    assert cfg.model.train == ["language"]


def test_gspo_and_dr_grpo_differ_in_ratio_and_normalisation():
    assert composed("algorithm=gspo").algorithm.objective.surrogate.ratio == "sequence"
    assert composed("algorithm=dr_grpo").algorithm.normalize_std is False


def test_a_coefficient_on_the_command_line_goes_before_the_algorithms():
    cfg = composed("algorithm=dapo", "perception_coef=0.25", "kl_coef=0.125")
    assert cfg.algorithm.objective.perception.coef == 0.25
    assert cfg.algorithm.objective.reference.coef == 0.125


TRAINER = {
    "_target_": "papo.training.trainer.make_trainer",
    "_convert_": "all",
    "max_steps": 120,
    "val_every": 20,
    "accelerator": "auto",
    "precision": "32-true",
    "deterministic": False,
    "strategy": "auto",
    "devices": 1,
    "num_nodes": 1,
}
CALLBACKS = {
    "stop": {"_target_": "papo.training.callbacks.GracefulStop"},
    "progress": {
        "_target_": "papo.training.progress.make_progress",
        "refresh_rate": 1,
        "seconds_between_lines": 30.0,
    },
    "training_blind": {
        "_target_": "papo.training.blind.TrainingBlind",
        "items": 64,
        "samples": 8,
        "sampling": {"_target_": "papo.policy.sampling.Sampling", "max_new_tokens": 40, "temperature": 1.0},
    },
    "log": {"_target_": "papo.training.callbacks.StepLog", "run_dir": "here", "images_every": 20},
    "held_out": {"_target_": "papo.training.callbacks.HeldOutLog", "run_dir": "here"},
    "monitor": {
        "_target_": "papo.training.collapse.CollapseMonitor",
        "on_collapse": "warn",
        "threshold": 1.4,
        "window": 8,
        "lower_factor": 0.1,
        "term": "perception",
        "divergence": "perception/kl",
    },
    "best": None,
    "checkpoints": {"_target_": "papo.training.callbacks.Checkpointer", "run_dir": "here", "every": 20},
}


def test_how_a_run_is_driven():
    container = resolved(composed("run_dir=here"))
    assert container["trainer"]["lightning"] == TRAINER
    assert container["callbacks"] == CALLBACKS
    assert list(container["callbacks"]) == list(CALLBACKS)  # the order they are called in
    assert container["logger"] == {
        "_target_": "lightning.pytorch.loggers.TensorBoardLogger",
        "save_dir": "here",
        "name": "",
        "version": "",
        "default_hp_metric": False,
    }


def test_the_best_checkpoint_is_written_before_the_last_which_records_it():
    callbacks = resolved(composed("callbacks=best", "run_dir=here"))["callbacks"]
    assert list(callbacks) == list(CALLBACKS)
    settings = {"run_dir": "here", "every": 20, "measure": "greedy", "patience": None}
    assert callbacks["best"] == {"_target_": "papo.training.best.Best", **settings}


@pytest.mark.parametrize("chosen", names("callbacks"))
def test_supervised_training_has_no_rollouts_to_log_or_watch_whichever_callbacks_are_chosen(chosen):
    callbacks = resolved(composed("algorithm=sft", f"callbacks={chosen}", "run_dir=here"))["callbacks"]
    usual = resolved(composed(f"callbacks={chosen}", "run_dir=here"))["callbacks"]
    assert callbacks == usual | {"training_blind": None, "log": None, "monitor": None}


@pytest.mark.parametrize(
    ("logger", "kind"), [("tensorboard", "TensorBoardLogger"), ("csv", "CSVLogger")], ids=["tensorboard", "csv"]
)
def test_the_trainer_is_built(logger, kind, tmp_path):
    cfg = composed(f"logger={logger}", f"run_dir={tmp_path}", "trainer.accelerator=cpu", "callbacks.monitor=null")
    trainer = build_trainer(cfg, done=100)
    assert trainer.limit_train_batches == 20
    assert type(trainer.logger).__name__ == kind
    ours = [type(callback).__name__ for callback in trainer.callbacks if "papo" in type(callback).__module__]
    assert ours == ["GracefulStop", "ProgressLines", "TrainingBlind", "StepLog", "HeldOutLog", "Checkpointer"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", names("monitor"))
def test_every_monitor_is_built(name):
    assert isinstance(instantiate(composed(f"monitor={name}").monitor), CollapseMonitor)


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_is_named_after_its_file(name):
    assert composed(f"experiment={name}").name == name


@pytest.mark.parametrize(
    ("owner", "value", "followers"),
    [
        ("mask_ratio", 0.125, ["algorithm.corruption.mask_ratio"]),
        ("perception_coef", 0.125, ["algorithm.objective.perception.coef"]),
        ("entropy_coef", 0.125, ["algorithm.objective.entropy.coef"]),
        ("corrupted_entropy_coef", 0.125, ["algorithm.objective.entropy.corrupted_coef"]),
        (
            "algorithm.objective.perception.view",
            "noised",
            ["algorithm.objective.entropy.view", "algorithm.objective.entropy_hinge.view"],
        ),
        ("kl_coef", 0.125, ["algorithm.objective.reference.coef"]),
        ("group_size", 3, ["algorithm.group_size"]),
        ("seed", 77, ["algorithm.seed", "data.seed"]),
        ("trainer.max_steps", 77, ["algorithm.total_steps"]),
        ("val.items", 77, ["data.val_items"]),
        ("val.samples_during", 77, ["algorithm.held_out.samples_during"]),
        ("val.masked.mask_ratio", 0.125, ["algorithm.held_out.masked.mask_ratio"]),
        ("val.samples", 77, ["algorithm.held_out.samples"]),
        ("rollout.max_new_tokens", 77, ["algorithm.sampling.max_new_tokens", "val.sampling.max_new_tokens"]),
        ("rollout.temperature", 0.5, ["algorithm.sampling.temperature"]),
        ("val.sampling.temperature", 0.5, ["algorithm.held_out.sampling.temperature"]),
        ("optimizer.lr", 0.5, ["algorithm.optimizer.lr"]),
        ("reward.format_weight", 0.5, ["algorithm.reward.format_weight"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_has_one_owner_whom_others_follow(owner, value, followers):
    cfg = composed(f"{owner}={value}")
    for follower in (owner, *followers):
        assert OmegaConf.select(cfg, follower) == value, follower


def test_a_term_can_be_left_out():
    """Others that follow its view have the usual one."""
    terms = composed("~algorithm.objective.perception").algorithm.objective
    assert terms.entropy.view == terms.entropy_hinge.view == "corrupted"


def stated(node: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Each argument of this package's targets that the configuration gives, as (target, name), with its value."""
    ours = isinstance(node, dict) and str(node.get("_target_")).startswith("papo.")
    for name, value in node.items() if isinstance(node, dict) else ():
        if ours and not name.startswith("_") and not (isinstance(value, dict) and "_target_" in value):
            yield (node["_target_"], name), value
        yield from stated(value)


def test_defaults_are_stated_alike_in_yaml_and_in_python():
    """What a constructor takes where it is told nothing is what the configuration says where it is told nothing."""
    off = ["perception_coef=0.0", "kl_coef=0.0"]  # a term by itself is off; conf/train.yaml turns the paper's two on
    base = [composed("algorithm=_base", *off, "run_dir=."), composed("run_dir=.", entry="evaluate")]
    base += [composed(f"corruption={name}", "run_dir=.") for name in names("corruption") if name != "whole_image"]
    values: dict[tuple[str, str], list[Any]] = {}
    for cfg in base:
        for argument, value in stated(resolved(cfg)):
            values.setdefault(argument, []).append(value)
    compared = 0
    for (target, name), found in values.items():
        default = default_of(get_object(target), name)
        if default is not inspect.Parameter.empty:
            compared += 1
            # Lab items for training and for validation have a seed each: one of the two is the default.
            default = {} if default is None and found[0] == {} else default  # Python's way to have an empty mapping
            default = list(default) if isinstance(default, tuple) else default  # and an unchanging list
            assert default in found, f"{target}({name}={default!r}), but conf/ says {found}"
    assert compared > 40


def default_of(target: Any, name: str) -> Any:
    for call in [base.__init__ for base in target.__mro__] if inspect.isclass(target) else [target]:
        if name in inspect.signature(call).parameters:
            return inspect.signature(call).parameters[name].default
    return inspect.Parameter.empty


# --------------------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "entry"),
    [
        ("mask_ration=0.5", "train"),
        ("trainer.max_step=3", "train"),
        ("algorithm.objective.surrogate.clip_hi=0.3", "train"),
        ("algorithm.objective.perception.estimater=k1", "train"),
        ("monitor.on_colapse=stop", "train"),
        ("algorithm=papo_x", "train"),
        ("corruption=blurr", "train"),
        ("rollout.temprature=1", "train"),
        ("experiment=papo_quen", "train"),
        ("modle.path=somewhere", "evaluate"),
        ("benchmarks=[lap]", "evaluate"),
    ],
)
def test_a_misspelt_override_is_refused_by_name(override, entry):
    key, _, value = override.partition("=")
    group = key in ("experiment", "benchmarks", "algorithm", "corruption")
    with pytest.raises(HydraException, match=value.strip("[]") if group else key):
        composed(override, entry=entry)


@pytest.mark.parametrize("entry", ["train", "evaluate"])
def test_runs_of_a_sweep_are_named_after_what_tells_them_apart(entry):
    cfg = composed("seed=1", "mask_ratio=0.4", entry=entry, return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.job.num = 2
        cfg.hydra.job.config.override_dirname.exclude_keys = ["seed"]
    assert cfg.hydra.sweep.subdir == "2_mask_ratio=0.4"


@pytest.mark.parametrize("name", ["papo_g", "papo_d", "dapo", "gspo", "grpo"])
def test_the_papers_algorithms_update_three_times_per_roll_out(name):
    """With a single update the ratio is 1: clip range, dual clip and GSPO's sequence ratio would never act."""
    assert composed(f"algorithm={name}").algorithm.updates_per_rollout == 3


@pytest.mark.parametrize("name", ["papo_qwen", "grpo_qwen"])
def test_the_lab_updates_once_per_roll_out(name):
    assert composed(f"experiment={name}").algorithm.updates_per_rollout == 1
    assert composed(f"experiment={name}", "algorithm=dapo").algorithm.updates_per_rollout == 1


SAME_SOURCE = [name for name in names("data") if "_same_source" in (CONF / "data" / f"{name}.yaml").read_text()]
INHERITED = {
    "rule": "math",
    "columns": {"question": "query"},
    "tags": {"author": ["human"]},
    "schema": "folder",
    "template": "Q: {question}",
    "path": "rows.parquet",
    "max_question_length": 7,
}


@pytest.mark.parametrize("name", SAME_SOURCE)
def test_validation_reads_its_rows_as_training_does(name):
    """Otherwise the two would be graded by other rules, or a column be missing in one of them."""
    assert {"folder", "chartqa", "mathvista"} <= set(SAME_SOURCE)
    written = {
        key: f"'{value}'" if isinstance(value, str) else str(value).replace("'", "") for key, value in INHERITED.items()
    }
    settings = [f"data.train.{key}={value}" for key, value in written.items()]
    cfg = composed(f"data={name}", *settings)
    assert {key: cfg.data.val[key] for key in INHERITED} == INHERITED
    assert cfg.data.val.share != cfg.data.train.share or cfg.data.val.split != cfg.data.train.split
    assert composed(f"data={name}", *settings, "data.val.rule=exact").data.val.rule == "exact"


def test_chartqa_is_trained_strictly_and_measured_officially():
    assert composed("data=chartqa").data.train.rule == composed("data=chartqa").data.val.rule == "chartqa_strict"
    assert composed("data=mixture").data.train.sources.chartqa.rule == "chartqa_strict"
    measured = composed("benchmarks=[chartqa]", entry="evaluate").benchmarks.chartqa
    assert (measured.rule, measured.schema) == (None, "chartqa")


def test_the_released_setting_goes_with_any_view():
    assert composed("experiment=papo_released", "run_dir=here").corruption.count == "bernoulli"
    swapped = composed("experiment=papo_released", "corruption=swap", "run_dir=here")
    assert dict(swapped.corruption) == {"_target_": "papo.corruption.Swap"}


@pytest.mark.parametrize("engine", names("engine"))
@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_takes_every_engine(experiment, engine, monkeypatch):
    monkeypatch.setattr("papo.rollout.vllm.find_spec", lambda name: object())  # which need not be installed
    check_settings(composed(f"experiment={experiment}", f"engine={engine}", "run_dir=."))
