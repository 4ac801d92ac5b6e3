"""Rows of data as a page that opens from a file: words and pictures of each prompt in order, and what is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from markupsafe import Markup, escape

from papo.files import replacing
from papo.report.blocks import data_uri
from papo.report.page import csp_hash, templates
from papo.visible import shown

WORDS = 4000  # characters of a prompt


@dataclass(frozen=True)
class ShownPicture:
    picture: bytes  # PNG, JPEG or WebP
    note: str

    @property
    def uri(self) -> Markup:
        return data_uri(self.picture)


@dataclass(frozen=True)
class ShownRow:
    """One prompt. Any string may hold anything: the page escapes, shortens and makes visible what it is given."""

    id: str
    prompt: tuple[str | ShownPicture, ...]  # in the order in which they are read
    facts: tuple[tuple[str, str], ...]  # name and value, what is right above all

    @property
    def parts(self) -> Iterator[Markup | ShownPicture]:
        """The prompt, its words made safe, up to WORDS of them."""
        left = WORDS
        for part in self.prompt:
            if isinstance(part, ShownPicture):
                yield part
            elif left > 0:
                yield escape(shown(part, left))
                left -= len(part)


def write_rows(title: str, subtitle: str, rows: Sequence[ShownRow], path: Path) -> None:
    """Writes one self-contained HTML file without a script: as `write_report`, nothing in it can run or reach out.

    Raises:
        ValueError: a picture is not PNG, JPEG or WebP.
    """
    folder = resources.files(__package__)
    style = "\n".join((folder / name).read_text("utf-8") for name in ("page.css", "rows.css"))
    template = templates().get_template("rows.html")
    pieces = template.generate(
        title=title, subtitle=subtitle, rows=rows, style=Markup(style), style_hash=csp_hash(style)
    )
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)
