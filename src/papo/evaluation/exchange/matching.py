"""Which item a row of another tool's file answers, and whether it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase

from papo.errors import ConfigError
from papo.evaluation.catalogue import Catalogue, Entry
from papo.evaluation.exchange import lmms_eval, vlmevalkit
from papo.evaluation.exchange.foreign import Foreign
from papo.evaluation.records import Record
from papo.report import GradedResponse
from papo.types import Item
from papo.visible import line

READERS: dict[str, Callable[[Path], Iterator[Foreign]]] = {
    ".jsonl": lmms_eval.read, ".tsv": vlmevalkit.read, ".xlsx": vlmevalkit.read, ".json": vlmevalkit.read,
}  # fmt: skip
UNGRADED = "wrong"  # stands where nobody has said anything yet
STRANGE = "rows have neither the question nor the answer of their item, or that of another one that asks the same"


def read_file(path: Path, key: str) -> list[Foreign]:
    """The answers in a file of another tool, by its ending.

    Args:
        key: the override that named it, for messages.

    Raises:
        ConfigError: it is none that is known, damaged, or has no or not always as many answers.
    """
    if path.suffix not in READERS:
        raise ConfigError(
            f"{key}={path} must be the folder of an evaluation or end in .jsonl (samples of lmms-eval), .tsv, .xlsx or "
            ".json (predictions of VLMEvalKit)"
        )
    try:
        found = list(READERS[path.suffix](path))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}={path} cannot be read: {line(str(error))}") from error
    if not found:
        raise ConfigError(f"{key}={path} has no answers")
    counts = {len(each.responses) for each in found}
    if len(counts) > 1 or 0 in counts:
        raise ConfigError(f"{key}={path} must have as many answers to each item, got {sorted(counts)}")
    return found


def records_of(
    found: Sequence[Foreign], catalogue: Catalogue, key: str, min_agreement: float, score: str | None
) -> tuple[list[Record], bool]:
    """The rows as records of the items that they answer, in their order, and whether they have verdicts.

    Ours come back as they were. Others have the verdicts that the field `score` says, or none. Those of rows that are
    bad ones here are left out, which is said.

    Raises:
        ConfigError: a row's item is not there, two rows answer one, too few rows have their items' questions or
            answers, too many answer bad rows, or the field is no grade.
    """
    alike = asking_alike(catalogue)
    located_at = list(zip(found, located(found, catalogue, alike, key), strict=True))
    bad = [each for each, entry in located_at if entry is None]
    if bad:
        id = bad[0].id if bad[0].id in catalogue.bad else catalogue.bad_rows[bad[0].row]
        left_out = (
            f"{key}: {len(bad)} of {len(found)} answers are to rows that benchmarks.{catalogue.name} cannot use, such "
            f"as {line(id, 200)} ({line(catalogue.bad[id], 200)})"
        )
        if len(bad) > (1 - min_agreement) * len(found):
            raise ConfigError(f"{left_out}; mend them, or lower rescore.min_agreement to leave so many out")
        print(f"{left_out}, and left out")
    pairs = [(each, entry) for each, entry in located_at if entry is not None]
    ids = [entry.item.id for _, entry in pairs]
    if len(set(ids)) < len(ids):
        twice = next(id for id in ids if ids.count(id) > 1)
        raise ConfigError(f"{key} answers item {line(twice, 200)} twice")
    strangers = [(each, entry.item) for each, entry in pairs if each.own is None and not fits(each, entry.item, alike)]
    if len(strangers) > (1 - min_agreement) * len(pairs):
        each, item = strangers[0]
        raise ConfigError(
            f"{key} does not answer benchmarks.{catalogue.name}: {len(strangers)} of {len(pairs)} {STRANGE}, such "
            f"as {line(item.id, 200)} with {line(each.answer, 80)!r} "
            f"for {line(item.answer, 80)!r}; name their data with benchmarks=[...], or lower "
            "rescore.min_agreement"
        )
    if strangers:
        print(f"{key}: {len(strangers)} of {len(pairs)} {STRANGE}")
    judged = score is not None or all(each.own is not None for each, _ in pairs)
    return [each.own or record_of(each, entry, key, score) for each, entry in pairs], judged


def located(
    found: Sequence[Foreign], catalogue: Catalogue, alike: Mapping[str, Collection[str]], key: str
) -> list[Entry | None]:
    """The item of each row: by its id where all have one of ours, or by its number in the data; None of a bad row.

    Where either could be, as with an index from 0 for ids from 1, by what makes fewer rows have others' questions or
    answers.

    Args:
        alike: see `asking_alike`.
    """
    by_row = catalogue.by_row()
    ids = [each.own.id if each.own else each.id for each in found]
    rows = [None if each.own else each.row for each in found]
    ways = [
        [table.get(name) for name in names]
        for names, table, bad in ((ids, catalogue.by_id, catalogue.bad), (rows, by_row, catalogue.bad_rows))
        if any(name in table for name in names)
        and all(name in table or (name in bad and not each.own) for name, each in zip(names, found, strict=True))
    ]
    if ways:
        return min(
            ways,
            key=lambda way: sum(
                entry is not None and not fits(each, entry.item, alike) for each, entry in zip(found, way, strict=True)
            ),
        )
    if any(id in catalogue.by_id for id in ids):
        catalogue.check(id for id in ids if id is not None)
    missing = [each for each in found if each.row not in by_row and each.row not in catalogue.bad_rows]
    if not missing:
        bad = next(iter(catalogue.bad.items()), None)
        why = f", such as {line(bad[0], 200)} ({line(bad[1], 200)})" if bad else ""
        raise ConfigError(f"{key} answers none but rows that benchmarks.{catalogue.name} cannot use{why}")
    which = f"row {missing[0].row}" if missing[0].row is not None else f"item {line(str(missing[0].id), 200)}"
    raise ConfigError(
        f"{key} answers {which}, and {len(missing) - 1} more, which benchmarks.{catalogue.name} does not have; "
        "name the data that they are of with benchmarks=[...]"
    )


def asking_alike(catalogue: Catalogue) -> dict[str, set[str]]:
    """By each question, what is right for any of the items that ask it."""
    found: dict[str, set[str]] = {}
    for entry in catalogue.by_id.values():
        found.setdefault(squeezed(entry.item.question), set()).update(right_of(entry.item))
    return found


def fits(each: Foreign, item: Item, alike: Mapping[str, Collection[str]]) -> bool:
    """Whether a row agrees with its item, and not rather with another one that asks the same: of one question for
    all it is the right answer that tells one row from the next."""
    if not agree(each, item):
        return False
    said = squeezed(each.answer)
    return not said or said in right_of(item) or said not in alike[squeezed(item.question)]


def agree(each: Foreign, item: Item) -> bool:
    """Whether a row has its item's question, or its right answer: tools word prompts in their own ways."""
    asked, ours = squeezed(each.question), squeezed(item.question)
    return bool(asked and ours and (asked in ours or ours in asked)) or squeezed(each.answer) in right_of(item)


def right_of(item: Item) -> set[str]:
    """What another tool may write for the item's right answer: an option is its letter or its text."""
    named = item.answer.strip("() ").upper()
    right = {item.answer, *item.labels}
    for letter, choice in zip(ascii_uppercase, item.choices, strict=False):
        right |= {letter, choice} if letter == named or choice == item.answer else set()
    return {squeezed(each) for each in right}


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def record_of(each: Foreign, entry: Entry, key: str, score: str | None) -> Record:
    verdict, reason = (UNGRADED, "") if score is None else judged_by(each, key, score)
    responses = tuple(GradedResponse(text, verdict, None, reason) for text in each.responses)
    item = entry.item
    return Record(
        item.id, item.question, item.answer, dict(item.tags), {"image": responses}, entry.picture, each.origin
    )


def judged_by(each: Foreign, key: str, score: str) -> tuple[str, str]:
    """The verdict that a field of the row says, and its reason.

    Raises:
        ConfigError: there is no such field, it is no grade, or there are several responses.
    """
    value = each.origin["row"].get(score)
    truth = {"true": 1.0, "false": 0.0}.get(str(value).strip().casefold())
    try:
        grade = float(value) if truth is None else truth
    except (TypeError, ValueError):
        known = ", ".join(each.origin["row"])
        raise ConfigError(
            f"rescore.score={score} must be a field of {key} with a number or a truth value, got "
            f"{line(str(value), 80)!r} (fields: {line(known)})"
        ) from None
    if grade not in (0, 1) or len(each.responses) > 1:
        raise ConfigError(f"rescore.score={score} must be 0 or 1 for one response, got {grade:g} in {key}")
    return ("correct" if grade else "wrong"), f"{score} = {value}"
