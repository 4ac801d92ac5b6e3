"""conf/ explains itself: a comment above every value, a command on top of every experiment."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

CONF = Path(__file__).parents[2] / "conf"
# Experiments and variants of another file set keys that are explained where they belong.
DELTAS = {path for path in CONF.rglob("*.yaml") if "- _self_" in path.read_text() and path.parent != CONF}
DELTAS |= set((CONF / "experiment").iterdir())
FILES = sorted(set(CONF.rglob("*.yaml")) - DELTAS)
KEY = re.compile(r"( *)(\w+):\s*(.*)")


def uncommented(text: str) -> list[str]:
    """Values without a comment above them.

    A comment speaks for the key below it, for the keys below that one up to the next blank line, and for everything
    inside. What only says where else the value comes from (_target_, ${...}, defaults, hydra) needs none; the comment
    above _target_ is about the file.
    """
    missing: list[str] = []
    path: list[str] = []  # of the current key
    explained: list[bool] = []  # the same for each of its parents
    above = False  # whether the line above is a comment
    run: int | None = None  # indentation at which a comment still speaks
    for line in text.splitlines():
        match = KEY.match(line)
        if match is None:
            above = line.lstrip().startswith("#")
            run = run if line.strip() else None
            continue
        depth, name, value = len(match[1]) // 2, match[2], match[3]
        path, explained = path[:depth], explained[:depth]
        here = above or run == depth or any(explained)
        run = depth if (above or run == depth) and name not in ("_target_", "_partial_") else None
        path.append(name)
        explained.append(here and name not in ("_target_", "_partial_"))
        above = False
        reference = re.fullmatch(r"\$\{[\w.]+\}", value)
        if value and not reference and not name.startswith("_") and path[0] not in ("hydra", "defaults") and not here:
            missing.append(".".join(path))
    return missing


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_value_has_a_comment_above_it(path):
    assert uncommented(path.read_text()) == []


def test_the_rule_itself():
    text = """\
# About the file.
_target_: a.B
bare: 1
refers: ${other.key}

# Explains two.
first: 1
second: 2

third: 3
group:
  inside: 4
# Explains a group.
told:
  inside: 5
  deeper:
    still: 6
  # Of its own.
  own: 7
after: 8

hydra:
  run: 9
"""
    assert uncommented(text) == ["bare", "third", "group.inside", "after"]


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("[!_]*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_begins_with_its_command(path):
    package, first = path.read_text().splitlines()[:2]
    assert package == "# @package _global_"
    command = shlex.split(first.removeprefix("# "))
    assert command[:3] == ["python", "train.py", f"experiment={path.stem}"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("train", overrides=command[2:]).name == path.stem


@pytest.mark.parametrize("entry", ["train", "evaluate"])
def test_an_entry_point_begins_with_a_command(entry):
    assert f"python {entry}.py" in (CONF / f"{entry}.yaml").read_text().splitlines()[0]
