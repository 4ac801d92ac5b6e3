"""Estimates as tables."""

from papo.evaluation.result_tables import shortened, tables, to_markdown
from papo.evaluation.results import missing
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
        "lab: accuracy", "lab: by tag, a", "lab: by tag, b", "lab: what went wrong", "lab: differences",
    ]  # fmt: skip
    assert found[2].columns == ("group", "avg@8", "masked/avg@8", "blind/avg@8", "items")
    assert found[4].columns == ("metric", "b - a")
    assert not any("=" in row[0] for row in found[4].rows)


def test_what_was_cut_off_is_shown_where_anything_was():
    none, some = METRICS | {"cut_off": Estimate(0.0, (0.0, 0.1), 3)}, METRICS | {"cut_off": HALF}
    overall, *_, differences = tables("lab", {"a": none, "b": none}, {"a - b": none})
    assert "cut_off" not in [row[0] for row in (*overall.rows, *differences.rows)]
    overall, *_, differences = tables("lab", {"a": none, "b": some}, {"a - b": some})
    assert ("cut_off", "0.0 [0.0, 10.0]", "50.0 [25.0, 75.0]") in overall.rows
    assert "cut_off" in [row[0] for row in differences.rows]


def test_models_that_answered_another_number_of_times_under_other_views():
    """As those of two evaluations, or of another tool, which are compared by rescore=DIR."""
    other = {"avg@1": HALF, "avg@1/family=charts": ALL}
    difference = {"avg@8 - avg@1": HALF}
    found = {table.title: table for table in tables("lab", {"a": METRICS, "b": other}, {"a - b": difference})}
    assert ("avg@8", "50.0 [25.0, 75.0]", "") in found["lab: accuracy"].rows
    assert ("avg@1", "", "50.0 [25.0, 75.0]") in found["lab: accuracy"].rows
    assert found["lab: by tag, b"].rows == (("family=charts", "100.0 [90.0, 100.0]", "2"),)
    assert found["lab: differences"].rows == (("avg@8 - avg@1", "50.0 [25.0, 75.0]"),)


def test_two_models_named_by_their_folders_fit_a_terminal():
    name = "outputs/papo_qwen/2026-01-01_12-00-00"
    power = {f"{name} - lab_qwen": {"masked/avg@8": Power(0.5, 100)}}
    found = tables("lab", {name: METRICS, "lab_qwen": METRICS}, {f"{name} - lab_qwen": METRICS}, power)
    assert max(len(row) for table in found for row in to_markdown(table).splitlines()[2:-2]) <= 100


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
    results = {"unscorable": {"a": "no rule"}, "skipped": 2}
    (overall, *_) = tables("lab", {"a": METRICS}, {}, missing=missing(results))
    assert overall.note.endswith("; 3 items; 1 more unscorable; 2 bad rows left out (skipped.jsonl)")
    assert missing({"unscorable": {}, "skipped": 0}) == missing({"unscorable": {}}) == []


def test_what_differences_take_is_said_beside_them():
    power = {"b - a": {"avg@8": Power(0.5, 100), "blind/avg@8": Power(0.0, 100)}}
    *_, differences, seen = tables("lab", {"a": METRICS, "b": METRICS}, {"b - a": METRICS}, power)
    assert differences.title == "lab: differences"
    assert seen.title == "lab: what differences can be seen, b - a"
    assert seen.columns == ("metric", "seen, points", "items for 1", "items for 2", "items for 5")
    assert seen.rows[0] == ("avg@8", "14.1", "19,624", "4,908", "787")
    assert seen.rows[1] == ("blind/avg@8", "unknown", "unknown", "unknown", "unknown")


def test_a_long_text_is_cut_off_in_a_cell():
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 60 + " …"
