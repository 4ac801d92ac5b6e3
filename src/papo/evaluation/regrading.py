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
    judge: Judge | None = None,
) -> dict[str, list[Record]]:
    """Every model's records of one benchmark with new grades.

    Args:
        rule: that grades; None = the items' own.
        origins: by model.
        judge: is asked what it can say of answers that a rule could not read; None = nobody is.

    Raises:
        ConfigError: an item is not there, is another one by now, or cannot be graded by the rule; or the judge is gone.
    """
    catalogue.check(record.id for records in of_models.values() for record in records)
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
