"""Your own data, in the layouts in which this field keeps it: what tells each, and what a row of it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from posixpath import normpath
from typing import Any

import pyarrow as pa

from papo.data.sources.choices import LETTER, choices_of, chosen, letter_of, listed, lists, told, with_options
from papo.data.sources.columns import (
    ANSWER,
    ANSWERS,
    CHOICES,
    FIELDS,
    NUMBER,
    PICTURES,
    PROMPT,
    TAGS,
    TEXT,
    TEXTS,
    TURNS,
    Kind,
    Row,
    check_columns,
    fields,
    pictures,
    text,
    texts,
    whole_number,
    written,
)
from papo.data.sources.conversations import conversation
from papo.data.sources.raw_items import (
    NUMBERED,
    RawItem,
    Schema,
    has,
    in_words,
    known,
    lettered,
    place_images,
    shown_in,
    type_of_answer,
)
from papo.rewards.extraction import stated, unwrapped

# Columns that may hold the answer; the first that a table has.
GOLDS = {"answer": ANSWER, "solution": ANSWER, "ground_truth": ANSWERS, "answers": ANSWERS}
VERL_GOLD = "reward_model.ground_truth"
COMMON = {
    "image": PICTURES,
    "images": PICTURES,
    "id": ANSWER,
    "choices": CHOICES,
    "labels": TEXTS,
    "answer_type": TEXT,
    "precision": NUMBER,
    "rule": TEXT,
    "rationale": TEXT,
    "tags": TAGS,
}
ENOUGH = 3  # people: VQA's official measure, min(n / 3, 1), counts an answer that three of ten gave in full
# What only mathematics compares well. Dates and words have none of it.
FORMULA = re.compile(r"[\\^√π%=]|^[-+]?[0-9]+\s*/\s*[0-9]+$")


@dataclass(frozen=True)
class Form:
    """Where a layout has what: the column of the prompt, and what its rows are told apart by."""

    prompt: str
    golds: tuple[str, ...] = tuple(GOLDS)
    tag: str | None = None
    lettered: bool = False  # whether each option has a column of its own


def own_item(form: Form, row: Row) -> RawItem:
    """A row of any of these layouts."""
    said = conversation(row, form.prompt)
    choices = choices_of(row, form.lettered)
    answer, others, decimal = gold_of(row, form.golds, said.reply)
    answer = chosen(answer, choices, form.lettered) if choices else answer
    hint = text(row, "hint") if form.lettered else ""
    question = f"Hint: {hint}\n{said.question}" if hint and said.question else said.question
    if question and choices and not lists(question, choices):
        question = f"{question}\n{lettered(choices)}"
    if question and not choices:
        question = with_options(question, told(row), answer)
        letter = letter_of(answer, told(row))
        others = (*others, letter, f"({letter})") if letter else others
    shown = pictures_of(row, said.pictures)
    labels, rationale = (*texts(row, "labels"), *others), text(row, "rationale")
    if NUMBERED.search(question):
        order = shown_in(question, shown)
        # The row's numbers, which those who answer do not see.
        answer, rationale = in_words(answer, order), in_words(rationale, order)
        choices, labels = (tuple(in_words(each, order) for each in of) for of in (choices, labels))
        question, shown = place_images(question, shown)
    plain = unwrapped(answer)
    answer_type = text(row, "answer_type") or type_of_answer(LETTER.sub(r"\1", plain), choices)
    mathematical = answer_type in ("float", "list") or (answer_type == "text" and FORMULA.search(plain))
    if answer_type == "integer" and not text(row, "answer_type"):
        mathematical = mathematical or decimal  # 2.0 in a column that has 2.5: as many digits may be right
    tags = tags_of(row)
    return RawItem(
        question=question,
        pictures=shown,
        answer=answer,
        answer_type=answer_type,
        rule=text(row, "rule") or ("math" if mathematical else "exact"),
        choices=choices,
        labels=labels,
        precision=whole_number(row, "precision"),
        rationale=rationale or None,
        tags=known(tags | ({form.tag: text(row, form.tag)} if form.tag else {})),
        system=said.system,
    )


def tags_of(row: Row) -> dict[str, str]:
    """The tags: named fields, or such as text, JSON's or Python's."""
    value = row.get("tags")
    if isinstance(value, str):
        value = (listed(value) or value) if value.strip().startswith("{") else value.strip() or None
        if not isinstance(value, Mapping | None):
            raise ValueError('tags is a text, but not of named fields, such as {"kind": "bars"}')
    found = fields({"tags": value}, "tags")
    return {name: text(found, name) for name in found}


def gold_of(row: Row, names: tuple[str, ...], reply: str) -> tuple[str, tuple[str, ...], bool]:
    """The answer of the first of these columns, else of the reply that the row shows; others that are right too; and
    whether it is stored as a decimal, though it may be a whole one.

    Of several answers the commonest goes first. Where three people agree, what three gave is right; otherwise all are.
    """
    name = next((name for name in names if has(row, name)), None)
    value: Any = reply
    if name is not None:
        group, _, inside = name.partition(".")
        value = fields(row, group).get(inside) if inside else row[name]
    if isinstance(value, list) and GOLDS.get(name or "") is ANSWER:
        raise ValueError(f"{name} is list, not text; columns={{answers: {name}}} reads several right answers")
    values = value if isinstance(value, list) else [value]
    values = [each.get("answer") if isinstance(each, Mapping) else each for each in values]
    golds = Counter(filter(None, (stated(written(each, name or "the reply")) for each in values)))
    if not golds:
        return "", (), False
    often = [gold for gold, count in golds.most_common() if count >= ENOUGH]
    first, *others = often or [gold for gold, _ in golds.most_common()]
    return first, tuple(others), any(isinstance(each, float) and each == each for each in values)


def pictures_of(row: Row, inside: tuple[Any, ...]) -> list[Any]:
    """Those of `image`, `images` and the prompt itself, each once where two of them name it."""
    found: list[Any] = []
    for more in (pictures(row, ["image"]), pictures(row, ["images"]), inside):
        again = {identity(picture) for picture in more} if found else set()
        found = [picture for picture in found if identity(picture) not in again] + list(more)
    return found


def identity(picture: Any) -> Any:
    """What tells a picture from others: its bytes, or its path."""
    if isinstance(picture, Mapping):
        picture = picture.get("path") if picture.get("bytes") is None else picture["bytes"]
    return normpath(picture.replace("\\", "/")) if isinstance(picture, str) else picture


def layout(form: Form, kind: Kind, also: Mapping[str, Kind] | None = None, *, replies: bool = False) -> Schema:
    """Args:
    also: further columns that tell the layout.
    replies: whether a turn of the assistant may be the answer, so that no column has to.
    """
    required = {form.prompt: kind, **(also or {})}
    golds = {} if replies or VERL_GOLD in form.golds else GOLDS
    read, names = partial(own_item, form), ("index", "image") if form.lettered else ("id", None)
    return Schema(read, required, COMMON, id=names[0], golds=golds, borrowed=names[1])


# By name, the more special first.
LAYOUTS = {
    "vlmevalkit": layout(
        Form("question", tag="category", lettered=True), TEXT, {"index": ANSWER, "A": ANSWER, "B": ANSWER}
    ),
    "folder": layout(Form("question"), TEXT),
    "problem": layout(Form("problem"), TEXT),
    "verl": layout(
        Form("prompt", (VERL_GOLD,), tag="data_source"), PROMPT, {"reward_model": FIELDS, VERL_GOLD: ANSWERS}
    ),
    "trl": layout(Form("prompt"), PROMPT),
    "swift": layout(Form("messages"), TURNS, replies=True),
    "llava": layout(Form("conversations"), TURNS, replies=True),
}


def fitting(schema: pa.Schema) -> tuple[str, ...]:
    """The layouts that the columns fit, the one to take first."""
    return tuple(name for name, of in LAYOUTS.items() if fits(schema, of))


def fits(schema: pa.Schema, layout: Schema) -> bool:
    try:
        check_columns(schema, layout.needed(schema.names), layout.optional)
    except ValueError:
        return False
    return True


def nearest(columns: Sequence[str]) -> str:
    """The layout of which the columns have most and, of those, lack least; the plainest where they have nothing."""
    there = {name: sum(map(partial(has, columns), of.needed(columns))) for name, of in LAYOUTS.items()}
    if not any(there.values()):
        return "folder"
    return min(LAYOUTS, key=lambda name: (-there[name], len(LAYOUTS[name].needed(columns))))
