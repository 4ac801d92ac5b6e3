"""A sweep: one run directory per value, told apart by name and in TensorBoard."""

import re

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from papo.cli import guarded

ALSO = "algorithm.normalize_std=False", "corruption=patch_shuffle", "data.train.seed=3"
FOLDERS = [f"{number}_{','.join(ALSO)},mask_ratio={ratio}" for number, ratio in enumerate((0.4, 0.6))]

TINY = """\
# @package _global_
model: {{path: {path}}}
trainer: {{accelerator: cpu}}
data: {{batch_size: 2, val: {{size: 2}}}}
group_size: 2
val: {{samples: 1}}
rollout: {{max_new_tokens: 4}}
optimizer: {{lr: 0.125}}
"""


def summaries(run) -> dict:
    """The last value of each tag in the event files."""
    return {
        value.tag: value
        for path in sorted(run.glob("events.out.tfevents*"))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }


def hyperparameters(run) -> dict[str, float | str]:
    """What the event files tell TensorBoard's HPARAMS page."""
    value = summaries(run)[metadata.SESSION_START_INFO_TAG]
    hparams = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info.hparams.items()
    return {name: getattr(field, field.WhichOneof("kind")) for name, field in hparams}


@pytest.fixture(scope="module")
def sweep(command, tiny_model, tmp_path_factory):
    """Both runs of `python train.py -m ... mask_ratio=0.4,0.6`, sized by an experiment file of our own."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "tiny.yaml").write_text(TINY.format(path=tiny_model))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        overrides = ["experiment=tiny", "mask_ratio=0.4,0.6", "trainer.max_steps=1", *ALSO]
        finished = command("train.py", "-m", *overrides, f"hydra.searchpath=[file://{folder / 'conf'}]")
    assert finished.status == 0, finished.err
    (root,) = folder.glob("outputs/sweeps/papo/*")
    return root


def test_a_sweep_leaves_one_readable_folder_per_run(sweep):
    folders = sorted(path.name for path in sweep.iterdir() if path.is_dir())
    assert folders == FOLDERS
    assert all((sweep / name / "metrics.json").is_file() for name in folders)


def test_tensorboard_tells_the_runs_apart(sweep):
    found = [hyperparameters(sweep / name) for name in FOLDERS]
    assert [hparams["mask_ratio"] for hparams in found] == [0.4, 0.6]
    first, second = found
    assert {name for name in first if first[name] != second[name]} == {"mask_ratio"}
    expected = {"name": "papo", "seed": 0, "perception_coef": 0.02, "group_size": 2, "lr": 0.125, "max_steps": 1}
    assert {name: first[name] for name in expected} == expected
    chosen = {
        "experiment": "tiny",
        "corruption": "patch_shuffle",
        "algorithm.normalize_std": False,
        "data.train.seed": 3,
    }
    assert {name: first[name] for name in chosen} == chosen


def test_tensorboard_is_left_to_find_what_differs(sweep):
    """A record of the whole experiment by one of its runs would fix the order of columns, the telling ones unseen."""
    found = summaries(sweep / FOLDERS[0])
    assert metadata.EXPERIMENT_TAG not in found
    assert metadata.SESSION_END_INFO_TAG in found
    assert {"final/accuracy", "final/gain"} <= found.keys()


def test_the_runs_of_a_sweep_do_not_share_a_mask(sweep):
    configs = [(sweep / name / "config.yaml").read_text() for name in FOLDERS]
    assert "mask_ratio: 0.4" in configs[0]
    assert "mask_ratio: 0.6" in configs[1]


def test_one_bad_run_does_not_end_a_sweep(command, tiny_model, tmp_path, monkeypatch):
    """A setting that cannot work, and a bug, which keeps its traceback."""
    from papo.training import run

    build = run.build

    def built(cfg):
        if cfg.mask_ratio == 0.7:
            raise KeyError("a bug")
        return build(cfg)

    monkeypatch.setattr(run, "build", built)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "tiny.yaml").write_text(TINY.format(path=tiny_model))
    overrides = ["experiment=tiny", "trainer.max_steps=1", "mask_ratio=1.5,0.7,0.5"]
    finished = command("train.py", "-m", *overrides, f"hydra.searchpath=[file://{tmp_path / 'conf'}]")
    assert finished.status == 1
    (root,) = tmp_path.glob("outputs/sweeps/papo/*")
    bad, bug, good = (next(iter(root.glob(f"*mask_ratio={ratio}")), None) for ratio in (1.5, 0.7, 0.5))
    assert bad is None  # nothing left behind
    assert (good / "metrics.json").is_file()
    lines = [line for line in finished.messages if line.startswith("error: ")]
    assert lines[0].endswith("mask_ratio=1.5: mask_ratio must lie in [0, 1], got 1.5")
    assert lines[1] == f"error: {bug.name}: see above"
    assert "KeyError: 'a bug'" in finished.err
    assert re.fullmatch(r"error: 2 of the sweep's runs failed: 0_.*mask_ratio=1.5, 1_.*mask_ratio=0.7", lines[2])


def test_what_a_sweeper_looks_at(monkeypatch):
    monkeypatch.setattr("papo.cli.check_experiment", lambda cfg: None)
    monkeypatch.setattr("papo.cli.hush_lightning", lambda: None)
    both, sampled = ({"greedy_after": greedy, "accuracy_after": 0.4} for greedy in ({"mean": 0.5}, None))
    assert [guarded(lambda cfg, of=of: of)({}) for of in (both, sampled, {"total": 1})] == [0.5, 0.4, None]
