"""python -m papo.inspect data=folder data.train.path=FILE [page=PAGE.html]: what a run would read, without a model.

Takes the overrides of train.py. Prints for data.train and data.val the rows, the layout, what the right answers are
like, and the first rows that are bad or cannot be matched. The page shows the first training rows as prompts.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from papo import cli
from papo.building import built
from papo.data.apart import doubts, shared
from papo.data.audit import Audit
from papo.data.blank import Blanked
from papo.data.order import endless
from papo.data.screening import Screen
from papo.data.sources.conversations import MARKER
from papo.errors import ConfigError
from papo.overrides import check_choices, refusal
from papo.report.rows import ShownPicture, ShownRow, write_rows
from papo.study.composing import hydra
from papo.types import Item
from papo.visible import line

SHOWN = 5  # bad rows, and answers that nothing matches
ROWS = 10  # of the page
PICTURES = 8  # of a row that the page shows
# Of all of them, which base64 makes a third more. With the texts, cut off as they are, the page stays below 5 MB.
PICTURE_BYTES = 2_900_000
SMALLEST = 32  # pixels


def main(overrides: Sequence[str]) -> None:
    """Raises ConfigError for what the user can fix."""
    if {"-h", "--help"} & set(overrides):
        print(__doc__)
        return
    pages = [text.removeprefix("page=") for text in overrides if text.startswith("page=")]
    page = page_at(pages[-1]) if pages else None
    check_choices(overrides)
    try:
        with hydra():
            cfg = compose("train", [*(text for text in overrides if not text.startswith("page=")), "run_dir=."])
            inspect(cfg, page)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(refusal(error)) from error


def page_at(text: str) -> Path:
    """Where the page goes. Raises ConfigError where it cannot, or would take the place of something else."""
    page = Path(text).expanduser()
    if page.suffix != ".html":
        raise ConfigError(f"page must end in .html, got {line(text, 200)!r}: what lies there is replaced")
    if not page.parent.is_dir():
        raise ConfigError(
            f"page={line(text, 200)} needs the folder {line(str(page.parent), 200)}, which does not exist"
        )
    return page


def inspect(cfg: DictConfig, page: Path | None = None) -> None:
    # Prompts are not measured: their length is the model's. However many rows are bad, they are shown.
    screen = Screen(max_bad_share=1, decode_at_start=cfg.data.decode_at_start, require_image=cfg.data.require_image)
    screen.listed = f"the first {SHOWN} below"  # no file is written
    sources = {}
    for part in ("train", "val"):
        source = sources[part] = screen(built(cfg.data[part]), f"data.{part}", measured=part == "val")
        for key, found in screen.audits.items():
            if key.startswith(f"data.{part}"):
                bad = {id: reason for (where, id), reason in screen.skips.reasons.items() if where == key}
                print(*report(found, bad, key), sep="\n")
        if part == "train" and page is not None:
            write_page(source, cfg, page)
    found = doubts(cfg.data.train, cfg.data.val) or shared(sources["train"], sources["val"])
    print(*(f"{doubt}\n" for doubt in found), sep="", end="")


def report(found: Audit, bad: dict[str, str], key: str) -> list[str]:
    """Lines about one source."""
    rules = [f"{name} {count / found.total:.0%}" for name, count in found.rules.most_common()]
    lines = [f"{key}: {found.total} looked at, graded by {', '.join(rules)}"] if rules else []
    lines += [f"    bad row {line(id, 200)}: {line(reason, 200)}" for id, reason in list(bad.items())[:SHOWN]]
    lines += [
        f"    cannot be matched: {line(item.id, 200)}: {line(item.answer, 80)}" for item in found.unmatched[:SHOWN]
    ]
    return lines


def write_page(source: Any, cfg: DictConfig, page: Path) -> None:
    """Raises ConfigError where the page cannot be written."""
    items = endless(source, cfg.data.seed)
    items = Blanked(items) if cfg.data.blank else items
    count = min(ROWS, len(source)) if hasattr(source, "__len__") else ROWS
    first = [items[position] for position in range(count)]
    pictures = sum(min(PICTURES, len(item.images)) for item in first)
    rows = [shown_row(item, cfg.prompt.instruction, PICTURE_BYTES // max(1, pictures)) for item in first]
    subtitle = (
        f"What a run with these settings reads first, in the order of seed {cfg.data.seed}: each prompt with its "
        "instruction, its pictures upright, in RGB, and where the words have them. The model's chat template and its "
        "size of pictures come on top, and which prompts are too long for it is not known here."
    )
    try:
        write_rows(f"{count} rows of data.train", subtitle, rows, page)
    except OSError as error:
        raise ConfigError(f"page={line(str(page), 200)} cannot be written ({error.strerror})") from error
    print(f"    {count} rows as prompts: {line(str(page), 200)}")


def shown_row(item: Item, instruction: str, most: int) -> ShownRow:
    """Args:
    most: bytes of each of its pictures.
    """
    facts = {
        "right answer": item.answer,
        "also right": ", ".join(item.labels),
        "type": item.answer_type,
        "graded by": item.rule,
        "options": "; ".join(item.choices),
        "decimals": "" if item.precision is None else str(item.precision),
        "rationale": item.rationale or "",
        "another picture for the same words": "yes" if item.counterfactual is not None else "",
        "tags": ", ".join(f"{name}: {value}" for name, value in item.tags.items()),
        "system": item.system,
    }
    places = item.question.count(MARKER)
    if places not in (0, len(item.images)):
        facts["bad row"] = f"{places} {MARKER} markers for {len(item.images)} pictures"
    kept = tuple((name, value) for name, value in facts.items() if value)
    return ShownRow(item.id, tuple(prompt_of(item, instruction, most)), kept)


def prompt_of(item: Item, instruction: str, most: int) -> list[str | ShownPicture]:
    """Words and pictures as PromptProcessor puts them behind one another: pictures at their markers, else in front."""
    pictures = list(item.images)
    question = item.question.strip()
    texts = (question if MARKER in question else MARKER * len(pictures) + question).split(MARKER)
    parts: list[str | ShownPicture] = []
    for place, text in enumerate([*texts[:-1], f"{texts[-1]} {instruction}".strip()]):
        if 0 < place <= min(PICTURES, len(pictures)):
            parts.append(shown_picture(pictures[place - 1], most))
        elif place == PICTURES + 1 <= len(pictures):
            parts.append(f"[{len(pictures) - PICTURES} more pictures]")
        if text.strip():
            parts.append(text.strip())
    return parts


def shown_picture(image: Image.Image, most: int) -> ShownPicture:
    """As it is, where that takes at most `most` bytes; else as JPEG, smaller and smaller."""
    note = f"{image.width} x {image.height} pixels"
    if image.width * image.height <= 10**6:
        png = encoded(image, "PNG")
        if len(png) <= most:
            return ShownPicture(png, note)
    small = image.copy()
    small.thumbnail((1600, 1600))
    jpeg = encoded(small, "JPEG")
    while len(jpeg) > most and max(small.size) > SMALLEST:
        small.thumbnail((max(1, small.width * 3 // 4), max(1, small.height * 3 // 4)))
        jpeg = encoded(small, "JPEG")
    return ShownPicture(jpeg, note if small.size == image.size else f"{note}, shown smaller")


def encoded(image: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 85} if format == "JPEG" else {}))
    return buffer.getvalue()


if __name__ == "__main__":
    cli.exit_with(main, sys.argv[1:])
