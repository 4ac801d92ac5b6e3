"""A sweep: one run directory per value, told apart by name and in TensorBoard."""

import json
import math
import multiprocessing
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from papo.cli import guarded, spelt_out
from papo.sweep import folder_name, table, unused
from papo.training import run

ALSO = "algorithm.normalize_std=False", "corruption=patch_shuffle", "data.train.seed=3"
FOLDERS = [f"{number}_mask_ratio={ratio}" for number, ratio in enumerate((0.4, 0.6))]

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


def test_a_run_of_a_sweep_says_what_it_was_set_to(sweep):
    given = [json.loads((sweep / name / "provenance.json").read_text())["overrides"] for name in FOLDERS]
    chosen = ["experiment=tiny", "mask_ratio=0.4", "trainer.max_steps=1", *ALSO]
    assert given == [chosen, ["mask_ratio=0.6" if text == "mask_ratio=0.4" else text for text in chosen]]


def test_a_sweep_ends_with_a_table_of_its_runs(sweep):
    lines = (sweep / "sweep.md").read_text().splitlines()
    header, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| "))
    assert header == ["run", "mask_ratio", "greedy", "avg@1", "guessed", "readable, masked", "s"]
    assert [row[:2] for row in rows[1:]] == [["0", "0.4"], ["1", "0.6"]]
    greedy = json.loads((sweep / FOLDERS[1] / "metrics.json").read_text())
    before, after = (100 * greedy[f"greedy_{when}"]["mean"] for when in ("before", "after"))
    assert rows[2][2].startswith(f"{before:.1f} -> {after:.1f} [")


def test_a_folder_of_a_sweep_can_be_named_as_it_stands(command, tiny, sweep, tmp_path, monkeypatch):
    """As a run's own last line names it, with what Hydra would take for a further = in it."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / FOLDERS[0]
    shutil.copytree(sweep / FOLDERS[0], copy)
    chosen = [
        "experiment=tiny",
        "mask_ratio=0.4",
        *ALSO,
        f"hydra.searchpath=[file://{sweep.parents[2].parent / 'conf'}]",
    ]
    going_on = [f"ckpt_path={copy / 'checkpoints' / 'last.ckpt'}", f"hydra.run.dir={copy}", "trainer.max_steps=2"]
    finished = command("train.py", *chosen, *going_on)
    assert finished.status == 0, finished.err
    assert json.loads((copy / "metrics.json").read_text())["steps"] == 2
    finished = command("train.py", f"export={copy}", "overwrite=true")
    assert finished.status == 0, finished.err
    asked = [
        "benchmarks=[lab]",
        "benchmarks.lab.size=2",
        "k=1",
        "rollout.max_new_tokens=4",
        f"hydra.run.dir={tmp_path / 'of=it'}",
    ]
    finished = command("evaluate.py", f"model.path={copy}", f"compare=[{sweep / FOLDERS[1]}]", *asked)
    assert finished.status == 0, finished.err
    assert (tmp_path / "of=it" / "results.json").is_file()


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("ckpt_path={0}/last.ckpt", ["{0}/last.ckpt"]),
        ("+export={0}", ["{0}"]),
        ("model.path={1}", ["{1}"]),
        ("hydra.run.dir=new/2_seed=3", ["new/2_seed=3"]),
        ("compare=[lab_qwen,{0},{1}]", [["lab_qwen", "{0}", "{1}"]]),
        ("model.path={0},lab_qwen,{1}", ["{0}", "lab_qwen", "{1}"]),  # a sweep
        ("model.path='{0}'", ["{0}"]),
        ("model.path=a,b", ["a", "b"]),
        ("hydra.run.dir=a/${name}", ["a/${name}"]),
        ("ckpt_path=null", [None]),
        ("compare=[]", [[]]),
        ("compare=[lab_qwen, {0}]", [["lab_qwen", "{0}"]]),
        (r"ckpt_path=a/0_seed\=0\,x\=1/last.ckpt", ["a/0_seed=0,x=1/last.ckpt"]),  # escaped, as Hydra has it
    ],
)
def test_paths_with_what_hydra_reads_as_its_own(argument, values, tmp_path):
    """By Hydra's own parser."""
    folders = [tmp_path / "0_seed=0", tmp_path / "1_seed=1,mask_ratio=0.4"]
    for folder in folders:
        folder.mkdir()

    def at(of):
        if isinstance(of, list):
            return [at(value) for value in of]
        return of and of.replace("{0}", str(folders[0])).replace("{1}", str(folders[1]))

    (given,) = OverridesParser.create().parse_overrides([spelt_out(at(argument))])
    found = [*given.sweep_iterator()] if given.is_sweep_override() else [given.value()]
    assert [value.text if isinstance(value, QuotedString) else value for value in found] == at(values)


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


def test_what_failed_in_a_process_of_a_launchers_own_is_named_by_the_command(command, tmp_path, monkeypatch):
    (launcher,) = (of for of in Plugins.instance().discover(Launcher) if of.__name__ == "BasicLauncher")
    names = launcher.launch.__globals__  # of another import of its module than ours would be
    job = names["run_job"]

    def elsewhere(**of_job):
        process = multiprocessing.get_context("fork").Process(target=job, kwargs=of_job)
        process.start()
        process.join()
        return JobReturn(status=JobStatus.COMPLETED, _return_value=math.nan)

    monkeypatch.setitem(names, "run_job", elsewhere)
    overrides = ["experiment=papo_qwen", "mask_ratio=1.5,1.7", f"hydra.sweep.dir={tmp_path}"]
    for _ in range(2):  # the same folder knows nothing of what failed before
        finished = command("train.py", "-m", *overrides)
        said = "error: 2 of the sweep's runs failed: 0_mask_ratio=1.5, 1_mask_ratio=1.7"
        assert (finished.status, finished.messages[-1:]) == (1, [said])
        assert not (tmp_path / "failed.txt").exists()
        (tmp_path / "failed.txt").write_text("2_mask_ratio=1.9")  # as where it was cut


@pytest.fixture
def four(command, tiny_model, tmp_path, monkeypatch):
    """`train.py -m`, four runs by twelve overrides; returns also which were trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "tiny.yaml").write_text(TINY.format(path=tiny_model))
    trained = []
    build = run.build
    monkeypatch.setattr(run, "build", lambda cfg: trained.append((cfg.seed, cfg.ckpt_path)) or build(cfg))
    also = ["val.greedy=false", "val.blind=false", "val.masked=null", "val.training_items=0", "val.every=0"]
    also += ["data.train.prior_strength=0.25", "algorithm.normalize_std=false", "trainer.checkpoint_every=1"]
    swept = ["experiment=tiny", "seed=0,1", "mask_ratio=0.4,0.6", "trainer.max_steps=2"]

    def four(*overrides: str):
        trained.clear()
        path = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
        finished = command("train.py", "-m", *swept, *also, path, "hydra.sweep.dir=here", *overrides)
        return finished, tmp_path / "here", list(trained)

    return four


def test_a_sweep_that_was_cut_goes_on(four, monkeypatch):
    """Killed in its third run: what is finished is skipped, the third goes on from its checkpoint, the others begin."""
    save = run.save

    def killed(kept, loaded, cfg, state):
        if "2_" in kept.path.name:
            raise SystemExit(137)
        save(kept, loaded, cfg, state)

    with monkeypatch.context() as patch:
        patch.setattr(run, "save", killed)
        finished, folder, trained = four()
    assert finished.status == 137
    assert trained == [(0, None), (0, None), (1, None)]
    names = [f"{n}_seed={n // 2},mask_ratio={(0.4, 0.6)[n % 2]}" for n in range(4)]
    assert sorted(path.name for path in folder.glob("*_*")) == names[:3]
    assert not (folder / "sweep.md").exists()

    made = (folder / names[0] / "metrics.json").read_bytes()
    shutil.rmtree(folder / names[1])
    (folder / names[1]).mkdir()  # asked for, and killed before anything was written
    finished, folder, trained = four()
    assert finished.status == 0, finished.err
    own = str(folder / names[2] / "checkpoints" / "last.ckpt")
    assert trained == [(0, None), (1, own), (1, None)]
    assert (folder / names[0] / "metrics.json").read_bytes() == made
    assert [line for line in finished.out.splitlines() if "skipped" in line] == [f"{names[0]} is finished: skipped"]
    assert all((folder / name / "metrics.json").is_file() for name in names)
    rows = (folder / "sweep.md").read_text().splitlines()
    assert [row.split("|")[1].strip() for row in rows if row.startswith("| ")][2:] == list("0123")

    shutil.rmtree(folder / names[3] / "checkpoints")
    (folder / names[3] / "metrics.json").unlink()  # killed before its first checkpoint
    finished, folder, trained = four()
    assert trained == [(1, None)]
    assert f"{names[3]} had saved nothing and begins anew" in finished.out

    finished, folder, trained = four("optimizer.lr=0.25")
    assert (finished.status, trained) == (1, [])
    other = f"{folder / names[0]} is of a sweep with other settings (algorithm.optimizer.lr: 0.125 then, 0.25 now)"
    assert other in finished.err


@pytest.mark.parametrize("count", [1, 40])
def test_a_folder_has_room_for_its_name(count):
    overrides = [f"group.of.settings.number_{n}=some_value" for n in range(count)]
    name = folder_name(7, overrides, ["group.of.settings.number_1"])
    assert len(name) <= 120
    assert name.split(",")[0] == "7_group.of.settings.number_0=some_value"
    assert name.count("=") == (1 if count == 1 else 3)  # whole ones alone
    assert "number_1=" not in name
    assert len(folder_name(7, [f"model.path={'ä/b' * 200}", "seed=1"], [])) == 120
    assert folder_name(7, ["model.path=/a/b c", "seed=1"], []) == "7_model.path=_a_b_c,seed=1"


def test_runs_that_begin_at_once_have_a_folder_each(tmp_path):
    wanted = str(tmp_path / "papo" / "now")
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(unused, [wanted] * 20))
    assert sorted(found) == sorted([wanted, *(f"{wanted}_{n}" for n in range(2, 21))])
    assert all(Path(folder).is_dir() for folder in found)


def test_where_no_folder_can_be_made_none_is_looked_for(tmp_path):
    (tmp_path / "file").touch()
    wanted = str(tmp_path / "file" / "now")
    assert unused(wanted) == wanted


def test_a_sweep_over_experiments_has_one_folder(command, tmp_path, monkeypatch):
    """Although `name`, which the folder is called after, is another one for each of its runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "train", lambda cfg: Path(cfg.run_dir, "ran").touch() or {})
    finished = command("train.py", "-m", "experiment=papo_qwen,grpo_qwen", "seed=0,1")
    assert finished.status == 0, finished.err
    (root,) = tmp_path.glob("outputs/sweeps/*/*")
    names = [f"{n}_experiment={name}_qwen,seed={n % 2}" for n, name in enumerate(("papo", "papo", "grpo", "grpo"))]
    assert sorted(path.parent.name for path in root.glob("*/ran")) == names


def test_a_sweep_that_is_stopped_says_how_it_goes_on(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(run, "train", lambda cfg: seen.append(cfg.seed) or {"interrupted": True})
    finished = command("train.py", "-m", "seed=0,1", "hydra.sweep.dir=there")
    assert (finished.status, seen) == (130, [0])
    assert "the same command with hydra.sweep.dir=there makes what the sweep lacks" in finished.out


def test_a_sweep_that_cannot_be_written_is_named(command, tmp_path):
    (tmp_path / "file").touch()
    place = f"hydra.sweep.dir={tmp_path / 'file' / 'sweep'}"
    finished = command("train.py", "-m", "seed=0,1", place)
    assert finished.status == 2
    assert finished.messages == [
        f"error: {place} cannot be written (Not a directory); choose another with hydra.sweep.dir=..."
    ]


def test_evaluations_in_a_sweep_have_a_table_too(tmp_path):
    for number, mean in enumerate((0.25, 0.5)):
        folder = tmp_path / f"{number}_seed={number}"
        folder.mkdir()
        (folder / "config.yaml").touch()
        (folder / "provenance.json").write_text(json.dumps({"overrides": ["k=2", f"seed={number}"]}))
        measured = {"avg@2": {"mean": mean, "ci95": [0.125, 0.75], "n": 4}, "pass@2": {}}
        results = {"k": 2, "benchmarks": {"lab": {"models": {"lab_qwen": measured}}}}
        (folder / "results.json").write_text(json.dumps(results))
    found = table(tmp_path, ["k"])
    assert found.columns == ("run", "seed", "lab avg@2")
    assert found.note == "%, with 95 % interval over items"
    assert found.rows == (("0", "0", "25.0 [12.5, 75.0]"), ("1", "1", "50.0 [12.5, 75.0]"))


def test_evaluations_that_answered_with_other_rollouts_say_so(tmp_path):
    """Each answers as its model was trained; a temperature that the command sets is a column anyway."""
    for number, length in enumerate((24, 5)):
        folder = tmp_path / f"{number}_model.path=m{number}"
        folder.mkdir()
        rollout = {"max_new_tokens": length, "temperature": float(number), "top_p": 1.0}
        (folder / "config.yaml").write_text(json.dumps({"rollout": rollout}))
        overrides = [f"model.path=m{number}", f"rollout.temperature={number}"]
        (folder / "provenance.json").write_text(json.dumps({"overrides": overrides}))
        measured = {"avg@2": {"mean": 0.25, "ci95": [0.125, 0.75], "n": 4}}
        results = {"k": 2, "benchmarks": {"lab": {"models": {"lab_qwen": measured}}}}
        (folder / "results.json").write_text(json.dumps(results))
    found = table(tmp_path, [])
    assert found.columns == ("run", "model.path", "rollout.temperature", "rollout.max_new_tokens", "lab avg@2")
    assert [row[:4] for row in found.rows] == [("0", "m0", "0", "24"), ("1", "m1", "1", "5")]
    assert "; what one policy answers moves with rollout.max_new_tokens, which" in found.note
    (tmp_path / "1_model.path=m1" / "results.json").unlink()  # not finished: nothing to compare with
    found = table(tmp_path, [])
    assert found.columns == ("run", "model.path", "rollout.temperature", "lab avg@2")


def test_evaluations_that_answer_blind_alone_have_a_table_too(tmp_path):
    """guessable=true has no results.json; of the second benchmark no item can be graded."""
    for number, mean in enumerate((0.25, 0.5)):
        folder = tmp_path / f"{number}_seed={number}"
        folder.mkdir()
        (folder / "config.yaml").touch()
        (folder / "provenance.json").write_text(json.dumps({"overrides": ["guessable=true", f"seed={number}"]}))
        measured = {"items": 5, "mean": mean, "ci95": [0.125, 0.75], "n": 4, "above": {"0.5": 0.25}}
        (folder / "guessability.json").write_text(json.dumps({"lab": measured, "own": {"items": 3}}))
    found = table(tmp_path, ["guessable"])
    assert found.columns == ("run", "seed", "lab answered blind", "own answered blind")
    none = "no item can be graded"
    assert found.rows == (("0", "0", "25.0 [12.5, 75.0]", none), ("1", "1", "50.0 [12.5, 75.0]", none))


def test_an_evaluation_of_which_nothing_can_be_graded_is_finished(tmp_path):
    (tmp_path / "0_k=2").mkdir()
    (tmp_path / "0_k=2" / "config.yaml").touch()
    (tmp_path / "0_k=2" / "provenance.json").write_text(json.dumps({"overrides": ["k=2"]}))
    results = {"k": 2, "benchmarks": {"lab": {"models": {"lab_qwen": {}}}}}
    (tmp_path / "0_k=2" / "results.json").write_text(json.dumps(results))
    found = table(tmp_path, [])
    assert (found.columns, found.rows) == (("run", "k", "lab avg@2"), (("0", "2", "no item can be graded"),))


def test_a_run_that_is_not_finished_is_a_row_too(sweep, tmp_path):
    copied = shutil.copytree(sweep, tmp_path / "sweep")
    (copied / FOLDERS[0] / "metrics.json").unlink()
    found = table(copied, ["experiment", "trainer.max_steps", *(text.partition("=")[0] for text in ALSO)])
    assert [row[:3] for row in found.rows] == [("0", "0.4", "not finished"), ("1", "0.6", found.rows[1][2])]
    assert {len(row) for row in found.rows} == {len(found.columns)}
    assert found.note.endswith("; before training -> after it")


def test_what_a_sweeper_looks_at(monkeypatch):
    monkeypatch.setattr("papo.cli.check_experiment", lambda cfg: None)
    monkeypatch.setattr("papo.cli.hush_lightning", lambda: None)
    both, sampled = ({"greedy_after": greedy, "accuracy_after": 0.4} for greedy in ({"mean": 0.5}, None))
    assert [guarded(lambda cfg, of=of: of)({}) for of in (both, sampled, {"total": 1})] == [0.5, 0.4, None]
