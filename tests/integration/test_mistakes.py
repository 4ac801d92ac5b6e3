"""A user's mistake: exit status 2, one message that names the override, and nothing left behind."""

import errno
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from papo.errors import ConfigError
from papo.run_dir import RunDir, check_unused

ROOT = Path(__file__).parents[2]


def assert_refused(finished, *words):
    assert finished.status == 2, finished.err
    first, *rest = finished.messages
    assert first.startswith("error: ")
    assert not any(line.startswith("error:") for line in rest)
    assert "Traceback" not in finished.err
    assert "raise " not in finished.err
    for word in words:
        assert word in finished.err
    assert len(finished.messages) <= 6, finished.err  # a list of what there is may follow
    assert "held-out" not in finished.out


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(folder: Path) -> list[Path]:
    """Run directories and anything in them."""
    return [*folder.glob("outputs/*/*"), *(path for path in folder.rglob("*") if path.is_file())]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["experiment=papo_quen"], ["experiment", "papo_quen", "papo_qwen"]),
        (["mask_ration=0.5"], ["mask_ration"]),
        (["trainer.max_step=3"], ["trainer.max_step"]),
        (["mask_ratio=1.5"], ["mask_ratio", "[0, 1]", "1.5"]),
        (["corruption.count=some"], ["corruption.count", "some", "bernoulli"]),
        (["group_size=1"], ["group_size", "at least 2", "got 1"]),
        (["rollout.temperature=0"], ["rollout.temperature"]),
        (["rollout.temperature=-1"], ["rollout.temperature", "-1"]),
        (["rollout.max_new_tokens=0"], ["rollout.max_new_tokens", "got 0"]),
        (
            ["corruption=patch_shuffle", "corruption.unit=5", "perception_coef=0.01"],
            ["corruption leaves all of the first", "corruption.unit too large"],
        ),
        (["rollout.top_p=0"], ["rollout.top_p", "got 0"]),
        (["perception_coef=-1"], ["perception_coef", "-1"]),
        (["algorithm.objective.surrogate.clip_low=2"], ["algorithm.objective.surrogate.clip_low", "got 2"]),
        (
            ["algorithm.objective.loss_aggregation=mean"],
            ["algorithm.objective.loss_aggregation", "token-mean", "'mean'"],
        ),
        (
            ["algorithm.weigh_by_guessability=always"],
            ["algorithm.weigh_by_guessability", "false, item, rollout", "always"],
        ),
        (["algorithm.weigh_by_guessability=item"], ["algorithm.weigh_by_guessability=item", "data.guessability=FILE"]),
        (["data.max_guessable=0.5"], ["data.guessability must name the file", "max_guessable=0.5"]),
        (["data.guessability=nowhere.jsonl"], ["data.guessability must be a file", "nowhere.jsonl"]),
        (["val.training_items=-1"], ["val.training_items must be 0 (off) or positive"]),
        (["data.batch_size=0"], ["data.batch_size", "got 0"]),
        (["data.train.size=1"], ["data.batch_size", "got 2"]),
        (["trainer.max_steps=0"], ["trainer.max_steps", "got 0"]),
        (["reward.accuracy_weight=-1"], ["reward.accuracy_weight"]),
        (["algorithm.rollout_correction={cap: 0}"], ["algorithm.rollout_correction.cap", "positive", "got 0"]),
        (["algorithm.updates_per_rollout=0"], ["algorithm.updates_per_rollout", "got 0"]),
        (["model.dtype=float8"], ["model.dtype", "float8"]),
        (["model.dtype=float16"], ["model.dtype=float16", "16-mixed"]),
        (["model.dtype=bfloat16"], ["model.dtype=bfloat16", "trainer.precision=32-true", "adamw_bf16"]),
        (["trainer.precision=64-true"], ["trainer.precision", "bf16-mixed", "'64-true'"]),
        (["trainer.precision=bf16-true"], ["trainer.precision=bf16-true", "model.dtype=bfloat16"]),
        (["model.train=[tower]"], ["train must name", "vision", "tower"]),
        (["model.train=[]"], ["model.train must name", "got []"]),
        (["model.lora={r: 0, alpha: 1}"], ["lora.r", "got 0"]),
        (["model.attention=flash"], ["attention must be", "sdpa", "'flash'"]),
        (["model.path=./nowhere"], ["model.path must exist, got ./nowhere"]),
        (["model.path=/no/where"], ["model.path must exist, got /no/where"]),
        (["model.path=nowhere"], ["model.path must", "got nowhere"]),
        (["ckpt_path=nowhere.ckpt"], ["ckpt_path=nowhere.ckpt", "does not exist"]),
        (["optimizer.lr=-1"], ["optimizer.lr must not be negative, got -1"]),
        (["~rollout.max_new_tokens"], ["rollout.max_new_tokens"]),
    ],
    ids=lambda value: value[-1] if "=" in value[-1] else "",
)
def test_an_impossible_setting_is_refused(command, tiny, here, overrides, words):
    assert_refused(command("train.py", *tiny, *overrides), *words)
    assert runs(here) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # Where the value stands, whatever refuses it.
        ("val.sampling.temperature=-1", "val.sampling.temperature must be 0 (greedy) or positive, got -1"),
        ("rollout.temperature=-1", "rollout.temperature must be 0 (greedy) or positive, got -1"),
        ("algorithm.noise.std=-1", "algorithm.noise.std must be positive and finite, got -1"),
        ("corruption.unit=pixel", "corruption.unit must be patch or token, got 'pixel'"),
        ("data.train.split=foo", "data.train.split must be one of train, val, test, got 'foo'"),
        ("data.guessable.guessable_share=2", "data.guessable.guessable_share must lie in [0, 1], got 2"),
        ("trainer.max_steps=0", "trainer.max_steps must be at least 1, got 0"),
        ("val.samples=0", "val.samples must be at least 1, got 0"),
        ("algorithm.schedule=linear", "algorithm.schedule must be one of constant, cosine, got 'linear'"),
        ("val.every=-1", "val.every must be 0 (only before and after training) or positive, got -1"),
        ("trainer.checkpoint_every=0", "trainer.checkpoint_every must be at least 1, got 0"),
        ("monitor.window=0", "monitor.window must be at least 1, got 0"),
        # Of another type.
        ("trainer.max_steps=many", "trainer.max_steps must be a whole number, got 'many'"),
        ("val.every=often", "val.every must be a whole number, got 'often'"),
        ("group_size=abc", "group_size must be a whole number, got 'abc'"),
        ("seed=abc", "seed must be a whole number, got 'abc'"),
        ("perception_coef=much", "perception_coef must be a number, got 'much'"),
        ("optimizer.lr=abc", "optimizer.lr must be a number, got 'abc'"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be a list of 2, each a number, got [0.9]"),
        ("rollout.temperature=nan", "rollout.temperature must be a number, got nan"),
        # Of no target.
        ("seed=-1", "seed must lie in 0..4294967295, got -1"),
        ("name=''", "name must not be empty, got ''"),
        ("run_dir=7", "run_dir must be a text, got 7"),
        ("overwrite=maybe", "overwrite must be true or false, got 'maybe'"),
        ("resume.allow=optimizer.lr", "resume.allow must be a list, each a text, got 'optimizer.lr'"),
        ("callbacks.log=3", "callbacks.log must be a mapping or null, got 3"),
        ("strategy.devices=0", "strategy.devices must be at least 1, got 0"),
        ("strategy.devices=auto", "strategy.devices must be a whole number, got 'auto'"),
        ("trainer.max_steps=1000000000000000000000", "trainer.max_steps must be a number of 64 bits, got 1000"),
        ("model.chunk_tokens=-1", "model.chunk_tokens must be at least 1, got -1"),
        # Of what is not there.
        ("monitor.term=percepton", "monitor.term must be a term of algorithm.objective (surrogate, "),
        (
            "algorithm.objective.robustness.view=noisy",
            "algorithm.objective.robustness.view must be a view that something makes (clean, corrupted, noised), got",
        ),
        # Misspelt.
        ("+algorithm.grup_size=3", "algorithm.grup_size is unknown; did you mean group_size?"),
        ("+optimizer.weight_decy=1", "optimizer.weight_decy is unknown; did you mean weight_decay?"),
        ("+monitor.windw=3", "monitor.windw is unknown; did you mean window?"),
        ("mask_ration=0.5", "mask_ration is unknown; did you mean mask_ratio?"),
        ("trainer.max_step=3", "trainer.max_step is unknown; did you mean max_steps?"),
        ("algorithm=papo_x", "algorithm=papo_x does not exist; did you mean papo_g?"),
        ("data=_promts", "data=_promts does not exist; known are chartqa, "),
        # Done by the step itself, which Lightning would say after the first validation.
        (
            "+trainer.lightning.gradient_clip_val=1",
            "trainer.lightning.gradient_clip_val must not be set, got 1: here algorithm.grad_clip says that",
        ),
        # No name at all.
        ("logger=null", "logger=null does not exist; known are csv, mlflow, tensorboard, wandb"),
        ("callbacks=null", "callbacks=null does not exist; known are best, default"),
        ("optimizer={lr:1}", "optimizer={lr:1} does not exist; known are adamw, adamw_bf16"),
    ],
)
def test_the_key_is_named_in_one_line(command, tiny, here, override, message):
    finished = command("train.py", *tiny, override)
    assert_refused(finished, message)
    assert len(finished.messages) == 1
    assert "_prompts" not in finished.err  # no file that others build on is offered
    assert runs(here) == []


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("trainer: {presicion: bf16-mixed}", "trainer.presicion is unknown; did you mean precision?"),
        ("val: {sampels: 3}", "val.sampels is unknown; did you mean samples?"),
        ("sead: 1", "sead is unknown; did you mean seed?"),
        ("calbacks: {mine: {_target_: lightning.Callback}}", "calbacks is unknown; did you mean callbacks?"),
        ("data: {val: {sise: 8}}", "data.val.sise is unknown; did you mean size?"),
        ("nothing: 0\ntrainer: {max_steps: '${nothing}'}", "nothing must be at least 1, got 0"),  # its own
        ("callbacks: {mine: {_target_: lightning.Callback}}\ntrainer: {max_steps: 0}", "trainer.max_steps must be at"),
    ],
)
def test_a_key_in_an_experiments_file_is_named(command, tiny, here, tmp_path_factory, written, message):
    """Hydra checks the keys of a command line, not those of a file."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\ndefaults: [papo_qwen, _self_]\n{written}\n")
    settings = [setting for setting in tiny if not setting.startswith("trainer.max_steps")]
    finished = command("train.py", "--config-dir", str(folder), "experiment=mine", *settings)
    assert_refused(finished, message)
    assert runs(here) == []


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help_offers_what_can_be_chosen(command, script):
    finished = command(script, "--help")
    assert finished.status == 0
    groups, _, settings = finished.out.partition("== Settings")
    assert "reward: accuracy, accuracy_format, accuracy_perception" in groups
    assert not re.search(r"[ :]_\w", groups)
    assert "\nseed: 0\n" in settings
    assert "# Of data order, roll-outs" in settings or "# Of the sampled answers" in settings
    assert not re.search(r"(?m)^(defaults|hydra):|\$\$", settings)


def test_help_of_a_main_file_of_ones_own(command, tmp_path):
    (tmp_path / "mine.yaml").write_text("defaults: [train, _self_]\nname: mine\n")
    finished = command("train.py", "--config-dir", str(tmp_path), "--config-name", "mine", "--help")
    assert finished.status == 0, finished.err
    assert "mine.yaml" in finished.out


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_refused(command, tiny, here, monkeypatch, name):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda asked: None if asked == name else found(asked))
    finished = command("train.py", *tiny, f"logger={name}")
    assert_refused(finished, f"logger={name} needs", f"pip install 'papo[{name}]'")
    assert runs(here) == []


def test_a_model_of_another_kind_is_refused(command, tiny, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    finished = command("train.py", *tiny, f"model.path={folder}")
    assert_refused(finished, "model.path must", f"got {folder} of type 'gpt2'", "qwen2_5_vl")
    assert runs(here) == []


def test_a_folder_without_weights_is_refused(command, tiny, tiny_model, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    (folder / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    assert_refused(
        command("train.py", *tiny, f"model.path={folder}"),
        "model.path must be a model that can be loaded",
        f"got {folder}",
    )
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------------- checkpoints


def test_a_checkpoint_of_another_shape_is_refused(command, tiny, here, four_steps, tmp_path_factory):
    saved = torch.load(four_steps.path / "checkpoints" / "last.ckpt", weights_only=True)
    name = "policy.model.model.language_model.norm.weight"
    saved["state_dict"][name] = torch.zeros(7)
    path = tmp_path_factory.mktemp("checkpoint") / "other.ckpt"
    torch.save(saved, path)
    finished = command("train.py", *tiny, "trainer.max_steps=9", f"ckpt_path={path}")
    assert_refused(finished, f"ckpt_path={path}", "model.path", name, "[7]", "[32]")
    assert runs(here) == []


def test_a_checkpoint_with_nothing_left_to_do_is_refused(command, tiny, here, four_steps):
    path = four_steps.path / "checkpoints" / "last.ckpt"
    finished = command("train.py", *tiny, "trainer.max_steps=4", f"ckpt_path={path}")
    assert_refused(finished, f"ckpt_path={path}", "4 steps", "trainer.max_steps above 4")
    assert runs(here) == []


def test_what_was_in_the_run_directory_stays(command, tiny, four_steps):
    def content():
        return {path: path.stat().st_mtime_ns for path in four_steps.path.rglob("*")}

    before = content()
    path = four_steps.path / "checkpoints" / "last.ckpt"
    finished = command("train.py", *tiny, f"ckpt_path={path}", f"hydra.run.dir={four_steps.path}")
    assert_refused(finished, "ckpt_path")
    assert content() == before


def test_a_file_that_is_no_checkpoint_is_refused(command, tiny, here, tiny_model):
    path = tiny_model / "tokenizer.json"
    assert_refused(command("train.py", *tiny, f"ckpt_path={path}"), f"ckpt_path={path}")
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------- output directory


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_a_read_only_folder_is_respected(command, tiny_model, tmp_path, script):
    """Also for root, whom permission bits do not stop."""
    parent = tmp_path / "archive"
    parent.mkdir()
    parent.chmod(0o555)
    try:
        finished = command(script, f"model.path={tiny_model}", f"hydra.run.dir={parent / 'run'}")
        assert_refused(finished, f"hydra.run.dir={parent / 'run'}", "cannot be written")
        assert list(tmp_path.iterdir()) == [parent]
        assert list(parent.iterdir()) == []
    finally:
        parent.chmod(0o755)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_holds_a_run_is_left_alone(command, tiny, four_steps, tmp_path):
    """Also where another run's checkpoint is continued in it."""
    before = content(four_steps.path)
    elsewhere = tmp_path / "last.ckpt"
    elsewhere.write_bytes(b"")
    for more in ((), (f"ckpt_path={elsewhere}",)):
        finished = command("train.py", *tiny, *more, f"hydra.run.dir={four_steps.path}")
        words = ("holds a run", "overwrite=true", f"ckpt_path={four_steps.path / 'checkpoints' / 'last.ckpt'}")
        assert_refused(finished, f"hydra.run.dir={four_steps.path}", *words)
    assert content(four_steps.path) == before


def test_overwriting_leaves_nothing_of_the_run_that_was_there(train, tmp_path):
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    for name in (
        "config.yaml",
        "provenance.json",
        "rollouts.jsonl",
        "events.out.tfevents.1",
        "metrics.json",
        "model/adapter_model.safetensors",
        "notes.md",
    ):
        (folder / name).write_text("of another run")
    run = train("trainer.max_steps=1", "overwrite=true", path=folder)
    assert run.json()["steps"] == 1
    assert [path.name for path, text in content(folder).items() if text == b"of another run"] == ["notes.md"]


@pytest.fixture
def used(tmp_path) -> Path:
    """A folder in which a run has begun."""
    used = tmp_path / "used"
    used.mkdir()
    for name in ("config.yaml", "provenance.json"):
        (used / name).write_text("of a run")
    return used


def test_what_a_run_needs_is_not_overwritten(command, tiny, used, tiny_model):
    shutil.copytree(tiny_model, used / "model")
    before = content(used)
    model = f"model.path={used / 'model'}"
    finished = command("train.py", *tiny, model, "overwrite=true", f"hydra.run.dir={used}")
    assert_refused(finished, f"overwrite=true would remove {model}")
    assert content(used) == before


def test_a_model_whose_chat_template_does_not_end_is_refused(command, tiny, tiny_model, here, monkeypatch):
    """A folder that somebody else made: its template is a program."""
    monkeypatch.setattr("papo.policy.processing.RENDER_S", 0.2)
    shutil.copytree(tiny_model, here / "model")
    loops = [f"{{% for {name} in range(9999) %}}" for name in "abc"]
    (here / "model" / "chat_template.jinja").write_text("".join(loops) + "{% endfor %}" * 3)
    for script in ("train.py", "evaluate.py"):
        overrides = tiny if script == "train.py" else ["benchmarks.lab.size=2"]
        finished = command(script, *overrides, f"model.path={here / 'model'}", f"hydra.run.dir={here / 'run'}")
        assert_refused(finished, f"model.path={here / 'model'}: its chat template did not end within")
        assert len(finished.messages) == 1
        assert not (here / "run").exists()


@pytest.mark.parametrize("value", ["no", "off", "1"])
def test_overwriting_is_said_by_true_alone(command, tiny, used, value):
    """Hydra makes texts of no and off."""
    finished = command("train.py", *tiny, f"overwrite={value}", f"hydra.run.dir={used}")
    assert_refused(finished, "overwrite must be true or false")


def test_what_holds_no_run(tmp_path, used):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    check_unused(tmp_path / "mine", None, False, "lab_qwen")
    check_unused(tmp_path / "new", None, False, "lab_qwen")
    with pytest.raises(ConfigError) as caught:
        check_unused(used, None, False, "lab_qwen")
    assert "ckpt_path" not in str(caught.value)  # it left none


def test_a_checkpoint_of_the_folder_itself(tmp_path, used):
    """Of a run in a folder inside it is another one's; the folder of checkpoints may be a link to another disk."""
    (tmp_path / "disk").mkdir()
    (used / "checkpoints").symlink_to(tmp_path / "disk")
    own = str(used / "checkpoints" / "last.ckpt")
    check_unused(used, own, False, "lab_qwen")
    check_unused(used, str(tmp_path / "disk" / "last.ckpt"), False, "lab_qwen")
    with pytest.raises(ConfigError, match="holds a run"):
        check_unused(used, str(used / "inner" / "checkpoints" / "last.ckpt"), False, "lab_qwen")
    RunDir(used).clear()
    assert list(used.iterdir()) == []
    assert (tmp_path / "disk").is_dir()


def test_a_lock_ends_with_its_run_though_a_child_lives_on(tmp_path):
    run = RunDir(tmp_path / "run")
    with run.held():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with run.held():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_that_cannot_be_locked_is_used_with_a_word(tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr("papo.run_dir.fcntl.flock", refuse)
    with RunDir(tmp_path / "run").held():
        pass
    assert "cannot be locked (Bad file descriptor)" in capsys.readouterr().err


def test_one_run_at_a_time_in_a_folder(command, tiny, tmp_path):
    with RunDir(tmp_path / "run").held():
        finished = command("train.py", *tiny, f"hydra.run.dir={tmp_path / 'run'}")
        assert_refused(finished, f"hydra.run.dir={tmp_path / 'run'}", "is being written by another run")
    with RunDir(tmp_path / "run").held():
        pass


def test_a_file_in_the_way_is_named(command, tiny, tmp_path):
    """Hydra makes the folder, before any code of ours is called."""
    (tmp_path / "notes").write_text("mine")
    finished = command("train.py", *tiny, f"hydra.run.dir={tmp_path / 'notes' / 'run'}")
    assert_refused(finished, f"hydra.run.dir={tmp_path / 'notes'}", "cannot be written")
    assert (tmp_path / "notes").read_text() == "mine"


# -------------------------------------------------------------------------------------------------------- evaluate.py


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["k=0"], ["k must", "got 0"]),
        (["batch_size=0"], ["batch_size must", "got 0"]),
        (["k=abc"], ["k must be a whole number, got 'abc'"]),
        (["seed=1e30"], ["seed must be a whole number, got 1e+30"]),
        (["guessable=maybe"], ["guessable must be true or false, got 'maybe'"]),
        (["compare=lab_qwen"], ["compare must be a list, each a text, got 'lab_qwen'"]),
        (["report.first_responses=-1"], ["report.first_responses must be 0 (off) or positive, got -1"]),
        (["rollout.temperature=-1"], ["rollout.temperature must be 0 (greedy) or positive, got -1"]),
        (["views=[masked]"], ["views must hold image", "['masked']"]),
        (["compare=[./nowhere]"], ["compare.0 must exist, got ./nowhere"]),
        (["max_bad_share=2"], ["max_bad_share must lie in [0, 1], got 2"]),
        (["benchmarks.lab.split=foo"], ["benchmarks.lab.split must be one of train, val, test, got 'foo'"]),
        (["report.first_items=some"], ["report.first_items must be a whole number, got 'some'"]),
        (["corruption=saliency", "corruption.path=./nowhere"], ["corruption.path must exist, got ./nowhere"]),
        (["benchmarks=[]"], ["benchmarks", "benchmarks=[lab]"]),
        (["benchmarks=[lap]"], ["benchmarks", "lap"]),
        (["model.path=./nowhere"], ["model.path must exist, got ./nowhere"]),
        (["modle.path=tiny"], ["modle"]),
    ],
    ids=lambda value: value[-1] if "=" in value[-1] else "",
)
def test_evaluate_refuses_an_impossible_setting(command, tiny_model, here, overrides, words):
    assert_refused(command("evaluate.py", f"model.path={tiny_model}", *overrides), *words)
    assert runs(here) == []


# ------------------------------------------------------------------------------------------------------- for real once


def test_a_mistake_on_a_real_command_line(tiny_model, tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "mask_ratio=1.5", f"model.path={tiny_model}"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    lines = [line for line in finished.stderr.replace("\r", "\n").splitlines() if line.strip() and "%|" not in line]
    assert lines == ["error: mask_ratio must lie in [0, 1], got 1.5"]
    assert finished.stdout == ""
    assert runs(tmp_path) == []
