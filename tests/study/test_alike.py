"""Runs whose difference would not be that of their arms are refused, with the setting and both values."""

import re

import numpy as np
import pytest
from study.fake_runs import ITEMS, write_run

from papo.errors import ConfigError
from papo.study.alike import check_alike
from papo.study.arms import cells
from papo.study.runs import collect


def check(folder, by=(), allow=()):
    check_alike(cells(collect(folder)[0], by), allow)


UNLIKE = {
    "data__val__seed": 7,
    "data__train__size": 50,
    "data__guessable": {"size": 3},
    "model__path": "other",
    "prompt__instruction": "Guess.",
    "val__samples": 8,
    "trainer__max_steps": 80,
}


@pytest.mark.parametrize("setting", UNLIKE)
def test_unlike_runs_are_refused_unless_allowed(tmp_path, setting):
    write_run(tmp_path / "a", "grpo")
    write_run(tmp_path / "b", "papo", **{setting: UNLIKE[setting]})
    key = setting.replace("__", ".")
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)}.* is .* in a and .* in b: .*--allow {re.escape(key)}"):
        check(tmp_path)
    check(tmp_path, allow=[key])
    check(tmp_path, allow=[key.split(".")[0]])


@pytest.mark.parametrize("setting", ["perception_coef", "rollout__temperature", "model__train", "model__lora"])
def test_what_an_arm_does_may_differ(tmp_path, setting):
    write_run(tmp_path / "a", "grpo")
    write_run(tmp_path / "b", "papo", **{setting: 0.5})
    check(tmp_path)


def test_levels_of_a_factor_may_differ_and_runs_within_one_may_not(tmp_path):
    for n, (share, size) in enumerate(((0.0, 100), (1.0, 100), (1.0, 50))):
        settings = {"guessable_share": share, "data__train__guessable_share": share, "data__train__size": size}
        write_run(tmp_path / str(n), f"arm{n}", **settings)
        if n == 1:
            check(tmp_path, by=["guessable_share"])
    with pytest.raises(ConfigError, match=r"^data\.train\.size is 100 in 1 and 50 in 2"):
        check(tmp_path, by=["guessable_share"])


def test_other_items_are_refused_whatever_the_settings_say(tmp_path):
    write_run(tmp_path / "a", "grpo")
    write_run(tmp_path / "b", "papo", items=[*ITEMS[:-1], "another"])
    with pytest.raises(ConfigError, match=r"other items \(held_out, accuracy: 12 and 12, another in one alone"):
        check(tmp_path)


def test_items_that_one_run_could_not_grade_are_no_other_items(tmp_path):
    """A grader of one's own is silent now and then; runs of before have no row then, and know the item from before."""
    before, after = np.zeros(12), np.ones(12)
    values = {(0, "held_out", "accuracy"): before, (40, "held_out", "accuracy"): after}
    write_run(tmp_path / "a", "grpo", values=values)
    write_run(tmp_path / "b", "papo", values={**values, (40, "held_out", "accuracy"): np.array([np.nan, *after[1:]])})
    folder = write_run(tmp_path / "c", "other", values=values)
    lines = (folder / "held_out.jsonl").read_text().splitlines(keepends=True)
    (folder / "held_out.jsonl").write_text("".join(lines[:-1]))
    check(tmp_path)
    (folder / "held_out.jsonl").write_text("".join(line for line in lines if '"item-11"' not in line))
    with pytest.raises(ConfigError, match=r"other items \(held_out, accuracy: 12 and 11, item-11 in one alone"):
        check(tmp_path)


def test_an_item_that_a_run_could_never_grade_is_no_other_item(tmp_path):
    """Runs of before never have it, those of now have it with null."""
    values = {(step, "held_out", "accuracy"): np.array([*np.ones(11), np.nan]) for step in (0, 40)}
    for names in (("a", "b"), ("b", "a")):
        folder = tmp_path / "".join(names)
        write_run(folder / names[0], "grpo", values=values)
        write_run(folder / names[1], "papo", items=ITEMS[:-1])
        check(folder)
    values[40, "held_out", "accuracy"][-1] = 0.0  # it can
    write_run(tmp_path / "c" / "a", "grpo", values=values)
    write_run(tmp_path / "c" / "b", "papo", items=ITEMS[:-1])
    with pytest.raises(ConfigError, match=r"other items \(held_out, accuracy: 12 and 11, item-11 in one alone"):
        check(tmp_path / "c")


def test_other_pictures_are_refused(tmp_path):
    write_run(tmp_path / "a", "grpo")
    write_run(tmp_path / "b", "papo", pictures=["changed", *ITEMS[1:]])
    with pytest.raises(ConfigError, match="item-0 has another picture"):
        check(tmp_path)


def test_items_that_ask_something_else_are_refused(tmp_path):
    """Runs of before do not know what theirs ask."""
    write_run(tmp_path / "a", "grpo", asked=ITEMS)
    write_run(tmp_path / "before" / "b", "papo")
    check(tmp_path)
    write_run(tmp_path / "same" / "c", "papo", asked=ITEMS, seed=1)
    check(tmp_path)
    write_run(tmp_path / "other" / "d", "papo", asked=[*ITEMS[:-1], "changed"], seed=2)
    with pytest.raises(ConfigError, match="item-11 asks something else, or has another right answer, in"):
        check(tmp_path)


def test_what_may_differ_may_have_items_ask_otherwise(tmp_path):
    write_run(tmp_path / "a", "grpo", asked=ITEMS)
    write_run(tmp_path / "b", "papo", asked=[f"{item}!" for item in ITEMS], data__val__template="{question}!")
    check(tmp_path, allow=["data.val.template"])


def test_a_measure_that_one_run_lacks_is_no_difference(tmp_path):
    accuracy = {(40, "held_out", "accuracy"): np.zeros(12)}
    write_run(tmp_path / "a", "grpo", values=accuracy)
    write_run(tmp_path / "b", "papo", values=accuracy | {(40, "held_out", "guessed"): np.zeros(12)})
    check(tmp_path)
