"""The page itself: one file without a single request, whose policy lets only its own style and script run."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from string import Template

from papo.files import replacing
from papo.report.blocks import item_blocks
from papo.report.cells import table_markup
from papo.report.content import Report
from papo.report.plots import plot_markup
from papo.report.text import markup

SCRIPTS = ("tables.js", "list.js", "item.js", "browser.js")
BLOCKS = "<!-- items -->"  # where they go in page.html


def write_report(report: Report, path: Path) -> None:
    """Writes one self-contained HTML file.

    Nothing that the report holds can run or reach out: text is escaped, the page's Content-Security-Policy admits the
    inline style and script by their SHA-256 and pictures as data: alone.

    Raises:
        ValueError: a picture is not PNG, JPEG or WebP.
    """
    head, tail = skeleton(report).split(BLOCKS)
    # Written piece by piece: the pictures of a page can be larger than what should lie in memory twice.
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head)
        file.writelines(item_blocks(report.items))
        file.write(tail)


def skeleton(report: Report) -> str:
    """The page without its items."""
    folder = resources.files(__package__)
    style = (folder / "page.css").read_text("utf-8")
    script = "\n".join((folder / name).read_text("utf-8") for name in SCRIPTS)
    facts = "".join(f"<div><dt>{markup(name)}</dt><dd>{markup(value)}</dd></div>" for name, value in report.facts)
    return Template((folder / "page.html").read_text("utf-8")).substitute(
        title=markup(report.title),
        subtitle=markup(report.subtitle),
        facts=f'<dl class="facts">{facts}</dl>' if facts else "",
        tables="".join(map(table_markup, report.tables)),
        plots="".join(map(plot_markup, report.plots)),
        style=style,
        style_hash=csp_hash(style),
        script=script,
        script_hash=csp_hash(script),
    )


def csp_hash(inline: str) -> str:
    """As a Content-Security-Policy names an inline block: of exactly what stands between its tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"
