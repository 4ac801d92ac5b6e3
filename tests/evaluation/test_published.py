"""Published figures beside ours: never without what differs."""

from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

from papo.evaluation.published import (
    Card,
    Protocol,
    protocol_of,
    protocol_tables,
    published_results,
    published_table,
    settings_tables,
)
from papo.evaluation.records import Record
from papo.evaluation.result_tables import to_markdown
from papo.evaluation.results import estimates, published
from papo.report import GradedResponse
from papo.study.composing import hydra

OURS = Protocol("Box it.", (200_704, 1_003_520), "rule mathvista", 1.0)
SAME = Card("a paper", "all of it", {"m_3b": 61.25}, "Box it.", (200_704, 1_003_520), "rule mathvista", 1.0)
OTHER = Card("another", "testmini", {"m_3b": (60.0, 64.4), "m_7b": 70}, None, (1, 2), "a judge", 0.0)


def test_what_differs_and_what_is_not_known_is_said():
    assert OURS.compared(SAME.protocol) == {"differs": [], "unknown": []}
    assert OURS.compared(OTHER.protocol) == {"differs": ["pixels", "grader", "temperature"], "unknown": ["prompt"]}
    assert Protocol().compared(SAME.protocol)["unknown"] == ["prompt", "pixels", "grader", "temperature"]


def test_the_table():
    table = published_table(
        "mathvista", {"a": SAME, "b": OTHER}, {"mine": OURS}, {"mine": "50.0 [40.0, 60.0]"}, part=False
    )
    ours = ("Box it.", "200,704 to 1,003,520", "rule mathvista", "1")
    theirs = ("not known", "1 to 2", "a judge", "0")
    said = "another pixels, grader, temperature; not known: prompt"
    assert table.rows == (
        ("mine", "50.0 [40.0, 60.0]", "mathvista", *ours, "here", ""),
        ("m_3b", "61.2", "all of it", *ours, "a paper", "the same protocol"),
        ("m_3b", "60.0 to 64.4", "testmini", *theirs, "another", said),
        ("m_7b", "70.0", "testmini", *theirs, "another", said),
    )
    assert "figures of different protocols do not compare models" in table.note


def test_models_that_were_asked_in_other_ways_are_told_apart():
    (table,) = protocol_tables("x", {"a": OURS, "b": OTHER.protocol})
    assert table.rows[0][-1] == "the same protocol"
    assert table.rows[1][-1] == "another pixels, grader, temperature; not known: prompt"
    assert table.rows[1][0:2] == ("b", "not known")
    assert "do not compare models" in table.note
    assert protocol_tables("x", {"a": OURS, "b": OURS}) == protocol_tables("x", {"a": OTHER.protocol}) == []


def test_what_was_answered_with_other_settings_is_said():
    def settings(length=256, ratio=0.6, **others):
        of = {"rollout": {"max_new_tokens": length, "top_p": 1.0}, "corruption": {"mask_ratio": ratio}, "seed": 0}
        return of | others

    (table,) = settings_tables({"a": settings(), "b": settings(10, 0.1), "c": settings(seed=3), "file": {}})
    assert table.rows == (
        ("b", "corruption.mask_ratio", "0.1", "0.6"),
        ("b", "rollout.max_new_tokens", "10", "256"),
    )
    (table,) = settings_tables({"a": settings(), "b": settings(corruption={"sigma": 2.0})})
    assert table.rows == (
        ("b", "corruption.mask_ratio", "absent", "0.6"),
        ("b", "corruption.sigma", "2.0", "absent"),
    )
    assert settings_tables({"a": settings(), "b": settings(seed=1)}) == []
    assert settings_tables({"file": {}, "b": settings()}) == []


def test_a_part_of_the_rows_is_another_protocol():
    table = published_table("mathvista", {"a": SAME}, {"mine": OURS}, {"mine": "50.0"}, part=True)
    assert table.rows[0][2] == "mathvista, a part of its rows"
    assert table.rows[1][-1] == "another rows"


def test_a_prompt_is_shown_on_one_line():
    text = to_markdown(published_table("x", {"a": SAME}, {"mine": Protocol("a\nb" * 200)}, {"mine": "1"}, part=False))
    assert len(text.splitlines()) == 8
    assert "…" in text


def test_our_protocol_is_read_from_the_settings():
    settings = {"prompt": {"instruction": "Box it."}, "model": {"min_pixels": 1, "max_pixels": 9}}
    assert protocol_of(settings, "rule math", 0.5) == Protocol("Box it.", (1, 9), "rule math", 0.5)
    assert protocol_of({"prompt": {"instruction": ""}}, "rule math", None) == Protocol(grader="rule math")


def test_results_have_it_too():
    found = published_results({"b": OTHER}, OURS)
    assert found["ours"] == {
        "prompt": "Box it.",
        "pixels": (200_704, 1_003_520),
        "grader": "rule mathvista",
        "temperature": 1.0,
    }
    assert found["b"]["figures"] == {"m_3b": (60.0, 64.4), "m_7b": 70}
    assert (found["b"]["differs"], found["b"]["unknown"]) == (["pixels", "grader", "temperature"], ["prompt"])


@pytest.mark.parametrize(
    ("chosen", "limit", "part"),
    [({}, None, False), ({}, 5, True), ({"size": 10}, None, True), ({"tags": {"a": ["b"]}}, None, True),
     ({"share": [0.0, 0.5]}, None, True), ({"size": None, "tags": None, "share": [0.0, 1.0]}, None, False)],
)  # fmt: skip
def test_whether_all_rows_were_measured(chosen, limit, part):
    record = Record("a", "?", "1", {}, {"image": (GradedResponse("", "correct", "1", ""),) * 2})
    card = {name: getattr(SAME, name) for name in Card.__dataclass_fields__}
    settings = {
        "prompt": {"instruction": ""},
        "benchmarks": {"x": chosen, "y": {}},
        "published": {"x": {"a": card}, "z": {}},
    }
    found = published(settings, {"x": estimates({"m": [record]})}, {"x": {"m": OURS}}, {"x": limit})
    assert list(found.results) == list(found.tables) == ["x"]
    assert found.tables["x"].rows[0][:2] == ("m", "100.0 [0.0, 100.0]")
    assert ("a part of its rows" in found.tables["x"].rows[0][2]) == part


def test_shipped_cards_are_those_of_the_report():
    """Figures of Qwen2.5-VL's technical report, which states no protocol; the others name who says so where they do."""
    benchmarks = sorted(path.stem for path in Path("conf/benchmarks").resolve().glob("*.yaml"))
    with hydra():
        cfg = compose("evaluate", [f"benchmarks=[{','.join(benchmarks)}]", "benchmarks.folder.path=x", "run_dir=."])
        cards = OmegaConf.to_container(cfg.published)
    assert set(cfg.benchmarks) == set(benchmarks)
    reported = {name: of["report"]["figures"] for name, of in cards.items() if "report" in of}
    assert reported == {
        "mathvista": {"qwen2_5_vl_3b": 62.3, "qwen2_5_vl_7b": 68.2},
        "mmmu_pro": {"qwen2_5_vl_3b": 31.6, "qwen2_5_vl_7b": 38.3},
        "mmmu_pro_vision": {"qwen2_5_vl_3b": 31.6, "qwen2_5_vl_7b": 38.3},
    }
    for of_benchmark in cards.values():
        for card in of_benchmark.values():
            stated = Card(**card).protocol != Protocol()
            assert stated == ("issue" in card["source"]), card
    assert cfg.benchmarks.chartqa.split == "test"
    assert cfg.benchmarks.mathvista.split == "testmini"


def test_nothing_is_published_of_what_is_not_measured():
    with hydra():
        assert compose("evaluate", ["run_dir=."]).published == {}
