"""Every command of README.md, docs/ and experiments/ is one: its settings compose and pass what a run checks first.

A handful runs, cut down. What neither composes nor runs here is listed with its reason.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict

from papo import cli
from papo.evaluation import run as evaluation
from papo.overrides import check_experiment
from papo.study.__main__ import asked_for, compare_options, run_options
from papo.study.definition import read_study
from papo.training import run as training

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "experiments").rglob("*.md"))]
PAGES += sorted((ROOT / "experiments").rglob("*.sh"))
CHECKS = {"train": training.check_settings, "evaluate": evaluation.check_settings}
PYTHON = ("python", "torchrun", "TRL_ENV/bin/python")
# What stands for something of the reader's, where any text would not do.
STANDS_FOR = {"seed=S": "seed=0", "experiments/NAME": "experiments/guess_or_look"}
# What is no setting of a run: who starts it, and what a search would try; tests/config/test_sweeps.py has those.
STARTS = re.compile(r"hydra[./]|-m$|--multirun$")
ELSEWHERE = {
    "my_ideas": "its files are written and run by tests/integration/test_howto.py",
}


def commands(page: Path) -> Iterator[list[str]]:
    """The commands of a page that begin a program of this repository, in words."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    variables = dict(re.findall(r"^    ([A-Z]+)='([^']*)'", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if line.startswith(("    ", "python ", "torchrun --"))]
    lines += re.findall(r"`(python [^`]*)`", text)
    for line in lines:
        if not re.search(rf"\b({'|'.join(PYTHON)}) ", line):
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        for part in shlex.split(line, comments=True), []:
            while "&&" in part:
                yield [*program(part[: part.index("&&")])]
                part = part[part.index("&&") + 1 :]
            if part:
                yield [*program(part)]


def program(words: list[str]) -> Iterator[str]:
    """Without variables in front, and what says that more may follow; nothing where what is needed is left out."""
    if "..." in words[:-1]:
        return
    begun = False
    for word in words:
        begun |= "=" not in word
        if begun and word != "...":
            yield STANDS_FOR.get(word, word)


FOUND = sorted({tuple(words) for page in PAGES for words in commands(page) if words and words[0] in PYTHON})


def of_entry(script: str) -> list[tuple[str, ...]]:
    """The arguments of each command that begins an entry point."""
    return [words[words.index(script) + 1 :] for words in FOUND if script in words]


def exempt(words: tuple[str, ...]) -> bool:
    return any(name in word for word in words for name in ELSEWHERE)


ENTRIES = [(script, words) for script in ("train", "evaluate") for words in of_entry(f"{script}.py")]
# Those of papo.inspect are train.py's, and where its page goes.
ENTRIES += [
    ("train", tuple(word for word in words[3:] if not word.startswith("page=")))
    for words in FOUND
    if words[1:3] == ("-m", "papo.inspect")
]


def test_they_are_found():
    """Otherwise the tests below would look at nothing."""
    assert len(FOUND) > 100
    assert len([words for _, words in ENTRIES if not exempt(words)]) > 50
    assert len([words for _, words in ENTRIES if exempt(words)]) == 15
    known = ("train.py", "evaluate.py", "papo", "papo.study", "papo.inspect", "pytest")
    others = [words for words in FOUND if not {*known} & {*words}]
    assert all(words[1].startswith(("experiments/", "my_ideas/")) for words in others), others


def composed(entry: str, words: tuple[str, ...]) -> Iterator:
    """The configuration of each run of a command; of a sweep's those of all choices."""
    overrides = [cli.spelt_out(word) for word in words if not STARTS.match(word)]
    if "-m" in words or "--multirun" in words:
        # What a search would try is asked for where it begins.
        overrides = [re.sub(r"interval\(([^,]*),.*\)", r"\1", override) for override in overrides]
        parsed = OverridesParser.create().parse_overrides(overrides)
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    else:
        jobs = [overrides]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for job in jobs:
            cfg = compose(entry, [*job, "run_dir=."], return_hydra_config=True)
            HydraConfig.instance().set_config(cfg)
            with open_dict(cfg):
                del cfg["hydra"]
            check_experiment(cfg)
            yield cfg


@pytest.mark.parametrize(("entry", "words"), ENTRIES, ids=lambda of: of if isinstance(of, str) else " ".join(of))
def test_every_command_composes_and_can_work(entry, words, tmp_path, monkeypatch):
    if exempt(words):
        pytest.skip(next(reason for name, reason in ELSEWHERE.items() if any(name in word for word in words)))
    if "engine=vllm" in words:
        pytest.importorskip("vllm", reason="the engine looks for its package")
    if any(word.startswith("rescore=") for word in words):  # answers that are looked for at once
        monkeypatch.chdir(tmp_path)
        for name in re.findall(
            r"[\w.]+", " ".join(word for word in words if word.startswith(("rescore=", "compare=")))
        ):
            Path(name).mkdir()
    for cfg in composed(entry, words):
        CHECKS[entry](cfg)


@pytest.mark.parametrize("words", [words for words in FOUND if "papo.study" in words], ids=" ".join)
def test_every_command_of_a_study_is_one(words, monkeypatch):
    """That each study composes is asked in tests/study and tests/integration/test_studies.py."""
    monkeypatch.chdir(ROOT)
    arguments = [word.strip("[]") for word in words[words.index("papo.study") + 1 :]]
    if arguments[:1] != ["run"]:
        assert compare_options().parse_args(arguments).baseline
        return
    options = run_options().parse_args(arguments[1:])
    variant = [text.removeprefix("study=") for text in options.overrides if text.startswith("study=")]
    study = read_study(options.folder, *(variant or [None]), [], asked_for(options.only))
    assert study.all_runs()


@pytest.mark.parametrize("words", [words for words in FOUND if words[1].startswith("experiments/")], ids=" ".join)
def test_every_script_is_there(words):
    assert (ROOT / words[1]).is_file()


# ------------------------------------------------------------------------------------------------------ a handful runs

TRAINED = [
    "experiment=papo_qwen mask_ratio=0.6",
    "experiment=papo_qwen corruption=patch_shuffle mask_ratio=1",
    "experiment=papo_paper mask_ratio=0.6",
    "experiment=grpo_qwen blind_guess_coef=1 corruption=patch_shuffle",
    "algorithm=papo_d",
    "experiment=papo_qwen data=easy_vqa corruption=swap perception_coef=0.1",
]


@pytest.mark.parametrize("words", TRAINED)
def test_a_command_trains(words, train, brief):
    assert ("train", (*words.split(),)) in ENTRIES
    run = train(*words.split(), *brief, "trainer.max_steps=1")
    assert run.json()["steps"] == 1


def test_a_command_measures(command, tmp_path):
    """Another one is docs/howto/report.md's."""
    assert ("evaluate", ("guessable=true",)) in ENTRIES
    sizes = ["benchmarks.lab.size=2", "k=1", f"hydra.run.dir={tmp_path / 'run'}"]
    finished = command("evaluate.py", "guessable=true", *sizes)
    assert finished.status == 0, finished.err
    assert (tmp_path / "run" / "guessability" / "lab.jsonl").is_file()
