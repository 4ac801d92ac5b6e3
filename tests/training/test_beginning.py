"""What a run says before its first step."""

import re
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import OmegaConf

from papo.data.sources.easy_vqa import EasyVQA
from papo.policy.repeating import RepeatingPolicy
from papo.training.beginning import first_lines
from papo.training.strategies import ShardedWeights

LOADED = SimpleNamespace(
    fast_layers="oneDNN",
    policy=SimpleNamespace(model=SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))),
)


class Shares(ShardedWeights):
    """Without processes."""

    root_device = None

    def __init__(self) -> None:
        """Of nothing."""


def lines(
    data=None,
    *,
    train=None,
    device="cpu",
    ranks=1,
    logger=TensorBoardLogger,
    run_dir="outputs/papo/now",
    sharded=False,
    policy=LOADED.policy,
):
    cfg = OmegaConf.create(
        {
            "run_dir": run_dir,
            "data": {"train": {"guessable_share": 0.95}} if data is None else data,
            "trainer": {"precision": "32-true"},
            "engine": {"captured": True},
        }
    )
    strategy = Shares() if sharded else SimpleNamespace()
    strategy.root_device = torch.device(device)
    trainer = SimpleNamespace(strategy=strategy, world_size=ranks, logger=logger(save_dir="x"))
    loaded = SimpleNamespace(fast_layers=LOADED.fast_layers, policy=policy)
    return first_lines(cfg, loaded, trainer, train)


def test_a_run_says_where_it_is_and_what_it_runs_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert lines() == [
        "words give away: 95 % of the training questions (guessable_share=0.95)",
        "device: cpu, 2 threads, 32-true, layers oneDNN",
        "folder: outputs/papo/now",
        "tensorboard --logdir outputs/papo",
    ]
    assert lines(run_dir="/else where/run")[-1] == "tensorboard --logdir '/else where'"
    assert lines(run_dir=f"{tmp_path}/a/run")[-1] == "tensorboard --logdir a"
    assert lines(logger=CSVLogger)[-1] == "folder: outputs/papo/now"


def test_an_accelerator_by_name(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NVIDIA X")
    said = lines(device="cuda", ranks=2)[1]
    assert said == "device: 2 x NVIDIA X, 32-true, steps captured as CUDA graphs, attention sdpa"


def test_only_what_is_captured_is_said_to_be(monkeypatch):
    """Neither steps of shares of weights nor those of a model of no family are."""
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NVIDIA X")
    said = lines(device="cuda", ranks=8, sharded=True)[1]
    assert said == "device: 8 x NVIDIA X, 32-true, attention sdpa"
    slow = RepeatingPolicy.__new__(RepeatingPolicy)
    slow.__dict__ |= vars(LOADED.policy)
    assert lines(device="cuda", policy=slow)[1] == "device: NVIDIA X, 32-true, attention sdpa"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"train": {"guessable_share": 0.0}}, "0 % of the training questions (guessable_share=0)"),
        ({"train": {}, "guessability": "a.jsonl"}, "what a.jsonl has measured"),
        ({"train": {"guessable_share": 0.0}, "guessability": "a.jsonl"}, "what a.jsonl has measured"),
        ({"train": {}, "guessability": None}, "unknown; python evaluate.py guessable=true measures how much"),
    ],
)
def test_what_is_known_of_guesses(data, said):
    assert lines(data)[0] == f"words give away: {said}"


@pytest.mark.parametrize(("asked", "share"), [(0.0, "66.7"), (0.5, "83.5"), (1.0, "100")])
def test_the_words_of_easy_vqa_give_more_away_than_was_asked_for(asked, share):
    train = SimpleNamespace(source=EasyVQA("train", guessable_share=asked))
    said = lines({"train": {"guessable_share": asked}}, train=train)[0]
    assert re.fullmatch(rf"words give away: {share} % of the training questions .*", said)
