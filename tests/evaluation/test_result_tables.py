"""Estimates as tables."""

from papo.evaluation.result_tables import shortened, tables, to_markdown
from papo.report import ReportTable
from papo.statistics import Estimate, Power

HALF, ALL = Estimate(0.5, (0.25, 0.75), 3), Estimate(1.0, (0.9, 1.0), 2)
METRICS = {
    "avg@8": HALF,
    "avg@8/family=charts": ALL,
    "masked/avg@8": HALF,
    "masked/avg@8/family=charts": HALF,
    "blind/avg@8": ALL,
    "blind/avg@8/family=charts": HALF,
    "vision_dependency": HALF,
    "vision_dependency/family=charts": HALF,
    "error/perception": HALF,
}


def test_one_model():
    overall, by_tag, wrong = tables("lab", {"a": METRICS}, {})
    assert (overall.title, overall.columns) == ("lab: accuracy", ("metric", "a"))
    assert [row[0] for row in overall.rows] == ["avg@8", "masked/avg@8", "blind/avg@8", "vision_dependency"]
    assert overall.rows[2] == ("blind/avg@8", "100.0 [90.0, 100.0]")
    assert overall.note.endswith("3 items")
    assert by_tag.columns == ("group", "avg@8", "masked/avg@8", "blind/avg@8", "items")
    assert by_tag.rows == (("family=charts", "100.0 [90.0, 100.0]", "50.0 [25.0, 75.0]", "50.0 [25.0, 75.0]", "2"),)
    assert wrong.rows[0] == ("error/perception", "50.0 [25.0, 75.0]")
    assert wrong.rows[1] == ("error/reasoning", "")


def test_two_models_and_their_difference():
    found = tables("lab", {"a": METRICS, "b": METRICS}, {"b - a": METRICS})
    assert [table.title for table in found] == [
        "lab: accuracy", "lab: by tag", "lab: what went wrong", "lab: differences",
    ]  # fmt: skip
    assert found[1].columns[:3] == ("group", "a avg@8", "a masked/avg@8")
    assert len(found[1].columns) == len(found[1].rows[0]) == 8
    assert found[3].columns == ("metric", "b - a")
    assert not any("=" in row[0] for row in found[3].rows)


def test_models_that_answered_more_and_less_often():
    """Predictions of another tool are one to an item, and of no other view."""
    less = {"avg@1": HALF, "avg@1/family=charts": ALL}
    accuracy, by_tag, *_ = tables("lab", {"a": METRICS, "b": less}, {})
    assert ("avg@1", "", "50.0 [25.0, 75.0]") in accuracy.rows
    assert by_tag.columns[-2:] == ("b avg@1", "items")
    assert by_tag.rows[0][-2:] == ("100.0 [90.0, 100.0]", "2")
    _, by_tag, *_ = tables("lab", {"b": less, "a": METRICS}, {})
    assert by_tag.rows[0][1:] == ("100.0 [90.0, 100.0]", "100.0 [90.0, 100.0]", *["50.0 [25.0, 75.0]"] * 2, "2")


def test_what_went_wrong_is_told_where_the_first_model_made_no_mistake():
    right = {name: value for name, value in METRICS.items() if not name.startswith("error/")}
    found = tables("lab", {"a": right, "b": METRICS}, {})
    assert found[-1].title == "lab: what went wrong"
    assert found[-1].rows[0] == ("error/perception", "", "50.0 [25.0, 75.0]")


def test_nothing_that_can_be_graded_is_said():
    (table,) = tables("lab", {"a": {}}, {})
    assert table.note == "no item can be graded"


def test_markdown():
    table = ReportTable("lab: accuracy", ("metric", "a|b"), (("avg@8", "50.0"), ("x|y", None)), "a note")
    assert to_markdown(table).splitlines() == [
        "### lab: accuracy",
        "",
        "| metric | a\\|b |",
        "| ------ | ---- |",
        "| avg@8  | 50.0 |",
        "| x\\|y   |      |",
        "",
        "a note.",
    ]


def test_what_data_and_models_call_themselves_cannot_act_on_a_terminal_nor_break_a_table():
    hostile = "\x1b[2J\x07\nred\u202e"
    table = ReportTable(hostile, ("group", hostile), ((hostile, "50.0"),), "a note")
    text = to_markdown(table)
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 7
    assert "␛[2J␇␊red⟨U+202E⟩" in text


def test_intervals_over_pictures_and_a_part_of_a_benchmark_are_said():
    shared = {"avg@8": Estimate(0.5, (0.25, 0.75), 3, pictures=2)}
    (overall,) = tables("lab", {"a": shared}, {}, limit=3)
    assert overall.note.endswith("; 3 items about 2 pictures, over which intervals are; of the first 3 rows alone")
    assert "first" not in tables("lab", {"a": METRICS}, {})[0].note


def test_what_differences_take_is_said_beside_them():
    power = {"b - a": {"avg@8": Power(0.5, 100), "blind/avg@8": Power(0.0, 100)}}
    *_, differences, seen = tables("lab", {"a": METRICS, "b": METRICS}, {"b - a": METRICS}, power)
    assert differences.title == "lab: differences"
    assert seen.columns == ("difference", "metric", "seen, points", "items for 1", "items for 2", "items for 5")
    assert seen.rows[0] == ("b - a", "avg@8", "14.1", "19,624", "4,908", "787")
    assert seen.rows[1] == ("b - a", "blind/avg@8", "unknown", "unknown", "unknown", "unknown")


def test_a_long_text_is_cut_off_in_a_cell():
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 60 + " …"
