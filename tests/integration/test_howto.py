"""What docs/howto/ shows is run as it stands there: its files written, its commands given, its output seen."""

import importlib.util
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
import pytest
import tiny_families
import torch
from integration import test_commands
from PIL import Image
from policy.families import test_every
from transformers import AutoModelForImageTextToText

import papo
from papo.planning.tracing import Cost, Tracer
from papo.policy import families
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor

ROOT = Path(__file__).parents[2]
NAME = r"^`(?P<file>\S+)`(?P<added>, at its end)?\n"
BLOCK = re.compile(rf"(?:{NAME})?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A how-to: its files by name, its commands and the lines that are seen then, each in order."""

    files: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


def page_of(path: Path) -> Page:
    page = Page()
    for block in (match.groupdict() for match in BLOCK.finditer(path.read_text(encoding="utf-8"))):
        if block["file"]:
            page.files[block["file"]] = block["text"]
        elif block["language"] == "sh":
            page.commands.extend(map(shlex.split, block["text"].replace("\\\n", " ").splitlines()))
        else:
            page.seen.extend(block["text"].splitlines())
    return page


PAGES = {path.stem: page_of(path) for path in sorted((ROOT / "docs" / "howto").glob("[!R]*.md"))}


def masked(text: str) -> str:
    """A line without what another run changes: its numbers, and how wide its columns are therefore."""
    return re.sub(r"[ |]+", " ", re.sub(r"-{2,}|[-+]?[0-9][0-9.,]*", "#", text)).strip()


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Iterator[Path]:
    """A folder with all files of all pages, as one who follows them has it, and what their own programs make."""
    folder = tmp_path_factory.mktemp("howto")
    for page in PAGES.values():
        for name in (name for name in page.files if name.startswith("my_ideas/")):
            path = folder / name
            assert not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page.files[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "datasets"))
        datasets.disable_progress_bars()
        yield folder


@pytest.fixture
def follow(here, train, command, monkeypatch) -> Callable:
    """Gives the commands of a page where its files are, in order, cut down; what each run left and each other command
    said. What the page shows must have been seen, up to its numbers."""
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)

    def follow(name: str, *, train_with: Sequence[str] = (), evaluate_with: Sequence[str] = ()) -> list:
        found, said = [], []
        for _, script, *words in PAGES[name].commands:
            if script == "train.py" and "plan=true" not in words:
                options, own = (words[:2], words[2:]) if words[0] == "--config-dir" else ([], words)
                places = [word.partition("=")[2] for word in own if word.startswith("hydra.run.dir=")]
                found.append(train(*own, *train_with, options=options, path=here / places[-1] if places else None))
                said.append(found[-1].said)
            elif script.startswith("my_ideas/"):
                runpy.run_path(script, run_name="__main__")
            else:
                module = script == "-m"  # papo.inspect, which knows nothing else
                cut = evaluate_with if script == "evaluate.py" else ()
                found.append(command(*(("src/papo/inspect.py", *words[1:]) if module else (script, *words, *cut))))
                assert found[-1].status == 0, found[-1].err
                said.append(found[-1].out)
        lines = {masked(line) for line in "\n".join(said).splitlines()}
        assert [line for line in PAGES[name].seen if masked(line) not in lines] == []
        return found

    return follow


# A run of two steps of the tiny model, of which it is asked what a page says of it.
BRIEFLY = ["data.val.size=4", "val.samples=1", "val.blind=false", "val.training_items=0", "trainer.images_every=2"]


def pair(run, view: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture as TensorBoard shows it, and the view beside it, [height, width, 3] in [0, 1]."""
    shown = Image.open(io.BytesIO(run.events.Images(f"views/{view}")[0].encoded_image_string))
    return np.split(np.asarray(shown, dtype=np.float64) / 255, 2, axis=1)


def test_own_term(follow):
    """From its YAML with a margin of its own, and on the command line."""
    trained, other = follow("own_term", train_with=BRIEFLY)
    assert set(trained.scalars["perception/mirror_gap"]) == {1, 2}
    assert trained.scalars["loss/mirror"][1] > other.scalars["loss/mirror"][1] > 0
    assert trained.weights != other.weights
    clean, mirrored = pair(trained, "mirrored")
    assert (clean != mirrored).any()
    np.testing.assert_allclose(mirrored, clean[:, ::-1], atol=2 / 255)


def test_a_built_in_term_is_a_file_and_a_line():
    source = Path(papo.__file__).parent
    knowing = [path.name for path in source.rglob("*.py") if "RobustnessKL" in path.read_text()]
    assert sorted(knowing) == ["__init__.py", "robustness.py"]


def test_own_view(follow):
    (trained,) = follow("own_view", train_with=BRIEFLY)
    assert trained.scalars["perception/kl"][1] > 0
    clean, shifted = pair(trained, "corrupted")
    shifts = [np.abs(np.roll(clean, by, axis=2) - shifted).max() for by in range(3)]
    assert shifts[0] > 0.5
    assert min(shifts[1:]) <= 2 / 255


def test_own_reward(follow):
    (trained,) = follow("own_reward", train_with=BRIEFLY)
    assert 0 < trained.scalars["reward/brevity"][1] <= trained.scalars["reward/accuracy"][1]
    for record in trained.rollouts:
        brevity = record["reward_accuracy"] * max(0, 1 - len(record["response"].split()) / 40)
        assert record["reward_brevity"] == pytest.approx(brevity)
        assert record["reward"] == pytest.approx(record["reward_accuracy"] + 0.1 * brevity)


def test_own_data(follow, here):
    *inspected, run = follow("own_data", train_with=[*BRIEFLY[1:], "data.val.size=null"])  # of which few are held out
    assert len(inspected) == 3
    assert "Which colour is it?" in (here / "my_ideas" / "rows.html").read_text()
    assert (run.json()["skipped_rows"], len(run.rollouts)) == (0, 2 * 2 * 3)
    assert {record["question"][-4:] for record in run.rollouts} <= {" it?", "red?", "een?", "lue?"}


def test_own_items(follow):
    (run,) = follow("own_items", train_with=BRIEFLY)
    assert all("card" in record["question"] for record in run.rollouts)
    assert len({record["answer"] for record in run.rollouts}) > 1


def test_one_card(follow, here, brief, monkeypatch):
    """Its plans from the shapes alone, all but the run through the blocks; and a step of what its file sets."""
    monkeypatch.setattr(Tracer, "cost", lambda self, run, *, gradient: Cost(1 * gradient, 1, 1 * gradient))
    model, table = here / "models" / "Qwen2.5-VL-3B-Instruct", here / "my_ideas" / "train.jsonl"
    model.mkdir(parents=True)
    shapes = Path(papo.__file__).parent / "planning" / "shapes" / "Qwen--Qwen2.5-VL-3B-Instruct.json"
    shutil.copy(shapes, model / "config.json")
    for n in range(40):  # which picture says whether a row is held out
        Image.new("RGB", (112, 112), (n, 0, 0)).save(here / "my_ideas" / f"{n}.png")
    rows = [{"question": f"Is it {n}?", "image": f"{n}.png", "answer": n} for n in range(40)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cut = [*brief, "data.val.share=[0.5,1]", "data.num_workers=0", "model.min_pixels=null", "rollout.max_new_tokens=8"]
    whole, adapter, run = follow("one_card", train_with=cut)
    # What no block has to be run for is as the page says.
    shown = [line for line in PAGES["one_card"].seen if line.startswith(("parameters", "optimizer", "pixels"))]
    assert len(shown) == 3
    assert set(shown) < set(whole.out.splitlines())
    assert "119.7 trained" in adapter.out
    assert (run.json()["steps"], run.json()["skipped_rows"]) == (2, 0)


def test_many_cards_under_slurm(here, monkeypatch):
    """The job, by stand-ins for the programs of a cluster: it begins a run, then goes on with it."""
    monkeypatch.chdir(here)
    programs = here / "programs"
    programs.mkdir()
    for name, does in (("scontrol", "echo one; echo two"), ("srun", 'exec "$@"'), ("torchrun", 'printf "%s\\n" "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    job = {"SLURM_JOB_NAME": "seven", "SLURM_JOB_ID": "7", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
    environment = os.environ | job | {"PATH": f"{programs}:{os.environ['PATH']}"}
    last = here / "outputs" / "seven" / "checkpoints" / "last.ckpt"
    for begins in ("overwrite=true", f"ckpt_path={last.relative_to(here)}"):
        arguments = ["bash", "my_ideas/job.sh"]
        said = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        place = said.index("train.py")
        assert said[:place] == shlex.split(
            "--nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-id 7 --rdzv-endpoint one:29500"
        )
        *settings, begun = said[place + 1 :]
        assert begun == begins
        (cfg,) = test_commands.composed("train", tuple(settings))
        test_commands.CHECKS["train"](cfg)
        assert cfg.strategy.devices * cfg.strategy.num_nodes == 16
        last.parent.mkdir(parents=True, exist_ok=True)
        last.touch()


def test_benchmark_tsv(follow):
    """Answers of the lab's model to its thirty questions, and those of another tool beside them."""
    follow("benchmark_tsv")


def test_report(follow, here):
    """The sections that the page explains are those of a report."""
    sizes = ["k=1", "benchmarks.lab.size=2", "benchmarks.lab_guessable.size=2", "report.looking_cells=2"]
    follow("report", train_with=BRIEFLY, evaluate_with=sizes)
    titles = re.findall("<h3>lab: ([^<]*)</h3>", (here / "outputs" / "report" / "report.html").read_text())
    text = (ROOT / "docs" / "howto" / "report.md").read_text()
    explained = re.findall(r"^\| `([^`]+)`[^|]*\|", text.partition("| section |")[2].partition("\n\n")[0], re.MULTILINE)
    elsewhere = ["published figures", "how they were asked", "Items"]
    titles = [title.partition(",")[0] for title in titles]  # of one model, or of two that are compared
    assert dict.fromkeys(titles) == {title: None for title in explained if title not in elsewhere}


def test_own_model(tmp_path, monkeypatch, family_items, item, picture, make_responses):
    """What its files say, held to transformers as every family is."""
    source = tmp_path / "internvl.py"
    source.write_text(PAGES["own_model"].files["src/papo/policy/families/internvl.py"])
    spec = importlib.util.spec_from_file_location("papo.policy.families.internvl", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, module.InternVL))
    tiny = vars(tiny_families) | {"CASES": {}}
    exec(PAGES["own_model"].files["tests/tiny_families.py"], tiny)
    folder = tmp_path / "model"
    tiny_families.save(tiny["CASES"]["internvl"], folder)

    loaded = load_policy(folder, dtype="float32", chunk_tokens=100)
    assert type(loaded.policy.family) is module.InternVL
    processor = PromptProcessor(loaded.processor, "Think.")
    prompts, responses = processor.prompts(family_items), make_responses([5, 1, 3, 4, 2, 6, 4, 1], width=7)
    with torch.no_grad():
        model = AutoModelForImageTextToText.from_pretrained(folder)
        expected = test_every.plain_forward(model, processor, family_items, responses)
    test_every.test_scores_are_those_of_a_plain_forward((expected, None), loaded, prompts, responses)
    test_every.test_corruption_paints_the_masked_patches_and_nothing_else(prompts, "token")
    for size in [(40, 50), (150, 40)]:  # one tile, and four with a thumbnail
        test_every.test_length_is_that_of_the_prompt(processor, item, picture, family_items, size)
