"""What study.yaml asks for, run by run."""

import pytest

from papo.errors import ConfigError
from papo.study.definition import Study, read_study

TEXT = """\
question: Which?
base: [experiment=papo_qwen]
arms:
  grpo: [perception_coef=0]
  papo: [perception_coef=0.02]
baseline: grpo
grid:
  mask_ratio: [0.5, 1.0]
seeds:
  default: [0, 1]
  at: [{mask_ratio: 1.0, seeds: [7]}]
allow: [model.dtype]
quick:
  base: [trainer.max_steps=2]
  arms: [papo, grpo]
  grid: {mask_ratio: [0.5]}
  seeds: [3]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study.yaml").write_text(TEXT)
    return tmp_path


def test_arms_and_factors_are_crossed_and_seeds_come_in_turns(folder):
    assert [run.folder for run in read_study(folder).runs()] == [
        "grpo_mask_ratio=0.5_seed=0",
        "papo_mask_ratio=0.5_seed=0",
        "grpo_mask_ratio=1.0_seed=7",
        "papo_mask_ratio=1.0_seed=7",
        "grpo_mask_ratio=0.5_seed=1",
        "papo_mask_ratio=0.5_seed=1",
    ]


def test_later_overrides_win_over_earlier_ones(folder):
    run = read_study(folder, "quick", ["trainer.max_steps=1"]).runs()[0]
    assert run.overrides == (
        "experiment=papo_qwen",
        "perception_coef=0.02",
        "mask_ratio=0.5",
        "trainer.max_steps=2",
        "trainer.max_steps=1",
        "name=papo",
    )


def test_quick_has_the_arms_levels_and_seeds_that_it_names(folder):
    names = [run.folder for run in read_study(folder, "quick").runs()]
    assert names == ["papo_mask_ratio=0.5_seed=3", "grpo_mask_ratio=0.5_seed=3"]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ({"arm": ["papo"], "seed": ["1", "7"]}, ["papo_mask_ratio=1.0_seed=7", "papo_mask_ratio=0.5_seed=1"]),
        ({"mask_ratio": ["1.0"]}, ["grpo_mask_ratio=1.0_seed=7", "papo_mask_ratio=1.0_seed=7"]),
        ({"mask_ratio": ["1.0"], "seed": ["0"]}, []),
    ],
)
def test_only_what_is_named_is_run(folder, only, names):
    assert [run.folder for run in read_study(folder, only=only).runs()] == names


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"arm": ["grpo", "grop"]}, "--only arm=grop fits no run; known are grpo, papo$"),
        ({"mask_ratio": ["0.6"]}, r"--only mask_ratio=0.6 fits no run; known are 0.5, 1.0$"),
        ({"mask": ["0.5"]}, "--only mask=0.5 fits no run; known are arm, seed, mask_ratio$"),
    ],
)
def test_what_no_run_has_cannot_be_all_that_is_run(folder, only, message):
    with pytest.raises(ConfigError, match=message):
        read_study(folder, only=only)


def test_values_are_written_as_overrides_and_folders_hold_no_strange_sign():
    study = Study("", [], {"a": []}, "a", [0], grid={"x": [None, True, [1, 2], "some/text"]})
    assert [run.overrides[0] for run in study.runs()] == ["x=null", "x=true", "x=[1, 2]", "x=some/text"]
    assert study.runs()[-1].folder == "a_x=some-text_seed=0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baseline: grpo", "baseline: grpp", "baseline must be an arm, got 'grpp'; did you mean grpo"),
        ("question", "questoin", "questoin"),
        ("mask_ratio: [0.5, 1.0]", "mask_ratio: []", "the study has no run"),
        (
            "at: [{mask_ratio",
            "at: [{mask_ration",
            r"seeds\.at names mask_ration, .* no factor .*did you mean mask_ratio",
        ),
        (
            "at: [{mask_ratio: 1.0",
            "at: [{mask_ratio: 0.9",
            r"names mask_ratio=0\.9, .* no level of it; known are 0\.5, 1\.0",
        ),
        (
            "grid:\n  mask_ratio: [0.5, 1.0]",
            "grid: {}",
            r"seeds\.at names mask_ratio, which is no factor \(grid\); there is",
        ),
        ("default:", "defualt:", r"seeds\.defualt is unknown; known are default, at$"),
        ("  default: [0, 1]\n", "", r"seeds\.default is missing, and no entry of seeds\.at is of mask_ratio=0\.5$"),
        (
            ", seeds: [7]",
            "",
            r"seeds\.at must have entries such as \{FACTOR: LEVEL, seeds: \[0, 1\]\}, got \{'mask_ratio': 1\.0",
        ),
        ("seeds: [7]}]", "seeds: 7}]", r"seeds\.at must have entries such as .*'seeds': 7"),
        ("default: [0, 1]", "default: 2", r"seeds\.default must be a list, got 2; write \[2\]"),
        ("[{mask_ratio: 1.0, seeds: [7]}]", "[7]", r"seeds\.at must have entries such as .*, got 7$"),
        ("[experiment=papo_qwen]", "experiment=papo_qwen", "base must be a list, got 'experiment=papo_qwen'; write"),
        ("[perception_coef=0]", "perception_coef=0", r"arms\.grpo must be a list, got 'perception_coef=0'; write"),
        ("[0.5, 1.0]", "0.5", r"grid\.mask_ratio must be a list, got 0\.5; write"),
        ("seeds: [7]", "seeds: [7, 7]", r"the study has 2 runs grpo_mask_ratio=1\.0_seed=7: .* once each"),
        (TEXT, "", "must say question, base, arms"),
    ],
)
def test_a_study_that_cannot_be_is_refused_by_its_file(folder, old, new, message):
    (folder / "study.yaml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as refused:
        read_study(folder)
    assert str(refused.value).startswith(str(folder / "study.yaml"))


def test_a_part_of_a_study_needs_no_seeds_for_levels_that_it_has_not(folder):
    (folder / "study.yaml").write_text(TEXT.replace("  seeds: [3]\n", ""))
    assert {run.seed for run in read_study(folder, "quick").runs()} == {0, 1}
    (folder / "study.yaml").write_text(
        TEXT.replace("  seeds: [3]\n", "").replace("at: [{mask_ratio: 1", "at: [{mask_ratio: 2")
    )
    with pytest.raises(ConfigError, match=r"seeds\.at names mask_ratio=2\.0, which is no level"):
        read_study(folder, "quick")


def test_other_variants_and_other_keys_of_quick_are_refused(folder):
    with pytest.raises(ConfigError, match="study=slow is not defined here; known is quick"):
        read_study(folder, "slow")
    (folder / "study.yaml").write_text(TEXT.replace("  seeds: [3]", "  sedes: [3]"))
    with pytest.raises(ConfigError, match=r"quick\.sedes is unknown"):
        read_study(folder, "quick")


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"study\.yaml does not exist"):
        read_study(tmp_path)
