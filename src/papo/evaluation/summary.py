"""From records to estimates: what one model did on a benchmark, and how two models differ on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from papo.evaluation.metrics import majority, pass_at
from papo.evaluation.records import Record
from papo.lab.mistakes import KINDS
from papo.report import GradedResponse
from papo.statistics import Estimate, mean_difference, mean_over_items

Values = dict[str, list[float]]

# A difference of two shares, so neither it nor its interval stays between 0 and 1.
DEPENDENCY = "vision_dependency"


def summarize(records: Sequence[Record]) -> dict[str, Estimate]:
    """Every metric of one model on one benchmark, over the items that can be graded; empty where there are none.

    avg@k           share of right responses, mean over items
    pass@m          probability that one of m responses is right, for m = 2, 4, ... up to k
    maj@k           share of items whose most frequent answer is right
    masked/avg@k    the same with the image corrupted, blind/avg@k with every patch black
    vision_dependency   avg@k - blind/avg@k, paired by item
    readable        share of responses in the format that was asked for, masked/readable of those to masked pictures
    guessed         share of responses that name what the words suggest, over items whose words suggest something
    right_looking   share of right ones of the responses that name no guess against the picture, over items with any
                    (lab only)
    error/...       share of responses that are wrong in this way (lab only)
    .../tag=value   over the items with that tag
    """
    # Not among item_values: which items have such a response depends on the model, so that two cannot be paired.
    looking = [share for record in records if record.scorable and (share := _right_looking(record)) is not None]
    return {
        name: mean_difference([0.0] * len(of_items), of_items)
        if name.startswith(DEPENDENCY)
        else mean_over_items(of_items)
        for name, of_items in (item_values(records) | {"right_looking": looking}).items()
        if of_items
    }


def differences(first: Sequence[Record], second: Sequence[Record]) -> dict[str, Estimate]:
    """Every metric of the second model less the first's, paired by item; over items that can be graded in both.

    Raises:
        ValueError: they did not answer the same items.
    """
    if [record.id for record in first] != [record.id for record in second]:
        raise ValueError("two models can be compared only on the same items")
    # A grader of one's own may find an item ungradable in one model's responses alone.
    both = {record.id for record in first if record.scorable} & {record.id for record in second if record.scorable}
    a, b = (item_values([record for record in records if record.id in both]) for records in (first, second))
    (k, of_a), (other, of_b) = ((_samples(records), values) for records, values in ((first, a), (second, b)))
    found = {name: mean_difference(of_a[name], of_b[name]) for name in of_a if of_a[name] and name in of_b}
    if k != other:  # one share of right responses less another is as good a difference, but has to be called so
        for name in of_a:
            view, avg, rest = name.partition(f"avg@{k}")
            if avg and of_a[name] and (its := f"{view}avg@{other}{rest}") in of_b:
                found[f"{view}avg@{other} - avg@{k}{rest}"] = mean_difference(of_a[name], of_b[its])
    return found


def item_values(records: Sequence[Record]) -> Values:
    """Each metric of each item that can be graded, in the order of the items; tags behind their metric."""
    scorable = [record for record in records if record.scorable]
    tags = sorted({(tag, value) for record in scorable for tag, value in record.tags.items()})
    values: Values = {}
    for name, measure in _metrics(records).items():
        values[name] = [value for record in scorable if (value := measure(record)) is not None]
        if "avg@" in name or name == DEPENDENCY:
            for tag, value in tags:
                values[f"{name}/{tag}={value}"] = [
                    measure(record) for record in scorable if record.tags.get(tag) == value
                ]
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
        metrics[DEPENDENCY] = lambda record: record.accuracy("image") - record.accuracy("blind")
    for name, view, field in (
        ("readable", "image", "readable"),
        ("masked/readable", "masked", "readable"),
        ("guessed", "image", "guessed"),
    ):
        told = [getattr(response, field) for record in records for response in record.views.get(view, ())]
        if any(value is not None for value in told):
            metrics[name] = lambda record, view=view, field=field: _share_of(record.views[view], field)
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


def _right_looking(record: Record) -> float | None:
    found = [response.correct for response in record.views["image"] if response.looked]
    return sum(found) / len(found) if found else None


def _share_of_error(record: Record, kind: str) -> float:
    responses = record.views["image"]
    return sum(response.error == kind for response in responses) / len(responses)
