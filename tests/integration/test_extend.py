"""What docs/extend.md shows is run as it stands there: its files written, its commands given."""

import importlib.util
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image
from policy.families import test_every
from transformers import AutoModelForImageTextToText

import papo
from papo.policy import families
from papo.policy.loading import load_policy
from papo.policy.processing import PromptProcessor

PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
NAME = r"^`(?P<file>\S+)`(?P<added>, at its end)?\n"
BLOCK = re.compile(rf"(?:{NAME})?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(PAGE.read_text())]
FILES = {block["file"]: block["text"] for block in BLOCKS if block["file"]}
COMMANDS = [block["text"].replace("\\\n", " ") for block in BLOCKS if block["language"] == "sh"]


def command_with(words: str) -> list[str]:
    """The arguments of the one command that has these words."""
    (found,) = (command for command in COMMANDS if words in command)
    python, script, *arguments = shlex.split(found)
    assert (python, script) == ("python", "train.py")
    return arguments


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with all files of the page, and the pictures that its table names."""
    folder = tmp_path_factory.mktemp("extend")
    for name in (name for name in FILES if name.startswith("my_ideas/")):
        path, text = folder / name, FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for colour in ("red", "green", "blue", "black"):
        Image.new("RGB", (112, 112), colour).save(folder / "my_ideas" / f"{colour}.png")
    return folder


@pytest.fixture
def run(here, train, monkeypatch) -> Callable:
    """Runs a command of the page where its files are, for two steps of a tiny model."""
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)

    def run(words: str, *overrides: str):
        arguments = command_with(words)
        options, own = (arguments[:2], arguments[2:]) if arguments[0] == "--config-dir" else ([], arguments)
        settings = ["val.samples=1", "val.blind=false", "trainer.images_every=2"]
        return train(*own, *settings, *overrides, options=options)

    return run


def pair(run, view: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture as TensorBoard shows it, and the view beside it, [height, width, 3] in [0, 1]."""
    shown = Image.open(io.BytesIO(run.events.Images(f"views/{view}")[0].encoded_image_string))
    return np.split(np.asarray(shown, dtype=np.float64) / 255, 2, axis=1)


def test_a_term_and_its_view(run):
    trained = run("experiment=mirror")
    assert set(trained.scalars["perception/mirror_gap"]) == {1, 2}
    assert trained.scalars["loss/mirror"][1] > 0
    clean, mirrored = pair(trained, "mirrored")
    assert (clean != mirrored).any()
    np.testing.assert_allclose(mirrored, clean[:, ::-1], atol=2 / 255)
    without = run("experiment=mirror", "algorithm.objective.mirror.coef=0")
    assert "loss/mirror" not in without.scalars
    assert "views/mirrored" not in without.events.Tags()["images"]
    assert trained.weights != without.weights


def test_a_built_in_term_is_a_file_and_a_line():
    source = Path(papo.__file__).parent
    knowing = [path.name for path in source.rglob("*.py") if "RobustnessKL" in path.read_text()]
    assert sorted(knowing) == ["__init__.py", "robustness.py"]


def test_a_term_on_the_command_line(run):
    trained = run("+algorithm.objective.mirror._target_")
    assert trained.scalars["loss/mirror"][1] > 0


def test_a_corruption(run):
    trained = run("corruption=colours")
    assert trained.scalars["perception/kl"][1] > 0
    clean, shifted = pair(trained, "corrupted")
    shifts = [np.abs(np.roll(clean, by, axis=2) - shifted).max() for by in range(3)]
    assert shifts[0] > 0.5
    assert min(shifts[1:]) <= 2 / 255


def test_a_reward(run):
    trained = run("reward=brevity")
    assert 0 < trained.scalars["reward/brevity"][1] <= trained.scalars["reward/accuracy"][1]
    for record in trained.rollouts:
        brevity = record["reward_accuracy"] * max(0, 1 - len(record["response"].split()) / 40)
        assert record["reward_brevity"] == pytest.approx(brevity)
        assert record["reward"] == pytest.approx(record["reward_accuracy"] + 0.1 * brevity)


@pytest.mark.parametrize(
    ("data", "question", "sizes"), [("shapes", " it", ["data.val.size=null"]), ("cards", "card", [])]
)
def test_a_data_set(run, data, question, sizes):
    trained = run(f"data={data}", *sizes)
    assert len(trained.rollouts) == 2 * 2 * 3
    assert all(question in record["question"] for record in trained.rollouts)
    assert len({record["answer"] for record in trained.rollouts}) > 1


def test_a_family(tmp_path, monkeypatch, family_items, item, picture, make_responses):
    """What its files say, held to transformers as every family is."""
    source = tmp_path / "internvl.py"
    source.write_text(FILES["src/papo/policy/families/internvl.py"])
    spec = importlib.util.spec_from_file_location("papo.policy.families.internvl", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, module.InternVL))
    tiny = vars(tiny_families) | {"CASES": {}}
    exec(FILES["tests/tiny_families.py"], tiny)
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
