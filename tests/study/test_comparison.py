"""Means, pairs, what is missing, and what a run's curve says."""

import numpy as np
import pytest
from study.fake_runs import ITEMS, write_run

from papo.errors import ConfigError
from papo.statistics import mean_difference, mean_over_items
from papo.study.arms import cells
from papo.study.comparison import compare
from papo.study.crossed import crossed
from papo.study.measures import first_reaching
from papo.study.power import detectable, pictures_needed, seeds_needed, told
from papo.study.runs import collect

LEVELS = np.linspace(0, 1, 12)


def compared(folder, baseline="grpo", by=(), reach=()):
    return compare(cells(collect(folder)[0], by), baseline, reach)


def at_end(values, measure="accuracy", of_set="held_out"):
    return {(40, of_set, measure): np.asarray(values, dtype=float)}


def test_differences_are_paired_by_seed_and_item(tmp_path):
    """Seeds and items differ by far more than the arms do; the pairs agree, and leave the doubt of so few items."""
    for seed in (0, 1, 2):
        write_run(tmp_path / f"g{seed}", "grpo", seed, values=at_end(0.5 * LEVELS + 0.1 * seed))
        write_run(tmp_path / f"p{seed}", "papo", seed, values=at_end(0.5 * LEVELS + 0.1 * seed + 0.05))
    found = compared(tmp_path)
    effect = found.differences["papo"]["accuracy"]
    assert effect.mean == pytest.approx(0.05)
    assert effect.ci95 == pytest.approx(mean_difference([0] * 12, [0.05] * 12).ci95)
    assert effect.seeds == 3
    assert found.arms["papo"]["accuracy"].mean == pytest.approx(0.5 * 0.5 + 0.1 + 0.05)
    assert "grpo" not in found.differences


def test_items_are_paired_by_their_name_and_not_by_their_place(tmp_path):
    write_run(tmp_path / "g", "grpo", values=at_end(LEVELS))
    write_run(tmp_path / "p", "papo", values=at_end(LEVELS[::-1]), items=ITEMS[::-1], pictures=ITEMS[::-1])
    effect = compared(tmp_path).differences["papo"]["accuracy"]
    assert (effect.mean, effect.parts.var_picture, effect.parts.var_rest) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize("seeds", [1, 2])
def test_items_that_agree_leave_the_doubt_that_an_evaluation_leaves(tmp_path, seeds):
    """Of shares, of what training changed, and of the differences of either; however many seeds there are."""
    ones, zeros = np.ones(12), np.zeros(12)
    for seed in range(seeds):
        before = {(0, "held_out", "accuracy"): zeros}
        write_run(tmp_path / f"g{seed}", "grpo", seed, values=before | at_end(zeros))
        write_run(tmp_path / f"p{seed}", "papo", seed, values=before | at_end(ones))
    found = compared(tmp_path)
    for arm, values in (("grpo", zeros), ("papo", ones)):
        assert found.arms[arm]["accuracy"].ci95 == pytest.approx(mean_over_items(values).ci95)
        assert found.curves[arm]["accuracy"][40].ci95 == pytest.approx(mean_over_items(values).ci95)
        assert found.arms[arm]["accuracy_gain"].ci95 == pytest.approx(mean_difference(zeros, values).ci95)
    difference = found.differences["papo"]
    assert difference["accuracy"].ci95 == pytest.approx(mean_difference(zeros, ones).ci95)
    assert difference["accuracy_gain"].ci95 == pytest.approx(mean_difference(zeros, ones, bound=2).ci95)


def test_no_interval_leaves_what_its_values_can_be(tmp_path):
    """Two seeds of each arm, far apart, beside what two seeds say of seconds, which nothing bounds."""
    for name, seed, share in (("grpo", 0, 0.1), ("grpo", 1, 0.8), ("papo", 0, 0.9), ("papo", 1, 0.4)):
        values = {(0, "held_out", "accuracy"): 1 - LEVELS} | at_end((share > LEVELS).astype(float))
        metrics = {"seconds_per_step": 1 + seed}
        write_run(tmp_path / f"{name}{seed}", name, seed, values=values, metrics=metrics)
    found = compared(tmp_path)
    arm, difference = found.arms["papo"], found.differences["papo"]
    low, high = arm["accuracy"].ci95
    assert 0 <= low < 0.1
    assert 0.9 < high <= 1
    assert arm["accuracy_gain"].ci95 == difference["accuracy"].ci95 == (-1, 1)
    assert difference["accuracy_gain"].ci95 == (-2, 2)
    assert arm["seconds_per_step"].ci95[0] < 0


def test_one_picture_says_nothing_about_others(tmp_path):
    for name, seed in (("grpo", 0), ("grpo", 1), ("papo", 0)):
        write_run(tmp_path / f"{name}{seed}", name, seed, items=["a"])
    found = compared(tmp_path)
    assert found.arms["grpo"]["accuracy"].ci95 == found.arms["papo"]["accuracy"].ci95 == (0, 1)
    assert found.differences["papo"]["accuracy"].ci95 == (-1, 1)


def test_items_of_one_picture_are_one_observation(tmp_path):
    pictures = [f"picture-{n // 3}" for n in range(12)]
    for n, seed in enumerate((0, 1)):
        write_run(tmp_path / str(n), "grpo", seed, values=at_end(LEVELS), pictures=pictures)
    parts = compared(tmp_path).arms["grpo"]["accuracy"].parts
    in_order = np.array([LEVELS[ITEMS.index(item)] for item in sorted(ITEMS)])
    clusters = np.array([ITEMS.index(item) // 3 for item in sorted(ITEMS)])
    assert parts == crossed(np.stack([in_order] * 2), clusters)
    assert parts.pictures == 4


def test_seeds_without_a_partner_are_named_and_not_compared(tmp_path):
    for name, seed, level in (("grpo", 0, 0.2), ("grpo", 1, 0.2), ("papo", 0, 0.3), ("papo", 2, 0.9)):
        write_run(tmp_path / f"{name}{seed}", name, seed, values=at_end(np.full(12, level)))
    found = compared(tmp_path)
    assert found.differences["papo"]["accuracy"].mean == pytest.approx(0.1)
    assert found.differences["papo"]["accuracy"].seeds == 1
    assert found.missing == ["papo has no seed 1, grpo has", "grpo has no seed 2, papo has"]


def test_no_seed_in_common_is_refused(tmp_path):
    write_run(tmp_path / "a", "grpo", 0)
    write_run(tmp_path / "b", "papo", 1)
    with pytest.raises(ConfigError, match="papo and grpo have no seed in common"):
        compared(tmp_path)


def test_an_unknown_baseline_is_refused_with_the_arms(tmp_path):
    write_run(tmp_path / "a", "grpo")
    write_run(tmp_path / "b", "papo x")
    with pytest.raises(ConfigError, match=r"^--baseline grpp is no arm; arms are grpo, 'papo x'$"):
        compared(tmp_path, "grpp")


def test_each_level_is_compared_with_the_baseline_there(tmp_path):
    for share in (0.0, 1.0):
        for name, gain in (("grpo", 0.0), ("papo", 0.1 + share / 10)):
            values = at_end(np.full(12, share / 2 + gain))
            write_run(tmp_path / f"{name}{share}", name, values=values, guessable_share=share)
    found = compared(tmp_path, by=["guessable_share"]).differences
    means = {label: effects["accuracy"].mean for label, effects in found.items()}
    assert means == pytest.approx({"papo guessable_share=0.0": 0.1, "papo guessable_share=1.0": 0.2})


def test_a_level_without_the_baseline_is_refused(tmp_path):
    write_run(tmp_path / "a", "grpo", guessable_share=0.0)
    write_run(tmp_path / "b", "papo", guessable_share=1.0)
    with pytest.raises(ConfigError, match=r"papo guessable_share=1\.0 has no run of the baseline grpo"):
        compared(tmp_path, by=["guessable_share"])


def test_in_a_part_of_a_study_what_has_no_partner_is_named(tmp_path):
    """A level without the baseline, and one where other seeds of it are finished."""
    for name, seed, share in (("grpo", 0, 0.0), ("papo", 0, 0.0), ("papo", 0, 0.5), ("grpo", 0, 1.0), ("papo", 1, 1.0)):
        write_run(tmp_path / f"{name}{seed}{share}", name, seed, guessable_share=share)
    found = compare(cells(collect(tmp_path)[0], ["guessable_share"]), "grpo", partial=True)
    assert list(found.differences) == list(found.baselines) == ["papo guessable_share=0.0"]
    assert len(found.arms) == len(found.curves) == 5
    assert found.missing == [
        "papo guessable_share=0.5 has no run of the baseline grpo beside it: it is compared with nothing",
        "papo guessable_share=1.0 and grpo guessable_share=1.0 have no seed in common: it is compared with nothing",
    ]


def test_every_measure_of_the_end_is_a_metric_and_gains_are_too(tmp_path):
    values = {(0, "held_out", "accuracy"): np.full(12, 0.25), (20, "held_out", "blind"): np.full(12, 0.9)}
    values |= at_end(np.full(12, 0.75)) | at_end(np.full(12, 0.5), "blind")
    values |= at_end(np.full(12, 0.6), of_set="guessable") | at_end(np.full(12, 0.7), "guessed", "guessable")
    write_run(tmp_path / "a", values=values)
    found = {name: effect.mean for name, effect in compared(tmp_path).arms["grpo"].items()}
    expected = {"accuracy": 0.75, "accuracy_gain": 0.5, "blind": 0.5, "guessable": 0.6, "guessable_guessed": 0.7}
    assert found == pytest.approx(expected | {"seconds_per_step": 2.0, "peak_memory_gib": 1.0})


def test_items_without_a_value_are_left_out(tmp_path):
    write_run(tmp_path / "a", values=at_end([np.nan, *np.ones(11)]) | at_end(np.full(12, np.nan), "guessed"))
    found = compared(tmp_path).arms["grpo"]
    assert found["accuracy"].mean == 1
    assert "guessed" not in found


@pytest.mark.parametrize("rows", ["null", "none"])
def test_what_not_every_run_graded_is_in_no_pair_and_counted(tmp_path, rows):
    """Each run could not grade another item, before or after; a run of before has no row then."""
    for n, (name, seed) in enumerate((("grpo", 0), ("papo", 0), ("grpo", 1), ("papo", 1))):
        level = LEVELS / 2 + 0.25 * (name == "papo")
        values = {(0, "held_out", "accuracy"): LEVELS / 2, (20, "held_out", "accuracy"): level} | at_end(level)
        for step in (0, 20, 40):
            values[step, "held_out", "accuracy"] = values[step, "held_out", "accuracy"].copy()
        values[(40, 0, 20, 40)[n], "held_out", "accuracy"][n] = np.nan
        folder = write_run(tmp_path / f"{name}{seed}", name, seed, values=values)
        if rows == "none":
            lines = (folder / "held_out.jsonl").read_text().splitlines(keepends=True)
            (folder / "held_out.jsonl").write_text("".join(line for line in lines if '"value": null' not in line))
    found = compared(tmp_path)
    effects = found.differences["papo"]
    assert effects["accuracy"].mean == pytest.approx(0.25)
    assert effects["accuracy"].parts.pictures == 10  # but 0 and 3
    assert effects["accuracy_gain"].mean == pytest.approx(0.25)
    assert effects["accuracy_gain"].parts.pictures == 9  # but 0, 1 and 3
    course = found.curves["papo"]["accuracy"]
    assert {step: effect.parts.pictures for step, effect in course.items()} == {0: 10, 20: 10, 40: 10}  # but 1 and 3
    kept = np.delete(LEVELS, [1, 3]) / 2
    assert [effect.mean for effect in course.values()] == pytest.approx(kept.mean() + np.array([0, 0.25, 0.25]))
    assert found.ungraded == ["papo less grpo is of 10 of 12 items (held_out): the others were not graded in every run"]


@pytest.mark.parametrize("names", [("grpo", "papo"), ("papo", "grpo")])
def test_an_item_that_only_one_run_records_is_counted_as_left_out(tmp_path, names):
    """With null; the other, of before, never graded it and has no row."""
    values = {(step, "held_out", "accuracy"): np.array([*LEVELS[:-1], np.nan]) for step in (0, 40)}
    write_run(tmp_path / names[0], names[0], values=values)
    write_run(tmp_path / names[1], names[1], items=ITEMS[:-1])
    assert compared(tmp_path).ungraded == [
        "papo less grpo is of 11 of 12 items (held_out): the others were not graded in every run"
    ]


def test_where_every_item_was_graded_nothing_is_said(tmp_path):
    for name in ("grpo", "papo"):
        write_run(tmp_path / name, name)
    assert compared(tmp_path).ungraded == []


def test_curves_have_the_steps_that_all_seeds_have(tmp_path):
    for seed, steps in ((0, (0, 20, 40)), (1, (0, 40))):
        values = {(step, "held_out", "accuracy"): np.full(12, step / 100 + seed / 10) for step in steps}
        write_run(tmp_path / str(seed), seed=seed, values=values)
    (curve,) = compared(tmp_path).curves["grpo"].values()
    assert {step: effect.mean for step, effect in curve.items()} == pytest.approx({0: 0.05, 40: 0.45})


def test_the_step_that_reaches_an_accuracy_lies_between_two_validations(tmp_path):
    values = {(step, "held_out", "accuracy"): np.full(12, level) for step, level in ((0, 0.2), (20, 0.4), (40, 0.8))}
    write_run(tmp_path / "a", values=values)
    (run,), _ = collect(tmp_path)
    assert [first_reaching(run, target) for target in (0.1, 0.3, 0.4, 0.7)] == pytest.approx([0, 10, 20, 35])
    assert first_reaching(run, 0.9) is None
    found = compared(tmp_path, reach=[0.7, 0.9]).arms["grpo"]
    assert (found["steps_to_0.7"].mean, found["seconds_to_0.7"].mean) == pytest.approx((35, 70))
    assert found["steps_to_0.7"].ci95 is None
    assert "steps_to_0.9" not in found


def test_what_is_needed_is_what_detects():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.05, (4, 1)) + rng.normal(0, 0.2, 64) + rng.normal(0, 0.5, (4, 64))
    parts = crossed(values, np.arange(64))
    seeds = seeds_needed(parts, 0.1, 64)
    assert detectable(parts, seeds, 64) <= 0.1 < detectable(parts, seeds - 1, 64)
    pictures = pictures_needed(parts, 0.25, 4)
    assert detectable(parts, 4, pictures) <= 0.25 < detectable(parts, 4, pictures - 1)
    assert pictures_needed(parts, 0.001, 4) is None
    assert seeds_needed(parts, 0.001, 64) is None


def test_needs_are_told_for_each_arm(tmp_path):
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        for name in ("grpo", "papo"):
            write_run(tmp_path / f"{name}{seed}", name, seed, values=at_end(rng.random(12)))
    (_, line) = told(compared(tmp_path), 20).splitlines()
    assert line.startswith("  papo: ")
    assert " seeds with 12 pictures" in line


def test_items_that_agree_do_not_say_what_is_needed(tmp_path):
    for name, seed in (("grpo", 0), ("grpo", 1), ("papo", 0), ("papo", 1)):
        write_run(tmp_path / f"{name}{seed}", name, seed)
    (_, line) = told(compared(tmp_path), 20).splitlines()
    assert line == "  papo: unknown: no item differed"


def test_the_last_step_is_what_was_measured_there_last(tmp_path):
    """A short look during the run, and a long one at its end."""
    folder = write_run(tmp_path / "a", values=at_end(np.full(12, 0.5)))
    long = (folder / "held_out.jsonl").read_text()
    short = "".join(line.replace("0.5}", "0.0}") + "\n" for line in long.splitlines()[:4])
    (folder / "held_out.jsonl").write_text(short + long)
    assert compared(tmp_path).arms["grpo"]["accuracy"].mean == 0.5


def test_curves_are_of_the_items_that_every_validation_looked_at(tmp_path):
    """Else a curve would step where easier items leave it."""
    folder = write_run(tmp_path / "a", values={(0, "held_out", "accuracy"): LEVELS} | at_end(LEVELS))
    lines = (folder / "held_out.jsonl").read_text().splitlines(keepends=True)
    (folder / "held_out.jsonl").write_text("".join(lines[:12] + lines[20:]))
    (curve,) = compared(tmp_path).curves["grpo"].values()
    assert curve[0].mean == curve[40].mean == pytest.approx(LEVELS[8:].mean())
