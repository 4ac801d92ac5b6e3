"""One run in two processes: what they exchange, and that it is the run of one process."""

import json
import multiprocessing
import os
import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError
from replicas import picture
from safetensors.torch import load_file
from study.fake_workers import at_once
from transformers import AutoModelForImageTextToText
from two_ranks import asked_to_stop, copy_for, one_fails, train_and_exchange

from papo import ranks
from papo.errors import ConfigError, GraderFailed, ProcessLost, SettingError
from papo.interrupts import Interrupted
from papo.study.composing import compose_runs
from papo.study.definition import Planned
from papo.training import launching
from papo.training.run import trained
from papo.training.strategies import ShardedWeights

STRATEGIES = ("ddp", "fsdp")
STRATEGY = {"devices": 2, "num_nodes": 1, "lightning": {"_target_": "papo.training.strategies.SummedGradients"}}
TWO = OmegaConf.create({"strategy": STRATEGY, "run_dir": "nowhere"})


def test_alone_everything_is_what_it_was():
    assert (ranks.count(), ranks.rank(), ranks.is_first()) == (1, 0, True)
    assert list(ranks.dealt(range(3))) == ranks.collected(range(3)) == [0, 1, 2]
    assert ranks.batches(5, 2) == [range(2), range(2, 4), range(4, 5)]
    assert ranks.batches(0, 2) == []
    assert ranks.means({"a": torch.tensor([True, False]), "b": []}) == {"a": 0.5}
    assert (ranks.total(3), ranks.summed({"a": 0.1}), ranks.anywhere(True)) == (3, {"a": 0.1}, True)


def test_two_ranks_count_together(runs):
    _, exchanged = runs
    assert exchanged["exchanges"] == {
        "count": 2,
        "numbers": [0, 1],
        "first": (True, "rank 0"),
        "dealt": [[0, 2, 4], [1, 3]],
        "collected": [0, 10, 20, 30, 40],
        "batches": [[range(3)], [range(3, 5)]],
        "few": [[range(1)], []],
        "anywhere": (True, False),
        "total": 3,
        "summed": {"both": 3.0, "last": 5.0},
        "means": {"all": 3.0, "one": 4.0},
        "gradients": [[3.0, 4.0], None, [3.0, 3.0], [[0.0, 6.0, 12.0], [3.0, 9.0, 15.0]]],
    }


def test_time_is_over_for_all_ranks_or_none(runs):
    _, exchanged = runs
    assert exchanged["late_clock"] == ["interrupted: trainer.lightning.max_time is over"] * 2


def test_shares_are_shares_and_gradients_are_sums(runs):
    """In three updates, of which the second is no other one for the first, whatever is gathered in."""
    _, exchanged = runs
    for found in exchanged["shards"]:
        assert sum(found["shares"]) == found["whole"]
        assert max(found["shares"]) < 0.55 * found["whole"]
        assert found["same"]
        # 0 + 3, 1 + 2, and of what nobody used none; first, and last in the model, which is of another part of it
        assert found["gradients"] == [[[3.0], [3.0], None, [3.0]]] * 3
        assert found["policy"].items() <= found["state"].items()


def test_a_reference_is_kept_in_shares_and_stands_in_for_the_policy(runs):
    """Of what is trained alone, in what is computed in; it is what was loaded, whatever the policy is by then."""
    _, exchanged = runs
    for of_rank in exchanged["references"]:
        for found, size in zip(of_rank, (4, 2), strict=True):
            assert 0 < found["trained"] < found["total"]
            assert found["kept"] < 0.55 * size * found["trained"]
            assert all(found[name] for name in ("as_loaded", "shared", "moved", "back", "gone"))
            # What another engine goes by: other weights while it stands in and after an update, and not in between.
            assert found["versions"] == [False, True, False]
    for of_precision, size in zip(zip(*exchanged["references"], strict=True), (4, 2), strict=True):
        assert sum(found["kept"] for found in of_precision) == size * of_precision[0]["trained"]


# ------------------------------------------------------------------------------------------------ the same as in one

RESUMED = "lora"  # whose optimizer has a part of the model's parameters, in an order of its own
# From what a run goes on under what (under the same in its own folder): one process and two, whole and in shares.
GOING_ON = [("single", "single"), ("single", "fsdp"), ("ddp", "single"), ("ddp", "ddp")]
GOING_ON += [("fsdp", "single"), ("fsdp", "ddp"), ("fsdp", "fsdp")]
BRIEFLY = ["val.blind=false", "val.greedy=false", "val.masked=null", "val.training_items=0"]
SIX = ["data.train.size=6", "trainer.max_steps=4"]
# Five prompts are no even share; with three updates and dynamic sampling a rank may be left without any.
RUNS = {
    "papo": [
        "experiment=papo_qwen",
        "algorithm.updates_per_rollout=1",
        "val.every=1",
        "val.items=1",
        "data.num_workers=1",
    ],
    "dapo": [
        "algorithm=papo_d",
        "algorithm.updates_per_rollout=3",
        "algorithm.max_refills=2",
        "mask_ratio=1.0",
        "kl_coef=0.1",
        "algorithm.objective.reference.estimator=full",
        *BRIEFLY,
    ],
    # Six items: a batch of five that begins with the last one of a pass has an item twice.
    "guesses": [
        "blind_guess_coef=0.5",
        "algorithm.weigh_by_guessability=rollout",
        *SIX,
        "model.train=[language]",
        *BRIEFLY,
    ],
    "lora": [
        "model.train=[language]",
        "model.lora={r: 2, alpha: 4, export: merged}",
        "model.gradient_checkpointing=true",
        *BRIEFLY,
    ],
    # A prompt for each, most without a picture: a rank has often nothing to look at.
    # Refilled from a stream, which every rank reads.
    "texts": [
        "experiment=papo_qwen",
        "trainer.max_steps=4",
        "data.batch_size=2",
        "group_size=2",
        "algorithm.max_refills=1",
        "data.train.streaming=true",
        *BRIEFLY,
    ],
    # A refill has one item: the other rank is without.
    "one_token": [
        "data.train.size=3",
        "data.batch_size=2",
        "group_size=2",
        "algorithm.max_refills=1",
        "algorithm.objective.reference.place=reward",
        "rollout.max_new_tokens=1",
        *BRIEFLY,
    ],
}
SETTINGS = ["data.batch_size=5", "data.val.size=3", "optimizer.lr=1e-4", "seed=1", "algorithm.schedule=constant"]
SETTINGS += ["callbacks.progress=null"]


def composed(folder, tiny, strategy, further=(), names=tuple(RUNS)):
    planned = [
        Planned(name, {}, 1, (*tiny, *SETTINGS, *rows_for(name, folder), *RUNS[name], f"strategy={strategy}", *further))
        for name in names
    ]
    configs = compose_runs(planned, folder)
    for cfg in configs.values():
        OmegaConf.set_struct(cfg, False)
        cfg.reward = {"_target_": "papo_steps.marks", "_partial_": True}  # which a random policy earns
    return {of.arm: configs[of.folder] for of in planned}


def rows_for(name, folder):
    """What the run of texts is about: eight questions, of which two have a picture."""
    path = folder / "rows.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        picture(1).save(folder / "picture.png")
        rows = [{"id": str(n), "question": f"{n} and {n}?", "answer": str(2 * n)} for n in range(8)]
        rows = [row | ({"image": "picture.png"} if n % 4 == 0 else {}) for n, row in enumerate(rows)]
        path.write_text("\n".join(map(json.dumps, rows)))
    whole = ["data.train.share=[0,1]", "data.val.share=[0,1]"]
    return ["data=folder", f"data.train.path={path}", *whole] if name == "texts" else []


@pytest.fixture(scope="module")
def runs(tiny, tiny_model, tmp_path_factory):
    """Each run in one process, and in two by either strategy; then a step more of one of them, in every way. Returns
    also what the two processes found out about each other."""
    folder = tmp_path_factory.mktemp("ranks")
    found = {"single": {name: trained(cfg) for name, cfg in composed(folder / "single", tiny, "single").items()}}
    two = {
        f"{strategy} {name}": cfg
        for strategy in STRATEGIES
        for name, cfg in composed(folder / strategy, tiny, strategy).items()
    }
    again = {(before, strategy): going_on(folder, tiny, before, strategy) for before, strategy in GOING_ON}
    two |= {" to ".join(way): cfg for way, cfg in again.items() if way[1] != "single"}
    found |= launching.launched(partial(train_and_exchange, two, str(tiny_model)), TWO)
    for (_, strategy), cfg in again.items():
        if strategy == "single":
            copy_for(cfg)
            trained(cfg)
    trained(composed(folder / "through", tiny, "single", ["trainer.max_steps=3"], [RESUMED])[RESUMED])
    return folder, found


def going_on(folder, tiny, before, strategy):
    """A run with one more step, from the checkpoint that it left under another strategy; under the same, in place."""
    cfg = composed(folder / f"{before}_{strategy}", tiny, strategy, ["trainer.max_steps=3"], [RESUMED])[RESUMED]
    saved = folder_of(folder, before, RESUMED)
    if before == strategy:
        cfg.copy_of = str(saved)
        saved = Path(cfg.run_dir)
    cfg.ckpt_path = str(saved / "checkpoints" / "last.ckpt")
    return cfg


def folder_of(folder, strategy, name):
    return folder / strategy / f"{name}_seed=1"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one_does(runs, name, strategy, Run):
    folder, found = runs
    one, two = (Run(folder_of(folder, each, name)) for each in ("single", strategy))
    assert (found["single"][name]["world_size"], found["trained"][f"{strategy} {name}"]["world_size"]) == (1, 2)
    assert [row["response"] for row in two.rollouts] == [row["response"] for row in one.rollouts] != []
    assert two.held_out == one.held_out
    expected, got = one.scalars, two.scalars
    assert got.keys() == expected.keys()
    for tag in expected.keys() - {"time/rollout", "time/step"}:
        assert got[tag] == pytest.approx(expected[tag], abs=1e-5, rel=1e-5), tag
    expected, got = (load_file(run.path / "model" / "model.safetensors") for run in (one, two))
    for tensor, value in expected.items():
        torch.testing.assert_close(got[tensor], value, atol=1e-5, rtol=0)


def test_a_rank_had_nothing_to_look_at_and_one_token_to_say(runs, Run):
    folder, _ = runs
    steps = {}
    for row in Run(folder_of(folder, "ddp", "texts")).rollouts:
        steps.setdefault(row["step"], set()).add(int(row["id"]) % 4 == 0)
    assert {False, True} in steps.values()
    one_token = Run(folder_of(folder, "fsdp", "one_token")).scalars
    assert set(one_token["response/length_mean"].values()) == {1}
    assert one_token["group/refills"][1] == 1  # by one item, and its reward by the reference
    assert any(Run(folder_of(folder, "ddp", "texts")).scalars["group/refills"].values())


def test_an_item_that_comes_twice_in_a_step_has_other_responses_each_time(runs, Run):
    """On whichever ranks: the two processes have one each."""
    folder, _ = runs
    rows = Run(folder_of(folder, "ddp", "guesses")).rollouts
    steps = [[row for row in rows if row["step"] == step] for step in (1, 2, 3, 4)]
    twice = [step for step in steps if len({row["id"] for row in step}) < len(step) // 3]
    assert twice
    for step in twice:
        ids = [row["id"] for row in step[::3]]
        (id,) = {id for id in ids if ids.count(id) > 1}
        groups = [tuple(row["response"] for row in step[3 * n : 3 * n + 3]) for n, of in enumerate(ids) if of == id]
        assert len(set(groups)) == len(groups)


@torch.no_grad()
@pytest.mark.parametrize("name", ["papo", "lora"])
def test_what_shares_leave_is_a_model_of_plain_transformers(runs, name, tiny_model):
    """Which gives the log-probabilities that the policy of the run gave in the end, up to what float32 rounds; of an
    adapter, which was computed beside the weights and is now in them, too."""
    folder, _ = runs
    run = folder_of(folder, "fsdp", name)
    model = AutoModelForImageTextToText.from_pretrained(run / "model").eval()
    before = AutoModelForImageTextToText.from_pretrained(tiny_model).eval()
    found = torch.load(run / "final_scores.pt", weights_only=True)
    assert len(found) == 3
    for scored in found:
        got, started = (plain_logprobs(each, scored) for each in (model, before))
        assert (got - started).abs().max() > 1e-3
        torch.testing.assert_close(got, scored["logprobs"], atol=1e-6, rtol=1e-6)


def plain_logprobs(model, scored):
    """[T] nats of the response at the end of the ids, as transformers computes them."""
    ids, length = scored["ids"][None], len(scored["logprobs"])
    vision = {name: scored[name] for name in ("pixel_values", "image_grid_thw")}
    of_image = (ids == model.config.image_token_id).int()
    logits = model(input_ids=ids, mm_token_type_ids=of_image, use_cache=False, **vision).logits[0, -length - 1 : -1]
    return logits.log_softmax(-1).gather(-1, ids[0, -length:, None]).squeeze(-1)


@pytest.mark.parametrize(("before", "strategy"), GOING_ON)
def test_a_checkpoint_knows_nothing_of_ranks(runs, before, strategy, Run):
    """What one process saved, or two, goes on in one or two, whole or in shares, as the run that went through."""
    folder, _ = runs
    expected = Run(folder_of(folder, "through", RESUMED))
    found = Run(folder_of(folder, f"{before}_{strategy}", RESUMED))
    last = [row["response"] for row in expected.rollouts if row["step"] == 3]
    assert [row["response"] for row in found.rollouts if row["step"] == 3] == last != []
    assert {row["step"] for row in found.rollouts} == ({1, 2, 3} if before == strategy else {3})
    for tag in ("loss/total", "policy/grad_norm", "policy/learning_rate"):
        assert found.scalars[tag][3] == pytest.approx(expected.scalars[tag][3], abs=1e-5, rel=1e-4)


# --------------------------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("killed", ProcessLost, r"^process 1 of 2 ended with status -9, and the run with it; nothing was saved yet$"),
        ("interrupted", Interrupted, "^stopped at once"),
        ("bug", ProcessLost, "^process 1: KeyError: 'a bug'$"),
    ],
)
def test_a_process_that_fails_takes_the_others_along(how, error, message, capfd):
    with pytest.raises(error, match=message):
        launching.launched(one_fails, OmegaConf.merge(TWO, {"how": how}))
    said = capfd.readouterr().err
    assert said.count("Traceback") == (how == "bug")  # what the other one makes of it is not said
    assert "closed by peer" not in said


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (GraderFailed("it hung"), GraderFailed, "it hung"),
        (InterpolationKeyError("Interpolation key 'nope' not found"), ConfigError, "nope"),
        (SystemExit(1), Interrupted, "stopped at once"),
        (OSError("no such thing"), ProcessLost, "process 1: OSError: no such thing"),
    ],
)
def test_what_a_process_says_when_it_fails(raised, error, message, monkeypatch):
    """In this process, which stays what it is."""
    monkeypatch.setattr("os.environ", dict(os.environ))
    for name in ("os.setsid", "papo.training.launching.end_with_parent", "torch.set_num_threads"):
        monkeypatch.setattr(name, lambda *_: None)
    said = []
    connection = SimpleNamespace(send=said.append, close=lambda: None)

    def task(cfg):
        raise raised

    launching.serve(connection, {"RANK": "1", "WORLD_SIZE": "2"}, task, TWO, None)
    (reply,) = said
    assert isinstance(reply, error)
    assert message in str(reply)
    assert ("OSError" in getattr(reply, "trace", "")) == (error is ProcessLost)


@dataclass
class LauncherConf:
    n_jobs: int = 2


def test_hydras_settings_can_be_sent_whatever_plugin_declares_their_types(monkeypatch):
    """Hydra's search for plugins imports their modules again, so that a type is another one than that of its name."""
    hydra = {"launcher": LauncherConf, "mode": RunMode.MULTIRUN, "overrides": {"task": ["name=a_${seed}"]}}
    monkeypatch.setattr(HydraConfig.instance(), "cfg", OmegaConf.create({"hydra": hydra}))
    monkeypatch.setitem(globals(), "LauncherConf", None)
    sent = pickle.loads(pickle.dumps(launching.hydra_settings(OmegaConf.create({"seed": 3})))).hydra
    assert (sent.launcher.n_jobs, sent.mode, sent.overrides.task) == (2, RunMode.MULTIRUN, ["name=a_3"])


def test_a_worker_of_joblibs_starts_processes(monkeypatch):
    """Its default start method is of a name that no fresh process knows."""
    loky = type("LokyContext", (type(launching.SPAWN),), {"_name": "loky"})
    monkeypatch.setitem(multiprocessing.context._concrete_contexts, "loky", loky())
    monkeypatch.setattr(launching, "serve", at_once)
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("loky", force=True)
    try:
        assert launching.launched(dict, TWO) == {"RANK": "0"}
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_a_signal_comes_to_all_processes_once_and_what_fails_then_is_said():
    with pytest.raises(GraderFailed, match=r"^asked \[1, 1\] times$"):
        launching.launched(asked_to_stop, TWO)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"num_nodes": 2}, r"^strategy\.num_nodes above 1 needs torchrun or srun"),
        ({"lightning": "auto"}, r"^2 processes need strategy=ddp; strategy=single is one$"),
    ],
)
def test_what_cannot_be_started_is_refused(strategy, message):
    with pytest.raises(ConfigError, match=message):
        launching.needed(OmegaConf.merge(TWO, {"strategy": strategy}))


def test_processes_that_torchrun_started_are_not_started_again(monkeypatch):
    assert launching.needed(TWO)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launching.needed(TWO)  # which Lightning leaves behind
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (launching.needed(TWO), launching.number(TWO)) == (False, 1)


def test_shards_are_computed_in_what_they_can_be():
    with pytest.raises(
        SettingError, match=r"^precision must be one of 32-true, bf16-mixed for strategy=fsdp, got '16-mixed'$"
    ):
        ShardedWeights("16-mixed")


@pytest.mark.parametrize(("there", "devices"), [(2, 1), (2, 3), (1, 2)])
def test_as_many_processes_as_are_asked_for(monkeypatch, there, devices):
    asked = OmegaConf.merge(TWO, {"strategy": {"devices": devices}})
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(there)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"^{there} processes were started, and strategy\..* are {devices}: "):
        launching.needed(asked)


def test_a_world_of_one_that_something_else_left_behind(monkeypatch):
    """A job of one process on a cluster; it has no LOCAL_RANK."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launching.needed(TWO)


def test_a_step_without_a_prompt_for_each_process_is_refused(tiny, tmp_path):
    cfg = composed(tmp_path, tiny, "single", names=["papo"])["papo"]
    cfg.strategy = {**STRATEGY, "devices": 8}
    with pytest.raises(ConfigError, match=r"^data\.batch_size must be at least the number of processes.* got 5 for 8$"):
        trained(cfg)
