"""Which runs are one arm, and at which level of a factor."""

import pytest
from study.fake_runs import write_run

from papo.errors import ConfigError
from papo.study.arms import cells
from papo.study.runs import collect


def labels(folder, by=()):
    return {cell.label: list(cell.runs) for cell in cells(collect(folder)[0], by)}


def test_a_name_is_an_arm_and_seeds_are_no_difference(tmp_path):
    for n, (name, seed) in enumerate((("papo", 1), ("papo", 0), ("grpo", 0))):
        write_run(tmp_path / str(n), name, seed)
    assert labels(tmp_path) == {"papo": [0, 1], "grpo": [0]}


def test_runs_of_one_name_are_told_apart_by_what_differs(tmp_path):
    """By the shortest of the keys that hold the value; a setting of another arm is no part of the name."""
    for n, coef in enumerate((0.1, 0.2)):
        settings = {"perception_coef": coef, "algorithm__objective__perception__coef": coef}
        write_run(tmp_path / str(n), "papo", **settings)
    write_run(tmp_path / "other", "grpo", perception_coef=0.3)
    assert set(labels(tmp_path)) == {"papo perception_coef=0.1", "papo perception_coef=0.2", "grpo"}


def test_a_setting_that_one_run_lacks_is_a_difference(tmp_path):
    write_run(tmp_path / "0", "papo")
    write_run(tmp_path / "1", "papo", algorithm__new=3)
    assert set(labels(tmp_path)) == {"papo algorithm.new=absent", "papo algorithm.new=3"}


def test_a_factor_is_a_level_and_not_a_name(tmp_path):
    for n, share in enumerate((1.0, 0.5)):
        write_run(tmp_path / str(n), "papo", guessable_share=share, data__train__guessable_share=share)
    found = cells(collect(tmp_path)[0], ["guessable_share"])
    assert [(cell.arm, cell.levels) for cell in found] == [
        ("papo", (("guessable_share", 0.5),)),
        ("papo", (("guessable_share", 1.0),)),
    ]


def test_levels_may_be_nothing_numbers_texts_and_lists(tmp_path):
    values = ("b", [1, 2], 10, None, 2.5)
    for n, value in enumerate(values):
        write_run(tmp_path / str(n), "papo", perception_coef=value)
    found = cells(collect(tmp_path)[0], ["perception_coef"])
    assert [cell.levels[0][1] for cell in found] == [None, 2.5, 10, "[1, 2]", "b"]


def test_one_seed_twice_is_refused_with_both_runs(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, "papo", 3)
    with pytest.raises(ConfigError, match="a and b are one run twice: papo, seed 3"):
        labels(tmp_path)


def test_an_unknown_factor_is_refused_with_its_likeness(tmp_path):
    write_run(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"--by guessable_shar: .* did you mean guessable_share"):
        labels(tmp_path, ["guessable_shar"])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: (run / "metrics.json").unlink(), "not finished"),
        (lambda run: (run / "metrics.json").write_text('{"interrupted": true}'), "interrupted"),
        (lambda run: (run / "held_out.jsonl").unlink(), "no held_out.jsonl"),
    ],
)
def test_what_cannot_be_compared_is_left_out_by_name(tmp_path, spoil, reason):
    write_run(tmp_path / "deep" / "good")
    spoil(write_run(tmp_path / "deep" / "bad", seed=1))
    runs, left_out = collect(tmp_path)
    assert [run.name for run in runs] == ["deep/good"]
    assert left_out == {"deep/bad": reason}


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    (write_run(tmp_path / "a") / "metrics.json").unlink()
    with pytest.raises(ConfigError, match="holds no finished run \\(a: not finished\\)"):
        collect(tmp_path)
