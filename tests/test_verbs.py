"""The console script: its verbs, what it lists, and what is packaged for it."""

import filecmp
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object, instantiate

from papo import cli, listing, verbs

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"


@pytest.fixture
def papo(monkeypatch, capsys):
    """`papo WORDS` in this process: the exit status and what is printed."""

    def papo(*words: str):
        GlobalHydra.instance().clear()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["papo", *words])
            patch.setattr(sys, "path", sys.path[:])
            status = 0
            try:
                verbs.main()
            except SystemExit as end:
                status = end.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return papo


def test_it_is_the_installed_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert get_object(project["scripts"]["papo"].replace(":", ".")) is verbs.main


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_it_says_what_it_can_do(papo, words):
    status, out, _ = papo(*words)
    assert status == 0
    assert all(f"    {name} " in out for name in ("train", "evaluate", "study", "inspect", "list", "export"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "papo trian is no verb; did you mean train?"),
        (["list", "veiws"], "papo list veiws: there is no such list; did you mean views?"),
        (["export"], "papo export needs the folder of a run, or a checkpoint in it: papo export RUN"),
        (["export", "overwrite=true"], "papo export needs the folder"),
        (["study", "nowhere", "--baseline", "a", "--out", "b"], "nowhere holds no finished run"),
        (["inspect", "dat=lab"], "dat"),
        (["train", "mask_ration=1"], "mask_ration is unknown; did you mean mask_ratio?"),
        (["evaluate", "modle.path=a"], "modle"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(papo, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = papo(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {said}")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "task", "found"),
    [
        (["train", "seed=5"], "papo.training.run.train", {"seed": 5, "export": None}),
        (["evaluate", "k=5"], "papo.evaluation.run.evaluate", {"k": 5}),
        (
            ["export", "a b/run's", "overwrite=true"],
            "papo.training.run.train",
            {"export": "a b/run's", "overwrite": True},
        ),
        (["export", "0_seed=0,k=1"], "papo.training.run.train", {"export": "0_seed=0,k=1"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_verbs_are_what_the_scripts_do(papo, words, task, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0_seed=0,k=1").mkdir()
    seen = []
    monkeypatch.setattr(task, lambda cfg: seen.append(cfg) or {})
    monkeypatch.setattr(cli, "bound_caches", lambda: None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # set by cli.run: here it is taken back
    assert papo(*words)[0] == 0
    assert {key: seen[0][key] for key in found} == found


MINE = """\
# @package _global_
defaults:
  - papo_qwen
  - _self_
algorithm:
  objective:
    mine:
      _target_: my_term_of_test_verbs.Mine
      coef: 0.5
"""


@pytest.mark.parametrize("way", ["--config-dir", "hydra.searchpath"])
def test_what_lies_in_the_working_folder_is_found(papo, way, tmp_path, monkeypatch):
    """A term, and the experiment that has it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_term_of_test_verbs.py").write_text("class Mine:\n    def __init__(self, coef): self.coef = coef\n")
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text(MINE)
    made = []
    monkeypatch.setattr(
        "papo.training.run.train", lambda cfg: made.append(instantiate(cfg.algorithm.objective.mine)) or {}
    )
    monkeypatch.setattr(cli, "bound_caches", lambda: None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    place = ["--config-dir", "mine"] if way == "--config-dir" else [f"hydra.searchpath=[file://{tmp_path}/mine]"]
    assert papo("train", *place, "experiment=mine", "algorithm.objective.mine.coef=0.25")[0] == 0
    assert (type(made[0]).__name__, made[0].coef) == ("Mine", 0.25)


def test_a_file_that_is_no_yaml_is_named(papo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\n  seed: 3\n")
    status, _, err = papo("train", "--config-dir", str(tmp_path), "experiment=mine")
    assert status == 2
    assert f'in "{tmp_path}/experiment/mine.yaml", line 3' in err
    assert len(err.splitlines()) == 1


def test_every_choice_is_listed_with_what_its_file_says(papo):
    status, out, _ = papo("list")
    assert status == 0
    sections = dict(section.split("\n", 1) for section in out.strip().split("\n\n"))
    assert [title.partition(":")[0] for title in sections] == list(listing.SECTIONS)
    for (title, text), (_, folder) in zip(sections.items(), listing.SECTIONS.values(), strict=True):
        firsts = [line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("   ")]
        names = [first[0] for first in firsts]
        if folder is not None:
            assert names == sorted(path.stem for path in (CONF / folder).glob("[!_]*.yaml"))
        assert [first for first in firsts if len(first) < 2] == [], title
    assert "  grpo_qwen          The baseline: papo_qwen without its perception term.\n" in out
    assert "  dr_grpo    Dr. GRPO (arXiv 2503.20783): " in out
    terms = sections["terms: papo train algorithm.objective.NAME.KEY=VALUE"]
    assert [line.split()[0] for line in terms.splitlines()] == [
        "surrogate", "reference", "perception", "entropy", "entropy_hinge", "robustness",
    ]  # fmt: skip
    assert max(map(len, out.splitlines())) <= 120


def test_it_lists_one_kind_alone(papo):
    _, out, _ = papo("list", "algorithms")
    assert out.startswith("algorithms: ")
    assert "papo_g" in out
    assert "chartqa" not in out


def test_listing_takes_no_time():
    """Two seconds are what a person notices; torch alone would take them."""
    code = "import sys; from papo import verbs; sys.argv = ['papo', 'list']; verbs.main()"
    started = time.perf_counter()
    end = "assert 'torch' not in sys.modules"
    code = f"try:\n    {code}\nfinally:\n    {end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("words", [["list"], ["train", "--help"], ["evaluate", "--help"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(words):
    command = [sys.executable, "-m", "papo", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "--help"], "papo.inspect data=folder data.train.path=FILE"),
        (["study", "--help"], "papo.study run experiments/NAME"),
        (["study"], "papo.study run experiments/NAME"),
        (["train", "--help"], "mask_ratio: 0.6"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_verb_says_how_it_is_called(papo, words, said):
    status, out, err = papo(*words)
    assert (status, err) == (0, "")
    assert said in out


def test_a_bar_writes_seldom_into_a_file():
    code = """if True:
        from papo import cli
        cli.quieten()
        import time
        from datasets.utils import is_progress_bar_enabled
        from tqdm import tqdm
        for _ in tqdm(range(30)):
            time.sleep(0.02)
        assert not is_progress_bar_enabled()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\r") <= 3  # at its beginning and at its end


def test_the_wheel_has_the_configuration_and_the_weights(tmp_path):
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "egg_info",
        "--egg-base",
        tmp_path,
        "build_py",
        "--build-lib",
        tmp_path,
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    made = tmp_path / "papo"
    files = {path.relative_to(CONF) for path in CONF.rglob("*") if path.is_file()}
    assert {path.relative_to(made / "conf") for path in (made / "conf").rglob("*") if path.is_file()} == files
    assert filecmp.cmpfiles(CONF, made / "conf", map(str, files), shallow=False)[1:] == ([], [])
    ours = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "papo").rglob("*") if path.is_file()}
    ours = {path for path in ours if "__pycache__" not in path.parts}
    assert {path for path in ours if not (tmp_path / path).is_file()} == set()
    assert "graft conf" in (ROOT / "MANIFEST.in").read_text().splitlines()  # sources without it could not be built
