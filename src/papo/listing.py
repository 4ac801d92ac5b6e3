"""What conf/ has to choose from, each with what its file says about it; reads files and imports nothing heavy."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from papo.arguments import nearest
from papo.errors import ConfigError
from papo.overrides import CONF, is_choice

# What is listed: how one of them is chosen, and the folder of conf/; the terms stand in one file.
SECTIONS = {
    "experiments": ("papo train experiment=NAME", "experiment"),
    "algorithms": ("papo train algorithm=NAME", "algorithm"),
    "terms": ("papo train algorithm.objective.NAME.KEY=VALUE", None),
    "views": ("papo train corruption=NAME", "corruption"),
    "data": ("papo train data=NAME", "data"),
    "benchmarks": ("papo evaluate 'benchmarks=[NAME]'", "benchmarks"),
}
WIDTH = 120
TERM = re.compile(r"^  (\w+):\n((?:    #.*\n)+)    _target_:", re.MULTILINE)  # inside of objective, two deep


def main(names: Sequence[str]) -> None:
    """
    Args:
        names: of SECTIONS; none = all.

    Raises:
        ConfigError: there is no such section.
    """
    for name in names:
        if name not in SECTIONS:
            raise ConfigError(f"papo list {name}: there is no such list{nearest(name, SECTIONS)}")
    print("\n\n".join("\n".join(section(name)) for name in names or SECTIONS))


def section(name: str) -> Iterator[str]:
    """Its lines."""
    title, folder = SECTIONS[name]
    yield f"{name}: {title}"
    found = list(terms() if folder is None else choices(CONF / folder))
    column = 4 + max(len(choice) for choice, _ in found)
    for choice, comment in found:
        yield textwrap.fill(f"  {choice:<{column - 2}}{comment}", WIDTH, subsequent_indent=" " * column)


def choices(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file of a group with the first sentence of its comment, which its command precedes in experiments."""
    for path in sorted(folder.glob("*.yaml")):
        if is_choice(path.name):
            lines = path.read_text(encoding="utf-8").splitlines()
            said = [line for line in lines if not line.startswith(("# @package", "# python train.py"))]
            yield path.stem, first_sentence(said)


def terms() -> Iterator[tuple[str, str]]:
    """The blocks of `objective` in conf/algorithm/_base.yaml, each with the comment that it begins with."""
    text = (CONF / "algorithm" / "_base.yaml").read_text(encoding="utf-8")
    for name, comment in TERM.findall(text):
        yield name, first_sentence(comment.splitlines())


def first_sentence(lines: Sequence[str]) -> str:
    """Of the comment that the lines begin with."""
    comment = []
    for line in map(str.strip, lines):
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    # No sentence ends with Dr. GRPO's title.
    return re.split(r"(?<=\S{3}\.)\s", " ".join(comment), maxsplit=1)[0]
