"""The page itself: one file without a single request, whose policy lets only its own style and script run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from papo.files import replacing
from papo.report.blocks import data_uri, item_blocks
from papo.report.cells import cells
from papo.report.content import Report
from papo.report.plots import figure
from papo.visible import shown

SCRIPTS = ("tables.js",)
ITEM_SCRIPTS = ("list.js", "looking.js", "item.js", "browser.js")


def write_report(report: Report, path: Path) -> None:
    """Writes one self-contained HTML file.

    Nothing that the report holds can run or reach out: text is escaped, the page's Content-Security-Policy admits the
    inline style and script by their SHA-256 and pictures as data: alone.

    Raises:
        ValueError: a picture is not PNG, JPEG or WebP.
    """
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces(report))


def pieces(report: Report) -> Iterator[str]:
    """The page, piece by piece; raises as `write_report`."""
    folder = resources.files(__package__)
    style = (folder / "page.css").read_text("utf-8")
    scripts = (*SCRIPTS, *ITEM_SCRIPTS) if report.items else SCRIPTS
    script = "\n".join((folder / name).read_text("utf-8") for name in scripts)
    return (
        templates()
        .get_template("page.html")
        .generate(
            title=report.title,
            subtitle=report.subtitle,
            facts=report.facts,
            tables=map(cells, report.tables),
            plots=map(figure, report.plots),
            pictures=[(of.title, data_uri(of.picture), of.note) for of in report.pictures],
            blocks=item_blocks(report.items) if report.items else (),
            with_items=bool(report.items),
            style=Markup(style),
            style_hash=csp_hash(style),
            script=Markup(script),
            script_hash=csp_hash(script),
        )
    )


def templates() -> Environment:
    """The templates of this folder. Whatever they are given is shortened and made visible before it is escaped."""
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        finalize=presentable,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["px"] = "{:.1f}".format
    return environment


def presentable(value: Any) -> str:
    """What a template may show of a value: `Markup` as it is, which only the page's own parts are."""
    return value if isinstance(value, Markup) else shown(str(value))


def csp_hash(inline: str) -> Markup:
    """As a Content-Security-Policy names an inline block: of exactly what stands between its tags."""
    return Markup(f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'")
