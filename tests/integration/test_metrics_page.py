"""docs/metrics.md lists the tags that a run logs, and the keys of its metrics.json, each once and no other."""

import re
from collections import Counter
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
TAGS = Counter(re.findall(r"^\| `(\S+)` \|", PAGE, re.MULTILINE))
REFERENCE = "+algorithm.objective.paid_reference"
ALL_ON = [
    "experiment=papo_qwen",
    "reward=accuracy_perception",
    "kl_coef=0.1",
    f"{REFERENCE}._target_=papo.objective.ReferenceKL",  # the term once more, in its other place
    f"{REFERENCE}.coef=0.1",
    f"{REFERENCE}.place=reward",
    "perception_coef=0.1",
    "blind_guess_coef=0.1",
    "entropy_coef=0.1",
    "corrupted_entropy_coef=0.1",
    "algorithm.objective.surrogate.dual_clip=3",
    "algorithm.objective.entropy_hinge.coef=0.1",
    "algorithm.objective.robustness.coef=0.1",
    "algorithm.max_refills=3",
    "algorithm.overlong_buffer=4",
    "algorithm.weigh_by_guessability=rollout",
    "engine._target_=engines.Drifting",  # whose numbers are not the policy's
    "algorithm.rollout_correction={cap: 2.0, level: token}",
    "monitor.window=1",
    "val.every=1",
    "trainer.images_every=2",
]


def test_the_list_is_that_of_a_run(train):
    found = {
        tag.removesuffix("/text_summary")
        for kind in ("scalars", "images", "tensors")
        for tag in train(*ALL_ON).events.Tags()[kind]
    }
    course = {tag.removeprefix("course/") for tag in found if tag.startswith("course/")}
    of_all = {re.sub(r"(_?avg)?@\d+$", "", tag.removeprefix("val/")) or "accuracy" for tag in found if "val/" in tag}
    assert course == of_all
    found = {"course/MEASURE" if tag.startswith("course/") else tag for tag in found}
    found = {re.sub(r"@\d+$", "@K", re.sub("(?<=/|_)(corrupted|noised)$", "NAME", tag)) for tag in found}
    found = {tag.removesuffix("_paid_reference") for tag in found}
    assert found == set(TAGS)
    assert set(TAGS.values()) == {1}


def test_so_are_the_keys_of_metrics_json(four_steps):
    section = PAGE.partition("## metrics.json")[2].partition("\n## ")[0]
    named = Counter(re.findall(r"`(\w+)`", "".join(re.findall(r"^- (.*?):", section, re.MULTILINE))))
    assert set(named) == set(four_steps.json())
    assert set(named.values()) == {1}
