"""Blind accuracies of training items: read by id, handed to the items, and a limit that leaves some out."""

import json
import re

import pytest
from PIL import Image
from replicas import write_lines

from papo.data.audit import DRAWN
from papo.data.guessability import guessability_of
from papo.data.module import PromptData
from papo.data.order import Mixture, endless
from papo.data.screening import Screen
from papo.data.sources import table_source
from papo.errors import ConfigError, SettingError
from papo.evaluation.guessability import row
from papo.evaluation.records import Record
from papo.report import GradedResponse
from papo.types import Item

MEANS = [n / 10 for n in range(10)] + [None]  # the last cannot be graded


class Drawn:
    """Eleven items that are drawn when they are asked for, without a draft to look at."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Item:
        return Item(f"row-{index}", "?", (), answer="1", answer_type="integer")


class Rows(Drawn):
    draft = Drawn.__getitem__


@pytest.fixture
def write(tmp_path):
    def write(means=MEANS, name="of.jsonl", prefix="row-"):
        rows = [{"item": f"{prefix}{n}", "mean": mean, "ci95": None, "k": 10} for n, mean in enumerate(means)]
        return str(write_lines(tmp_path / name, rows))

    return write


def screened(source, *setting, **screen):
    made = Screen(decode_at_start=False, **screen)
    return made, made(source, "data.train", guessability_of(*setting))


@pytest.mark.parametrize("source", [Rows(), Drawn()])
def test_items_get_their_blind_accuracy(source, write):
    _, items = screened(source, write(), None)
    assert [(item.id, item.guessability) for item in items] == [
        (f"row-{n}", mean or 0.0) for n, mean in enumerate(MEANS)
    ]


def test_without_a_file_nothing_is_known_and_few_items_are_drawn():
    class Counted(Drawn):
        drawn = 0

        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            self.drawn += 1
            return super().__getitem__(index)

    assert guessability_of(None, None) is None
    source = Counted()
    _, items = screened(source, None, None)
    assert len(items) == 10_000
    assert source.drawn == DRAWN


@pytest.mark.parametrize("source", [Rows(), Drawn()])
def test_items_above_the_limit_are_left_out_listed_and_not_bad(source, write, tmp_path, capsys):
    screen, items = screened(source, write(), 0.3, max_bad_share=0.0)
    screen.too_guessable.log_to(tmp_path / "guessable.jsonl")
    assert [item.id for item in items] == ["row-0", "row-1", "row-2", "row-3", "row-10"]
    assert screen.skips.count() == 0
    listed = [json.loads(line) for line in (tmp_path / "guessable.jsonl").read_text().splitlines()]
    assert [row["id"] for row in listed] == [f"row-{n}" for n in range(4, 10)]
    assert listed[0] == {
        "source": "data.train",
        "id": "row-4",
        "reason": "blind accuracy 0.4, more than max_guessable=0.3",
    }
    assert capsys.readouterr().out.endswith(
        "\ndata.train: 5 rows, 5 without a picture, 6 left out as guessable (see guessable.jsonl); "
        "right answers plain numbers 100%\n"
    )


def test_a_limit_that_leaves_nothing_names_itself(write):
    with pytest.raises(ConfigError, match=r"^data\.max_guessable=0 leaves nothing of data\.train's 11 rows"):
        screened(Rows(), write([1.0] * 11), 0.0)


@pytest.mark.parametrize("source", [Rows(), Drawn()])
def test_an_item_that_was_not_measured_is_a_bad_row(source, write):
    path = write(MEANS[:9])
    with pytest.raises(ConfigError, match="2 of 11 rows") as caught:
        screened(source, path, None, max_bad_share=0.1)
    assert f"row-9: not in data.guessability={path}; evaluate.py guessable=true" in str(caught.value)
    screen, items = screened(source, path, None, max_bad_share=0.2)
    assert len(items) == 9
    assert screen.skips.count() == 2


ASKED = [("Which?", "1", "red"), ("Which?", "1", "blue"), ("Why?", "2", "red"), ("Why?", "3", "red")]


@pytest.fixture
def rows(tmp_path):
    """Tables of rows without ids, which are called by their places, and what was measured of one."""
    for colour in ("red", "blue"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{colour}.png")

    def table(rows, **settings):
        lines = [{"question": question, "answer": answer, "image": f"{image}.png"} for question, answer, image in rows]
        return table_source(schema="folder", path=str(write_lines(tmp_path / "rows.jsonl", lines)), **settings)

    measured = [
        row(Record(i.id, i.question, i.answer, {}, {"blind": (GradedResponse("", "wrong", None, ""),)}, i.picture))
        for i in table(ASKED)
    ]
    return table, str(write_lines(tmp_path / "measured.jsonl", measured))


@pytest.mark.parametrize(
    ("now", "others"),
    [
        (ASKED, []),
        ([*ASKED[1:], ASKED[0]], ["folder-0", "folder-1", "folder-2", "folder-3"]),
        ([("Who?", "1", "red"), *ASKED[1:]], ["folder-0"]),
        ([("Which?", "2", "red"), *ASKED[1:]], ["folder-0"]),
        ([ASKED[1], ASKED[0], *ASKED[2:]], ["folder-0", "folder-1"]),  # the same words of another picture
    ],
)
@pytest.mark.parametrize("decode", [False, True])
def test_rows_that_are_others_than_were_measured_are_bad(rows, now, others, decode):
    table, path = rows
    source, screen = table(now), Screen(decode_at_start=decode, max_bad_share=0.99)
    if len(others) == len(now):
        with pytest.raises(
            ConfigError, match=rf"folder-0: asks or shows something else than data\.guessability={path} "
        ):
            screen(source, "data.train", guessability_of(path, None))
    else:
        items = [*screen(source, "data.train", guessability_of(path, None))]
        assert [item.id for item in items] == [f"folder-{n}" for n in range(4) if f"folder-{n}" not in others]
        assert screen.skips.count() == len(others)


def test_a_picture_that_is_not_looked_at_before_is_looked_at_where_it_is_met(rows, monkeypatch):
    """Of a large table some are decoded at start; a stream decodes none."""
    monkeypatch.setattr("papo.data.screening.LOOKED_AT", 1)
    table, path = rows
    now = [("Which?", "1", "blue"), ASKED[1], *ASKED[2:]]
    monkeypatch.setattr("papo.data.screening.few_of", lambda size, count, *given: [size - 1])
    screen = Screen(decode_at_start=False)
    found = screen(table(now), "data.train", guessability_of(path, None))
    assert (len(found), screen.skips.count()) == (4, 0)
    assert {item.id for item in found} == {"folder-1", "folder-2", "folder-3"}  # one in the place of the first
    assert screen.skips.count() == 1
    stream = Screen(max_bad_share=1.0)(
        table(now, streaming=True, buffer_size=2), "data.train", guessability_of(path, None)
    )
    order = endless(stream, 5)
    assert {order[position].id for position in range(12)} == {"folder-1", "folder-2", "folder-3"}


def test_an_older_file_says_that_it_cannot_be_checked(rows, write, capsys):
    table, path = rows
    screened(table(ASKED), path, None)
    assert "cannot be checked" not in capsys.readouterr().out
    older = write([0.5] * 4, prefix="folder-")
    _, items = screened(table(ASKED), older, None)
    assert [item.guessability for item in items] == [0.5] * 4
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "cannot be checked" in line)
    assert said.startswith(f"data.guessability={older} is of a version that did not write down which questions ")


def test_a_stream_is_followed_past_what_is_too_guessable(write, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": f"row-{n}", "question": "?", "answer": n} for n in range(11)])
    stream = table_source(schema="folder", path=str(path), streaming=True, buffer_size=3)
    screen, items = screened(stream, write(), 0.3)
    order = endless(items, 5)
    seen = [order[position] for position in range(40)]
    assert {(item.id, item.guessability) for item in seen} == {
        *((f"row-{n}", n / 10) for n in range(4)),
        ("row-10", 0.0),
    }
    assert (screen.too_guessable.count(), screen.skips.count()) == (6, 0)


def test_a_mixture_has_a_file_for_each_source(write, tmp_path):
    write([0.1] * 11, "one.jsonl")
    write([0.2] * 11, "two.jsonl")
    _, mixture = screened(Mixture({"one": Rows(), "two": Rows()}, {"one": 1, "two": 1}), str(tmp_path), None)
    order = endless(mixture, 0)
    found = {(item.id.partition("/")[0], item.guessability) for item in (order[n] for n in range(50))}
    assert found == {("one", 0.1), ("two", 0.2)}
    with pytest.raises(SettingError, match=r"^guessability must be a folder with one\.jsonl"):
        screened(Mixture({"one": Rows()}, {"one": 1}), write(), None)


@pytest.mark.parametrize("text", [None, "row-0 0.5\n", '{"id": "row-0"}\n', "[1]\n"])
def test_a_file_of_something_else_is_refused(text, tmp_path):
    path = tmp_path / "of.jsonl"
    if text is not None:
        path.write_text(text)
    problem = f"guessability must be a file that evaluate.py guessable=true wrote, got {re.escape(str(path))}"
    with pytest.raises(SettingError, match=f"^{problem}"):
        screened(Rows(), str(path), None)


@pytest.mark.parametrize("limit", [-0.1, 1.1])
def test_the_limit_is_a_share(limit, write):
    with pytest.raises(SettingError, match=r"^max_guessable must lie in \[0, 1\]"):
        guessability_of(write(), limit)


def test_a_limit_needs_a_file():
    with pytest.raises(SettingError, match=r"^guessability must name the file .* max_guessable=0\.5 is held to"):
        guessability_of(None, 0.5)


# ---------------------------------------------------------------------------------------------------- in a run's data


def make_data(**settings) -> PromptData:
    defaults = {"collate": tuple, "val_collate": list, "batch_size": 4, "val_batch_size": 2, "num_workers": 0}
    return PromptData(Rows(), Rows(), **defaults | {"val_items": 64, "seed": 3} | settings)


def test_held_out_items_are_not_asked_about(write):
    data = make_data(guessability=write(), max_guessable=0.3)
    assert (len(data.train), len(data.val)) == (5, 11)
    assert data.too_guessable.count() == 6


def test_the_first_items_are_those_of_the_first_steps():
    data = make_data()
    order = endless(data.train, 3)
    assert [*data.first(6)] == [order[position] for position in range(6)]
    assert sorted(item.id for item in data.first(64)) == sorted(item.id for item in data.train)
