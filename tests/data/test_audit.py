"""What right answers are like, said at the start of a run; those that nothing matches end it."""

import time

import pytest
from replicas import picture, plain_parquet, problems, write_lines

from papo.data.audit import DRAWN, LOOKED_AT, Audit
from papo.data.order import Mixture, few_of
from papo.data.screening import Screen
from papo.data.sources import EasyVQA, table_source
from papo.errors import BadRow, ConfigError
from papo.lab import LabDataset
from papo.types import Item

UNMATCHED = "a } b"  # closes the box before its end


def item(answer: str, answer_type: str = "text", rule: str = "exact") -> Item:
    return Item(answer, "?", (), answer=answer, answer_type=answer_type, rule=rule)


def audit(items: list[Item]) -> Audit:
    found = Audit()
    for each in items:
        found.add(each)
    return found


def test_answers_are_counted_by_kind():
    numbers = [item("$3$", "integer"), item("2.5", "float", "math")]
    words = [item("B", "choice"), item("red"), item("x" * 61), item("seven", "integer"), item("a } b")]
    found = audit([*numbers, *words, item("\\frac{1}{2}", rule="math"), item("?", rule="my.grader")])
    assert found.kinds == {"plain numbers": 2, "letters": 1, "texts": 4, "long texts": 1, "formulas": 1}
    assert found.rules == {"exact": 6, "math": 2, "my.grader": 1}
    assert [each.id for each in found.unmatched] == ["seven", "a } b"]


@pytest.mark.parametrize(
    "matched",
    [
        Item("i", "?", (), answer="a } b", answer_type="text", labels=("red",)),  # by another label
        Item("i", "?", (), answer="a } b", answer_type="choice", choices=("x", "a } b")),  # by its letter
        Item("i", "?", (), answer="B", answer_type="choice", rule="logicvista"),
        Item("i", "?", (), answer="$1,950$", answer_type="text", rule="chartqa"),
        Item("i", "?", (), answer="[1, 2]", answer_type="list", rule="mathvista"),
        Item("i", "?", (), answer="", answer_type="choice", rule="logicvista"),  # as its data set is
    ],
)
def test_any_answer_that_is_right_will_do(matched):
    assert audit([matched]).unmatched == []


@pytest.mark.parametrize(
    "unmatched",
    [
        Item("i", "?", (), answer="none of them", answer_type="choice", rule="logicvista"),
        Item("i", "?", (), answer="red", answer_type="choice", choices=("blue", "5"), rule="mathvista"),
        Item("i", "?", (), answer="about 3", answer_type="integer", rule="mathvista"),
        Item("i", "?", (), answer="1.20", answer_type="float", precision=2, rule="mathvista"),  # rounding says 1.2
    ],
)
def test_what_its_rule_cannot_grade_is_found(unmatched):
    assert audit([unmatched]).unmatched == [unmatched]


class Rows:
    """Items of which some cannot be matched, and none is to be decoded."""

    def __init__(self, rows: int, unmatched=()) -> None:
        self.rows, self.unmatched = rows, set(unmatched)

    def __len__(self) -> int:
        return self.rows

    def draft(self, index: int) -> Item:
        return Item(f"r{index}", "?", (), answer=UNMATCHED if index in self.unmatched else "red", answer_type="text")

    def __getitem__(self, index: int) -> Item:
        raise AssertionError


def screened(source, share: float = 0.01, key: str = "data.train") -> Screen:
    screen = Screen(decode_at_start=False, max_bad_share=share)
    screen(source, key)
    return screen


def test_few_that_cannot_be_matched_are_said(capsys):
    screened(Rows(100, [42]))
    assert capsys.readouterr().out.splitlines() == [
        "data.train: 100 rows, 100 without a picture; right answers texts 100%",
        "    1 of 100 right answers are wrong under their rule even in a box, such as r42 by exact: 'a } b'",
    ]


def test_more_than_the_share_end_the_run_with_one_line():
    with pytest.raises(ConfigError) as caught:
        screened(Rows(100, [42, 43]))
    assert str(caught.value) == (
        "data.train: 2 of 100 right answers are wrong under their rule even in a box, such as r42 by exact: 'a } b'; "
        "mend them, or let in more than data.max_bad_share=0.01"
    )
    screened(Rows(100, [42, 43]), share=0.02)
    with pytest.raises(ConfigError, match=r"^benchmarks\.x: 2 of .*, or let in more than max_bad_share=0\.01$"):
        screened(Rows(100, [42, 43]), key="benchmarks.x")


def test_a_thousand_are_looked_at():
    last = few_of(10 * LOOKED_AT, LOOKED_AT)[-1]
    screen = screened(Rows(10 * LOOKED_AT, [last]))
    found = screen.audits["data.train"]
    assert (found.total, [item.id for item in found.unmatched]) == (LOOKED_AT, [f"r{last}"])


@pytest.fixture
def table(tmp_path):
    def make(unmatched: int = 0, **settings):
        rows = [{"id": f"r{n}", "question": "?", "answer": UNMATCHED if n < unmatched else "red"} for n in range(300)]
        return table_source(schema="folder", path=str(write_lines(tmp_path / "a.jsonl", rows)), **settings)

    return make


def test_a_table_names_its_rule(table):
    with pytest.raises(ConfigError, match=r"; mend them, name another rule \(data\.train\.rule\), or let in"):
        screened(table(unmatched=30))


def test_the_beginning_of_a_stream_is_looked_at(table, capsys):
    found = screened(table(streaming=True, buffer_size=300)).audits["data.train"]
    assert found.total == DRAWN
    assert capsys.readouterr().out == "data.train: a stream; right answers texts 100%\n"
    with pytest.raises(ConfigError, match=r"^data\.train: [0-9]+ of 50 right answers are wrong"):
        screened(table(unmatched=200, streaming=True, buffer_size=300))


@pytest.mark.parametrize(("unmatched", "share", "stops"), [(1, 0.01, False), (2, 0.01, True), (1, 0.0, True)])
def test_one_of_few_may_be_chance(tmp_path, unmatched, share, stops):
    rows = [{"id": f"r{n}", "question": "?", "answer": UNMATCHED if n < unmatched else "red"} for n in range(DRAWN)]
    path = str(write_lines(tmp_path / "a.jsonl", rows))
    stream = table_source(schema="folder", path=path, streaming=True)
    if stops:
        with pytest.raises(ConfigError, match=rf"^data\.train: {unmatched} of 50 right answers"):
            screened(stream, share)
    else:
        assert len(screened(stream, share).audits["data.train"].unmatched) == unmatched


def test_pictures_of_a_stream_stay_undecoded(tmp_path, monkeypatch):
    def decoded(*_):
        raise AssertionError

    path = plain_parquet(problems(*((f"{n}?", str(n), [picture(n)]) for n in range(12))), tmp_path)
    monkeypatch.setattr("papo.data.sources.pictures.in_rgb", decoded)
    assert screened(table_source(schema="virl39k", path=str(path), streaming=True)).audits["data.train"].total == DRAWN


def test_a_bad_row_of_a_stream_is_passed_over(tmp_path):
    rows = [{"id": f"r{n}", "question": "?", "answer": "" if n % 2 else "3"} for n in range(10)]
    stream = table_source(
        schema="folder", path=str(write_lines(tmp_path / "a.jsonl", rows)), streaming=True, buffer_size=10
    )
    screen = screened(stream)
    assert screen.audits["data.train"].total == DRAWN / 2
    assert screen.skips.count() == 0  # it is counted when it is wanted


WEIGHTS = {"rows": 1, "stream": 1, "lab": 1}


def test_each_source_of_a_mixture_has_its_own_line(table, capsys):
    screened(Mixture({"rows": Rows(10), "stream": table(streaming=True), "lab": LabDataset("train", 50)}, WEIGHTS))
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"data.train.sources.{name}" for name in WEIGHTS
    ]
    with pytest.raises(ConfigError, match=r"^data\.train\.sources\.rows: 5 of 10"):
        screened(Mixture({"rows": Rows(10, range(5)), "stream": table(streaming=True), "lab": Rows(5)}, WEIGHTS))


@pytest.mark.parametrize(
    "make", [lambda: LabDataset("train", 100_000, seed=1, guessable_share=1), lambda: EasyVQA("val")]
)
def test_what_the_package_brings_can_be_matched_and_is_looked_at_fast(make, capsys):
    source = make()
    before = time.perf_counter()
    found = screened(source).audits["data.train"]
    assert time.perf_counter() - before < 0.3
    assert (found.total, found.unmatched) == (DRAWN, [])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_source_whose_items_all_fail_says_no_shares(capsys):
    class Broken:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            raise BadRow(str(index), "broken")

    screened(Broken())
    assert capsys.readouterr().out == "data.train: 5 items\n"
