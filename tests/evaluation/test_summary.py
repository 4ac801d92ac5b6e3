"""From records to estimates, with numbers worked out by hand."""

import dataclasses

import pytest

from papo.evaluation.records import Record
from papo.evaluation.summary import differences, item_values, powers, summarize
from papo.report import GradedResponse


def record(id: str, right: int, blind: int, *, k: int = 4, error: str | None = None, **tags: str) -> Record:
    def responses(right: int) -> tuple[GradedResponse, ...]:
        return tuple(
            GradedResponse(
                "", "correct" if g < right else "wrong", str(g < right), "", error=None if g < right else error
            )
            for g in range(k)
        )

    return Record(id, "?", "", tags, {"image": responses(right), "masked": responses(0), "blind": responses(blind)})


UNSCORABLE = Record(
    "x",
    "?",
    "",
    {},
    {view: (GradedResponse("", "unscorable", None, "no gold"),) * 4 for view in ("image", "masked", "blind")},
)
RECORDS = [
    record("a", 4, 0, family="charts", task="sum"),
    record("b", 2, 2, family="charts", task="max"),
    UNSCORABLE,
    record("c", 0, 1, family="counting", task="sum", error="perception"),
]


def test_every_metric_by_hand():
    means = {name: round(estimate.mean, 4) for name, estimate in summarize(RECORDS).items()}
    assert means == {
        "avg@4": 0.5,
        "avg@4/family=charts": 0.75,
        "avg@4/family=counting": 0.0,
        "avg@4/task=max": 0.5,
        "avg@4/task=sum": 0.5,
        "pass@2": round((1 + (1 - 1 / 6) + 0) / 3, 4),
        "pass@4": round(2 / 3, 4),
        "maj@4": 0.5,  # all, a tie, none
        "masked/avg@4": 0.0,
        "masked/avg@4/family=charts": 0.0,
        "masked/avg@4/family=counting": 0.0,
        "masked/avg@4/task=max": 0.0,
        "masked/avg@4/task=sum": 0.0,
        "blind/avg@4": 0.25,
        "blind/avg@4/family=charts": 0.25,
        "blind/avg@4/family=counting": 0.25,
        "blind/avg@4/task=max": 0.5,
        "blind/avg@4/task=sum": 0.125,
        "vision_dependency": 0.25,
        "vision_dependency/family=charts": 0.5,
        "vision_dependency/family=counting": -0.25,
        "vision_dependency/task=max": 0.0,
        "vision_dependency/task=sum": 0.375,
        "error/perception": round(1 / 3, 4),
        "error/reasoning": 0.0,
        "error/calculation": 0.0,
        "error/format": 0.0,
    }
    assert {estimate.n for name, estimate in summarize(RECORDS).items() if "=" not in name} == {3}


def test_a_dependency_may_be_negative():
    low, high = summarize([record(str(n), 0, n % 3) for n in range(20)])["vision_dependency"].ci95
    assert -1 <= low < high < 0


def test_items_without_a_picture_depend_on_none():
    """They are by themselves, as papo.types.Item.picture has them; of records of before none is known."""
    text_only = [dataclasses.replace(record(id, 4, 4, t="x"), picture=id) for id in "pq"]
    found = summarize([*RECORDS, *text_only])
    assert (found["vision_dependency"].mean, found["vision_dependency"].n) == (0.25, 3)
    assert found["avg@4"].n == 5
    assert "vision_dependency/t=x" not in found
    assert not any(name.startswith("vision_dependency") for name in summarize(text_only))
    unknown = [dataclasses.replace(each, picture=None) for each in text_only]
    for first, second in ((text_only, unknown), (unknown, text_only)):
        both = differences([*RECORDS, *first], [*RECORDS, *second])
        assert both["vision_dependency"].n == 3
        assert "vision_dependency/t=x" not in both


def test_two_dependencies_may_differ_by_more_than_one():
    """Of four items by 2 and one by 1: mean 1.8, s = 0.447214, t(4) = 2.776445, half width 0.555289."""
    first = [record(str(n), 0, 4) for n in range(5)]
    second = [record(str(n), 4, 0 if n else 4) for n in range(5)]
    found = differences(first, second)["vision_dependency"]
    assert found.mean == pytest.approx(1.8)
    assert found.ci95 == pytest.approx((1.8 - 0.555289, 2.0), abs=1e-5)
    assert differences(first, second)["avg@4"].ci95[1] == 1.0


def test_errors_are_measured_where_there_are_any():
    assert not any(name.startswith("error/") for name in summarize(RECORDS[:3]))


def test_one_sample_has_no_majority():
    assert [name for name in summarize([record("a", 1, 0, k=1), record("b", 0, 0, k=1)]) if "=" not in name] == [
        "avg@1", "masked/avg@1", "blind/avg@1", "vision_dependency",
    ]  # fmt: skip


def test_views_that_were_not_asked_for_are_left_out():
    only = [Record(r.id, r.question, r.answer, r.tags, {"image": r.views["image"]}) for r in RECORDS]
    errors = {f"error/{kind}" for kind in ("perception", "reasoning", "calculation", "format")}
    assert {name for name in summarize(only) if "=" not in name} == {"avg@4", "pass@2", "pass@4", "maj@4"} | errors


def test_nothing_that_can_be_graded_gives_nothing():
    assert summarize([UNSCORABLE]) == {}
    assert summarize([]) == {}


def test_differences_are_paired_by_item():
    second = [
        record("a", 4, 1, family="charts", task="sum"),
        record("b", 3, 2, family="charts", task="max"),
        UNSCORABLE,
    ]
    found = differences(RECORDS[:3], second)
    assert found["avg@4"].mean == pytest.approx((0 + 0.25) / 2)
    assert found["blind/avg@4"].mean == pytest.approx((0.25 + 0) / 2)
    assert found["vision_dependency"].mean == pytest.approx((-0.25 + 0.25) / 2)
    assert found["avg@4/task=max"].mean == 0.25
    assert found["avg@4"].n == 2


def test_an_item_that_one_model_s_answers_leave_ungradable_is_compared_in_neither():
    second = [dataclasses.replace(UNSCORABLE, id="a"), *RECORDS[1:3]]
    found = differences(RECORDS[:3], second)
    assert (found["avg@4"].mean, found["avg@4"].n) == (0.0, 1)


def test_only_the_same_items_are_compared():
    with pytest.raises(ValueError, match="same items"):
        differences(RECORDS[:2], RECORDS[1:])


def test_what_is_known_of_other_items_in_each_is_paired_where_both_know_it():
    """Where one knows of a and b and the other of b and c, b is compared; where of none of the same, nothing is."""

    def of(*finished: bool | None) -> list[Record]:
        answers = [(GradedResponse("", "wrong", None, "", finished=each),) for each in finished]
        return [Record(id, "?", "", {}, {"image": answer}) for id, answer in zip("abc", answers, strict=True)]

    found = differences(of(False, True, None), of(None, False, True))["cut_off"]
    assert (found.mean, found.n) == (1.0, 1)
    more = differences(of(True, True, True), of(None, False, True))["cut_off"]
    assert (more.mean, more.n) == (0.5, 2)
    for first, second in (((True, None, None), (None, None, True)), ((True, None, None), (None, None, None))):
        assert "cut_off" not in differences(of(*first), of(*second))


def test_items_that_are_tagged_otherwise_in_one_model_s_records_are_not_of_the_tag():
    first = [record("a", 4, 0, t="x"), record("b", 0, 0, t="x"), record("c", 4, 0, t="y")]
    second = [record("a", 4, 0, t="y"), record("b", 4, 0, t="x"), record("c", 4, 0, t="x")]
    found = differences(first, second)
    assert (found["avg@4/t=x"].mean, found["avg@4/t=x"].n) == (1.0, 1)
    assert "avg@4/t=y" not in found


def test_values_of_items_keep_their_order():
    assert item_values(RECORDS)["avg@4"].values == [1.0, 0.5, 0.0]
    assert item_values(RECORDS)["avg@4/task=sum"].values == [1.0, 0.0]


def test_what_could_be_read_and_what_was_guessed():
    """Guesses only of items whose words suggest something; nothing at all where nobody looked."""

    def answered(id: str, readable: list[bool], guessed: list[bool] | None, masked: list[bool]) -> Record:
        def response(read: bool, guess: bool | None) -> GradedResponse:
            return GradedResponse("", "wrong", None, "", readable=read, guessed=guess)

        seen = tuple(map(response, readable, guessed or [None] * len(readable)))
        return Record(id, "?", "", {}, {"image": seen, "masked": tuple(response(read, None) for read in masked)})

    first = [answered("a", [True, True], [True, False], [False, False]), answered("b", [True, False], None, [True] * 2)]
    means = {name: estimate.mean for name, estimate in summarize(first).items()}
    assert (means["readable"], means["guessed"], means["masked/readable"]) == (0.75, 0.5, 0.5)
    assert summarize(first)["guessed"].n == 1
    second = [answered("a", [True, True], [False, False], [False, True]), answered("b", [True, True], None, [True] * 2)]
    found = {name: estimate.mean for name, estimate in differences(first, second).items()}
    assert (found["readable"], found["guessed"], found["masked/readable"]) == (0.25, -0.5, 0.25)
    assert not {"readable", "guessed", "masked/readable"} & summarize(RECORDS).keys()


def test_how_often_it_is_right_when_it_looks():
    """Of the first item one of two such responses is right; the second has none, the third cannot be told."""

    def answered(id: str, *responses: tuple[bool, bool | None]) -> Record:
        graded = tuple(
            GradedResponse("", "correct" if right else "wrong", None, "", looked=looked) for right, looked in responses
        )
        return Record(id, "?", "", {}, {"image": graded})

    records = [
        answered("a", (True, True), (False, True), (True, False)),
        answered("b", (True, False), (True, False), (False, False)),
        answered("c", (True, None), (True, None), (True, None)),
        answered("d", (True, True), (False, False), (False, False)),
    ]
    found = summarize(records)["right_looking"]
    assert (found.mean, found.n) == (0.75, 2)
    assert "right_looking" not in differences(records, records)
    assert "right_looking" not in summarize(records[1:3])


def test_items_about_one_picture_are_one_observation():
    shared = [dataclasses.replace(each, picture="p") for each in RECORDS[:2]]
    records = [*shared, RECORDS[3], record("d", 4, 4, family="charts", task="sum")]
    found, alone = summarize(records), summarize([*RECORDS[:2], *records[2:]])
    assert (found["avg@4"].mean, found["avg@4"].n, found["avg@4"].pictures) == (alone["avg@4"].mean, 4, 3)
    assert alone["avg@4"].pictures is None
    assert found["avg@4/task=sum"].pictures is None  # three items about three
    assert found["avg@4"].ci95 != alone["avg@4"].ci95
    other = [record(each.id, 1, 0, **each.tags) for each in records]
    assert differences(records, other)["avg@4"].pictures == 3
    assert differences(records, other)["vision_dependency"].pictures == 3


def test_what_could_be_seen_of_a_difference():
    """Of the differences 0, 1/4, 0 between the items: variance (1/96) / 3, deviation 1 / sqrt(48)."""
    second = [record("a", 4, 1), record("b", 3, 2), record("c", 0, 1)]
    found = powers([record("a", 4, 0), record("b", 2, 2), record("c", 0, 1)], second)
    assert list(found) == ["avg@4", "masked/avg@4", "blind/avg@4"]
    assert (found["avg@4"].deviation, found["avg@4"].n) == (pytest.approx(48**-0.5), 3)
    assert not found["masked/avg@4"].known


def test_shares_of_different_numbers_of_answers_are_named_so():
    first, second = [record("a", 1, 0, k=4, t="x")], [record("a", 1, 0, k=1, t="x")]
    found = differences(first, second)
    assert found["avg@1 - avg@4"].mean == found["avg@1 - avg@4/t=x"].mean == 0.75
    assert "avg@4" not in found
    assert "avg@1" not in found


def test_what_was_cut_off_by_hand():
    """Of items whose responses say it; of others there is nothing to say."""

    def of(id, *finished):
        return Record(
            id, "?", "", {}, {"image": tuple(GradedResponse("", "wrong", None, "", finished=f) for f in finished)}
        )

    found = summarize([of("a", True, False), of("b", False, False), of("c", None, None)])["cut_off"]
    assert (found.mean, found.n) == (0.75, 2)
    assert "cut_off" not in summarize([of("a", None, None)])
