"""From records to estimates: what one model did on a benchmark, and how two models differ on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from papo.evaluation.metrics import majority, pass_at
from papo.evaluation.records import Record
from papo.lab.mistakes import KINDS
from papo.report import GradedResponse
from papo.statistics import Estimate, Power, mean_difference, mean_over_items


class OfItems(NamedTuple):
    """A metric of each item that has it, in the order of the items."""

    values: list[float]
    pictures: list[str]  # what each item is about
    ids: list[str]

    @staticmethod
    def of(records: Iterable[Record], measure: Callable[[Record], float | None]) -> OfItems:
        known = [(value, record) for record in records if (value := measure(record)) is not None]
        return OfItems(
            [value for value, _ in known],
            [record.picture or record.id for _, record in known],
            [record.id for _, record in known],
        )

    def only(self, ids: Collection[str]) -> OfItems:
        """Those of these items alone."""
        kept = [n for n, id in enumerate(self.ids) if id in ids]
        return OfItems(*([of[n] for n in kept] for of in self))


Values = dict[str, OfItems]

# A difference of two shares, so neither it nor its interval stays between 0 and 1; of two models it differs by up to 2.
DEPENDENCY = "vision_dependency"
CUT_OFF = "cut_off"


def summarize(records: Sequence[Record]) -> dict[str, Estimate]:
    """Every metric of one model on one benchmark, over the items that can be graded; empty where there are none.

    avg@k           share of right responses, mean over items
    pass@m          probability that one of m responses is right, for m = 2, 4, ... up to k
    maj@k           share of items whose most frequent answer is right
    masked/avg@k    the same with the image corrupted, blind/avg@k with every patch black
    vision_dependency   avg@k - blind/avg@k, paired by item, over items with a picture
    readable        share of responses in the format that was asked for, masked/readable of those to masked pictures
    cut_off         share of responses that rollout.max_new_tokens cut off, over items of which that is known
    guessed         share of responses that name what the words suggest, over items whose words suggest something
    right_looking   share of right ones of the responses that name no guess against the picture, over items with any
                    (lab only)
    error/...       share of responses that are wrong in this way (lab only)
    .../tag=value   over the items with that tag
    """
    # Not among item_values: which items have such a response depends on the model, so that two cannot be paired.
    looking = OfItems.of((record for record in records if record.scorable), _right_looking)
    return {
        name: mean_difference([0.0] * len(values), values, pictures)
        if name.startswith(DEPENDENCY)
        else mean_over_items(values, pictures)
        for name, (values, pictures, _) in (item_values(records) | {"right_looking": looking}).items()
        if values
    }


def differences(first: Sequence[Record], second: Sequence[Record]) -> dict[str, Estimate]:
    """Every metric of the second model less the first's, paired by item; over items that can be graded in both.

    Raises:
        ValueError: they did not answer the same items.
    """
    return {
        name: mean_difference(a.values, b.values, a.pictures, bound=2.0 if name.startswith(DEPENDENCY) else 1.0)
        for name, (a, b) in paired(first, second).items()
    }


def powers(first: Sequence[Record], second: Sequence[Record]) -> dict[str, Power]:
    """What can be seen of a difference of each share of right responses, over all items; raises as `differences`."""
    return {
        name: Power.of(a.values, b.values, a.pictures)
        for name, (a, b) in paired(first, second).items()
        if "avg@" in name and "=" not in name
    }


def paired(first: Sequence[Record], second: Sequence[Record]) -> dict[str, tuple[OfItems, OfItems]]:
    """Each metric of both, of the items that have it in both, in the same order; raises as `differences`."""
    if [record.id for record in first] != [record.id for record in second]:
        raise ValueError("two models can be compared only on the same items")
    # A grader of one's own may find an item ungradable in one model's responses alone.
    both = {record.id for record in first if record.scorable} & {record.id for record in second if record.scorable}
    # Another tool's records do not know what an item is about; the other model's tell.
    seen = {record.id: record.picture for record in (*second, *first) if record.picture is not None}
    a, b = (
        item_values([replace(record, picture=seen.get(record.id)) for record in records if record.id in both])
        for records in (first, second)
    )
    found = {name: (a[name], b[name]) for name in a if name in b}
    k, other = _samples(first), _samples(second)
    if k != other:  # one share of right responses less another is as good a difference, but has to be called so
        for name in a:
            view, avg, rest = name.partition(f"avg@{k}")
            if avg and (its := f"{view}avg@{other}{rest}") in b:
                found[f"{view}avg@{other} - avg@{k}{rest}"] = (a[name], b[its])
    # One model's records may not know a value, or a tag, that the other's do.
    pairs = {name: (x.only(set(y.ids)), y.only(set(x.ids))) for name, (x, y) in found.items()}
    return {name: pair for name, pair in pairs.items() if pair[0].values}


def item_values(records: Sequence[Record]) -> Values:
    """Each metric of each item that can be graded, in the order of the items; tags behind their metric."""
    scorable = [record for record in records if record.scorable]
    tags = sorted({(tag, value) for record in scorable for tag, value in record.tags.items()})
    values: Values = {}
    for name, measure in _metrics(records).items():
        values[name] = OfItems.of(scorable, measure)
        if "avg@" in name or name == DEPENDENCY:
            for tag, value in tags:
                of_tag = (record for record in scorable if record.tags.get(tag) == value)
                values[f"{name}/{tag}={value}"] = OfItems.of(of_tag, measure)
    return values


def _metrics(records: Sequence[Record]) -> dict[str, Callable[[Record], float | None]]:
    k = _samples(records)
    metrics: dict[str, Callable[[Record], float | None]] = {f"avg@{k}": lambda record: record.accuracy("image")}
    m = 2
    while m <= k:
        metrics[f"pass@{m}"] = lambda record, m=m: pass_at(m, sum(r.correct for r in record.views["image"]), k)
        m *= 2
    if k > 1:
        metrics[f"maj@{k}"] = _majority
    for view in records[0].views if records else ():
        if view != "image":
            metrics[f"{view}/avg@{k}"] = lambda record, view=view: record.accuracy(view)
    if records and "blind" in records[0].views:
        metrics[DEPENDENCY] = _dependency
    for name, view, field in (
        ("readable", "image", "readable"),
        ("masked/readable", "masked", "readable"),
        ("guessed", "image", "guessed"),
    ):
        told = [getattr(response, field) for record in records for response in record.views.get(view, ())]
        if any(value is not None for value in told):
            metrics[name] = lambda record, view=view, field=field: _share_of(record.views[view], field)
    if any(response.finished is not None for record in records for response in record.views["image"]):
        metrics[CUT_OFF] = _cut_off
    if any(response.error for record in records for response in record.views["image"]):
        for kind in KINDS:
            metrics[f"error/{kind}"] = lambda record, kind=kind: _share_of_error(record, kind)
    return metrics


def _samples(records: Sequence[Record]) -> int:
    return len(records[0].views["image"]) if records else 0


def _majority(record: Record) -> float:
    responses = record.views["image"]
    return majority([r.answer for r in responses], [r.correct for r in responses])


def _share_of(responses: Sequence[GradedResponse], field: str) -> float | None:
    """None where it is not known of the item."""
    values = [getattr(response, field) for response in responses]
    return None if None in values else sum(values) / len(values)


def _cut_off(record: Record) -> float | None:
    finished = _share_of(record.views["image"], "finished")
    return None if finished is None else 1 - finished


def _dependency(record: Record) -> float | None:
    """None of an item without a picture, which is by itself (papo.types.Item.picture)."""
    return None if record.picture == record.id else record.accuracy("image") - record.accuracy("blind")


def _right_looking(record: Record) -> float | None:
    found = [response.correct for response in record.views["image"] if response.looked]
    return sum(found) / len(found) if found else None


def _share_of_error(record: Record, kind: str) -> float:
    responses = record.views["image"]
    return sum(response.error == kind for response in responses) / len(responses)
