"""New grades of saved responses: what does not depend on grades stays as it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tqdm import tqdm

from papo.errors import ConfigError
from papo.evaluation.answering import graded
from papo.evaluation.catalogue import Catalogue
from papo.evaluation.judge import Judge
from papo.evaluation.measure import graded_responses
from papo.evaluation.records import Record
from papo.evaluation.saved import Saved
from papo.report import GradedResponse
from papo.types import Item
from papo.visible import line


def regraded(
    of_models: Mapping[str, Sequence[Record]],
    catalogue: Catalogue,
    rule: str | None,
    origins: Mapping[str, Saved],
    min_agreement: float,
    judge: Judge | None = None,
) -> dict[str, list[Record]]:
    """Every model's records of one benchmark with new grades.

    Args:
        rule: that grades; None = the items' own.
        origins: by model.
        min_agreement: share of the items, in [0, 1], that must show the pictures that were answered.
        judge: is asked what it can say of answers that a rule could not read; None = nobody is.

    Raises:
        ConfigError: an item is not there, is another one by now, or cannot be graded by the rule; or the judge is gone.
    """
    catalogue.check(record.id for records in of_models.values() for record in records)
    for records in of_models.values():
        check_pictures(records, catalogue, min_agreement)
    items = {id: entry.item for id, entry in catalogue.by_id.items()}
    if rule is not None:
        items = {id: replace(item, rule=rule) for id, item in items.items()}
    found: dict[str, list[Record]] = {}
    for model, records in of_models.items():
        title = catalogue.name if len(of_models) == 1 else f"{model}: {catalogue.name}"
        found[model] = [
            regrade(record, items[record.id], catalogue.name, origins[model].instruction, judge)
            for record in tqdm(records, desc=title, unit="item")
        ]
    return found


def check_pictures(records: Sequence[Record], catalogue: Catalogue, min_agreement: float) -> None:
    """Whether the items show what was answered: of one question for all rows the picture alone tells their order.

    Pictures that no item shows may be the same ones in other files; those of other items are the sign of another order.

    Raises:
        ConfigError: too many items show another picture by now.
    """
    now = {id: entry.picture for id, entry in catalogue.by_id.items()}
    known = [record for record in records if record.picture is not None and now[record.id] is not None]
    others = [record for record in known if record.picture != now[record.id]]
    shown_by = {picture: id for id, picture in now.items()}
    moved = [record for record in others if record.picture in shown_by]
    if not others:
        return
    said = f"benchmarks.{catalogue.name}: {len(others)} of {len(known)} items show another picture than was answered"
    if len(others) > (1 - min_agreement) * len(known):
        such = f"such as {line(others[0].id, 200)}"
        if moved:
            such = f"such as {line(moved[0].id, 200)}, whose is that of {line(shown_by[moved[0].picture], 200)} by now"
        raise ConfigError(
            f"{said}, {such}; name the data that the answers are of with benchmarks=[...], rows in the order of then, "
            "or lower rescore.min_agreement where they are the same pictures, written anew"
        )
    print(said)


def regrade(record: Record, item: Item, name: str, instruction: str | None, judge: Judge | None = None) -> Record:
    """The record with new grades of the same responses; what does not depend on grades stays as it was measured.

    Raises:
        ConfigError: the item asks something else by now, or its rule does not know such an answer.
    """
    if item.question != record.question:
        raise ConfigError(
            f"benchmarks.{name}: item {line(item.id, 200)} asks something else than what was answered; name the data "
            "that the answers are of with benchmarks=[...]"
        )
    views = {}
    for view, responses in record.views.items():
        try:
            answered = graded(item, [response.text for response in responses])
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"rescore.rule={item.rule} cannot grade {line(item.id, 200)}: {error}") from error
        if judge is not None:
            pairs = zip(answered.responses, answered.grades, strict=True)
            answered = replace(answered, grades=tuple(judge(item, text, grade) for text, grade in pairs))
        pairs = zip(graded_responses(item, answered, instruction), responses, strict=True)
        views[view] = tuple(with_grade(old, new) for new, old in pairs)
    return replace(record, answer=item.answer, views=views)


def with_grade(old: GradedResponse, new: GradedResponse) -> GradedResponse:
    """The old response with the new one's grade, and with what was not looked at before."""
    also = {name: getattr(new, name) for name in ("readable", "guessed", "looked") if getattr(old, name) is None}
    return replace(old, verdict=new.verdict, answer=new.answer, reason=new.reason, error=new.error, **also)
