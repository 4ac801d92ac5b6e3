"""Which rows of a table are chosen, how its files are found, and what is refused."""

import json
from base64 import b64encode
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor
from replicas import REPLICAS, write_lines

from papo.data.screening import Screen
from papo.data.sources import TableSource, table_source
from papo.data.sources.reading import in_share
from papo.data.sources.tables import Table
from papo.errors import BadRow, ConfigError, SettingError


def lines(count: int, start: int = 0) -> list[dict]:
    """Rows with an id of their own, a tag, and a question that grows."""
    rows = range(start, start + count)
    return [{"id": f"r{n}", "question": "?" * (n + 1), "answer": n, "tags": {"parity": "eo"[n % 2]}} for n in rows]


@pytest.fixture
def table(tmp_path) -> Path:
    return write_lines(tmp_path / "table.jsonl", lines(20))


def source(path, **settings) -> TableSource:
    return table_source(schema="folder", path=str(path), **settings)


def ids(of) -> list[str]:
    return [of[i].id for i in range(len(of))]


# ---------------------------------------------------------------------------------------------------------- chosen rows


def test_all_rows_in_their_order(table):
    assert ids(source(table)) == [f"r{n}" for n in range(20)]
    with pytest.raises(IndexError):
        source(table)[20]


def test_shares_divide_a_table_without_overlap(table):
    borders = [0.0, 0.3, 0.5, 1.0]
    parts = [set(ids(source(table, share=share))) for share in pairwise(borders)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 20
    assert all(parts)


def test_a_share_does_not_depend_on_what_else_is_in_the_table(tmp_path):
    some = source(write_lines(tmp_path / "a.jsonl", lines(20)), share=[0, 0.5])
    more = source(write_lines(tmp_path / "b.jsonl", lines(60)[::-1]), share=[0, 0.5])
    assert set(ids(some)) == {id for id in ids(more) if int(id[1:]) < 20}


@given(st.text(), st.floats(0, 1))
def test_every_id_is_on_one_side_of_a_border(id, border):
    assert in_share(id, (0.0, border)) != in_share(id, (border, 1.0))


def sides(path, **settings):
    """The rows of both shares of a table, by their number, as a table and as a stream."""
    shares = ((0, 0.5), (0.5, 1))
    tables = [table_source(schema=None, path=str(path), share=share, **settings).rows for share in shares]
    for rows, share in zip(tables, shares, strict=True):
        stream = table_source(schema=None, path=str(path), share=share, streaming=True, **settings)
        read = islice(stream.rows(seed=0), len(rows))
        assert sorted(place.row for place, _ in read) == rows
    return tables


@pytest.mark.parametrize("nested", [False, True], ids=["a path", "a path where bytes could be"])
def test_rows_about_one_file_are_on_one_side(tmp_path, nested):
    rows = [
        {"id": f"{picture}-{n}", "question": f"{n}?", "answer": n, "image": f"{picture}.png"}
        for picture in range(40)
        for n in range(4)
    ]
    if nested:
        rows = [row | {"image": {"bytes": None, "path": row["image"]}} for row in rows]
    first, second = sides(write_lines(tmp_path / "rows.jsonl", rows))
    assert len(first) + len(second) == len(rows)
    assert not {row // 4 for row in first} & {row // 4 for row in second}
    assert min(len(first), len(second)) > 40


def test_rows_without_one_file_go_by_their_id(tmp_path):
    """Without a picture, and with two."""
    for shown in ({}, {"images": ["a.png", "b.png"]}):
        rows = [{"id": str(n), "question": "<image><image>?" if shown else "?", "answer": n} | shown for n in range(60)]
        first, second = sides(write_lines(tmp_path / "rows.jsonl", rows))
        assert first == [n for n in range(60) if in_share(str(n), (0, 0.5))]
        assert len(first) + len(second) == 60


def test_a_small_picture_inside_a_row_is_no_file(tmp_path):
    """Base64, or a data: URI, that is no longer than a path may be: such rows go by their id."""
    buffer = BytesIO()
    Image.new("RGB", (28, 28)).save(buffer, "PNG")
    encoded = b64encode(buffer.getvalue()).decode()
    for image in (encoded, f"data:image/png;base64,{encoded}"):
        rows = [{"id": str(n), "question": "?", "answer": n, "image": image} for n in range(60)]
        first, second = sides(write_lines(tmp_path / "rows.jsonl", rows))
        assert first == [n for n in range(60) if in_share(str(n), (0, 0.5))]
        assert len(first) + len(second) == 60


def test_a_row_that_lends_its_picture_is_on_the_side_of_those_that_borrow_it(tmp_path):
    """As VLMEvalKit has it: the others name the row."""
    lines = ["index\tquestion\tanswer\tA\tB\timage"]
    for picture in range(40):
        buffer = BytesIO()
        Image.effect_noise((28, 28), 60 + picture).save(buffer, "PNG")
        shown = [b64encode(buffer.getvalue()).decode(), *[str(4 * picture)] * 3]
        lines += [f"{4 * picture + n}\t{n}?\tA\tx\ty\t{image}" for n, image in enumerate(shown)]
    (tmp_path / "rows.tsv").write_text("\n".join(lines) + "\n")
    first, second = sides(tmp_path / "rows.tsv")
    assert len(first) + len(second) == 160
    assert not {row // 4 for row in first} & {row // 4 for row in second}


@pytest.mark.parametrize("pattern", [".", "*/rows.jsonl"])
def test_a_folder_a_sample_is_divided_by_folders(tmp_path, pattern):
    """Their pictures have one name; one that lies above them all is the same for all."""
    for number in range(8):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        Image.new("RGB", (28, 28)).save(folder / "image.png")
        rows = [{"id": f"{number}-{n}", "question": "?", "answer": n, "image": "image.png"} for n in range(4)]
        rows += [{"id": f"{number}-4", "question": "?", "answer": 4, "image": "../both.png"}]
        rows += [{"id": f"{number}-5", "question": "?", "answer": 5, "image": "all.png"}] if pattern == "." else []
        write_lines(folder / "rows.jsonl", rows)
    for name in ("both.png", "all.png"):
        Image.new("RGB", (28, 28)).save(tmp_path / name)
    sides = []
    for share in ((0, 0.5), (0.5, 1)):
        settings = {"share": share, "allow_outside": True}
        table, stream = (source(tmp_path / pattern, streaming=streaming, **settings) for streaming in (False, True))
        found = ids(table)
        assert sorted(stream.endless(0)[i].id for i in range(len(found))) == sorted(found)
        sides.append([id.split("-") for id in found])
    folders = [{id[0] for id in side if id[1] in "0123"} for side in sides]
    assert len(folders[0]) + len(folders[1]) == 8 > len(folders[0]) > 0
    for above in "45" if pattern == "." else "4":
        assert {sum(id[1] == above for id in side) for side in sides} == {0, 8}


def test_a_share_does_not_depend_on_the_path_that_several_files_were_found_by(tmp_path):
    """Nothing held out through one is trained on through another."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for n in range(20):
            Image.new("RGB", (28, 28)).save(tmp_path / name / f"{n}.png")
        for part in (0, 1):
            rows = [{"id": f"{name}{n}", "question": "?", "answer": n, "image": f"{n}.png"} for n in range(part, 20, 2)]
            write_lines(tmp_path / name / f"{part}.jsonl", rows)
    held_out = {*ids(source(tmp_path, share=(0, 0.3)))}
    assert held_out
    for path in (tmp_path / "a", tmp_path / "b"):
        assert not held_out & {*ids(source(path, share=(0.3, 1)))}


def test_the_versions_of_a_problem_are_on_one_side(tmp_path):
    rows = [
        {
            "sample_index": str(5 * problem + n),
            "problem_index": str(problem),
            "problem_version": "Text Lite",
            "question": "?",
            "image": f"{problem}-{n}.png",
            "answer": "1",
            "question_type": "free-form",
        }
        for problem in range(40)
        for n in range(5)
    ]
    shares = ((0, 0.8), (0.8, 1))
    path = write_lines(tmp_path / "rows.jsonl", rows)
    first, second = (table_source(schema="mathverse", path=str(path), share=share).rows for share in shares)
    assert not {row // 5 for row in first} & {row // 5 for row in second}
    assert len(first) + len(second) == 200 > len(first) > 100


def test_a_share_is_about_as_large_as_it_says():
    assert sum(in_share(f"row-{n}", (0.2, 0.5)) for n in range(10_000)) == pytest.approx(3000, abs=150)


def test_tags_choose_rows(table):
    assert ids(source(table, tags={"parity": ["o"]})) == [f"r{n}" for n in range(1, 20, 2)]
    assert len(source(table, tags={"parity": ["e", "o"]})) == 20
    with pytest.raises(
        SettingError, match=r"^tags\.colour must be .* 20 rows have, got \['red'\]; no row has this tag$"
    ):
        source(table, tags={"colour": ["red"]})
    with pytest.raises(SettingError, match=r"^tags\.parity must be .*, got \['x'\]; values of it are e, o$"):
        source(table, tags={"parity": ["x"]})
    for tags in (None, {"parity": ["o"]}):
        with pytest.raises(SettingError, match=r"^share must choose rows.*got none of 20; .*data\.val\.path"):
            source(table, tags=tags, share=[0, 1e-9])
    with pytest.raises(SettingError, match=r"^tags\.parity must be a list, each a text, got 'e'"):
        source(table, tags={"parity": "e"})


def test_long_questions_are_left_out(table):
    assert ids(source(table, max_question_length=3)) == ["r0", "r1", "r2"]


def test_a_size_is_drawn_from_what_is_chosen(table):
    some = ids(source(table, size=5))
    assert some == ids(source(table, size=5)) == sorted(set(some), key=lambda id: int(id[1:]))
    assert len(some) == 5
    odd = ids(source(table, size=3, tags={"parity": ["o"]}))
    assert len(set(odd)) == 3
    assert all(int(id[1:]) % 2 for id in odd)
    assert ids(source(table, size=20)) == ids(source(table))
    for size in (0, 21):
        with pytest.raises(SettingError, match=rf"^size must .*, got {size}"):
            source(table, size=size)


@pytest.mark.parametrize("size", [20, 25, 50, 100])
def test_a_size_of_a_table_with_a_rhythm_is_of_all_kinds(size, tmp_path):
    """Of rows that ask the same four questions about each picture every fourth is the same question."""
    rows = [{"question": f"{n % 4}?", "answer": n} for n in range(200)]
    some = source(write_lines(tmp_path / "a.jsonl", rows), size=size)
    assert {some[i].question for i in range(size)} == {"0?", "1?", "2?", "3?"}


def test_right_answers_are_looked_at_of_all_kinds(tmp_path, capsys):
    rows = [{"question": "?", "answer": "red" if n % 4 else n} for n in range(4000)]
    Screen()(source(write_lines(tmp_path / "a.jsonl", rows)), "data.train")
    assert "texts 7" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------------- files


def test_a_split_is_a_word_in_the_path(tmp_path):
    for name, start in (("train-00000-of-00002", 0), ("train-00001-of-00002", 3), ("contrain", 6), ("val", 9)):
        write_lines(tmp_path / f"{name}.jsonl", lines(3, start))
    (tmp_path / "test").mkdir()
    write_lines(tmp_path / "test" / "part.jsonl", lines(3, 12))
    (tmp_path / "README.md").write_text("not data")
    expected = {"train": range(6), "val": range(9, 12), "test": range(12, 15)}
    for split, rows in expected.items():
        assert ids(source(tmp_path, split=split)) == [f"r{n}" for n in rows]
    assert len(source(tmp_path)) == 15
    with pytest.raises(
        SettingError, match=r"^split must be in the name of a file .*train-00000.*got dev; null takes all"
    ):
        source(tmp_path, split="dev")


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints/a.jsonl", "__MACOSX/a.jsonl", ".a.jsonl", "b/.c/d/a.jsonl"])
def test_hidden_files_of_a_folder_are_no_data(hidden, tmp_path):
    folder = tmp_path / ".cache" / "data"  # the folder itself may lie anywhere
    (folder / hidden).parent.mkdir(parents=True)
    write_lines(folder / hidden, lines(3))
    with pytest.raises(SettingError, match=r"^path must hold files of .*, got .* without any"):
        source(folder)
    write_lines(folder / "a.jsonl", lines(3))
    assert ids(source(folder)) == ["r0", "r1", "r2"]


def test_a_file_is_a_split(table):
    assert len(source(table, split="whatever")) == 20


COLOURS = {"a": "red", "b": "lime", "c": "blue"}


@pytest.fixture
def numbered(tmp_path) -> Path:
    """Folders of a table each, whose pictures have the same names in all of them."""
    for folder, colour in COLOURS.items():
        (tmp_path / folder).mkdir()
        rows = [{"question": f"{n}?", "answer": colour, "image": f"{n}.png"} for n in range(3)]
        for row in rows:
            Image.new("RGB", (28, 28), colour).save(tmp_path / folder / row["image"])
        write_lines(tmp_path / folder / "rows.jsonl", rows)
    return tmp_path


@pytest.mark.parametrize("pattern", [".", "*/rows.jsonl"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_shows_the_picture_beside_its_own_file(numbered, pattern, streaming):
    (numbered / "b" / "1.png").unlink()
    found = source(numbered / pattern, streaming=streaming)
    found = found.endless(0) if streaming else found
    missing = []
    for i in range(9):
        try:
            item = found[i]
        except BadRow as bad:  # not a's or c's
            missing.append(bad)
            continue
        assert item.images[0].getpixel((0, 0)) == ImageColor.getrgb(item.answer)
    assert [bad.id for bad in missing] == ["folder-1-1"]


def test_pictures_of_several_files_may_lie_in_the_folder_that_was_given(numbered):
    Image.new("RGB", (56, 56)).save(numbered / "0.png")
    (numbered / "a" / "0.png").unlink()
    sizes = [item.images[0].width for item in source(numbered)]
    assert sizes == [56] + 8 * [28]
    path = {"question": "a?", "answer": "1", "image": "a/1.png"}
    write_lines(numbered / "b" / "rows.jsonl", [path])
    assert source(numbered, split="b")[0].images[0].size == (28, 28)  # of one file, too


def test_splits_on_disk_are_named(tmp_path):
    rows = Dataset.from_list(lines(3))
    DatasetDict({"train": rows, "val": rows.select([0])}).save_to_disk(tmp_path / "two")
    DatasetDict({"train": rows}).save_to_disk(tmp_path / "one")
    rows.save_to_disk(tmp_path / "none")
    assert len(source(tmp_path / "two", split="val")) == 1
    assert len(source(tmp_path / "one")) == len(source(tmp_path / "none", split="train")) == 3
    for split in (None, "test"):
        with pytest.raises(SettingError, match=rf"^split must be one of train, val .*got {split}"):
            source(tmp_path / "two", split=split)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere.jsonl", "^path must exist, got .*nowhere.jsonl"),
        (lambda root: root, "^path must hold files of"),
        (lambda root: broken(root / "a.parquet"), "^path must be data that can be read"),
        (lambda root: broken(root / "a.jsonl"), "^path must be data that can be read"),
        (lambda root: broken(root / "a.txt"), "^path must hold files of one of .parquet.*with .txt"),
        (
            lambda root: broken(root / "a.jsonl").parent / broken(root / "b.csv").parent,
            "^path must hold files of one of .*with .csv, .jsonl",
        ),
    ],
    ids=["nothing", "empty", "parquet", "jsonl", "txt", "two kinds"],
)
def test_what_cannot_be_read_is_told_why(make, message, tmp_path):
    with pytest.raises(SettingError, match=message):
        source(make(tmp_path))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_an_empty_file_is_told(name, streaming, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(SettingError, match=rf"^path must (have rows|be data that can be read), got .*{name}"):
        source(tmp_path / name, streaming=streaming)


def broken(path: Path) -> Path:
    path.write_text("neither this\nnor that\n")
    return path


def test_a_hub_that_cannot_be_reached_is_told_so(monkeypatch):
    with pytest.raises(SettingError, match=r"^path must be data that can be read, got nobody/nothing \(split train\)"):
        source("nobody/nothing", split="train")


def test_a_hub_is_asked_for_what_was_configured(monkeypatch):
    asked, rows = [], Dataset.from_list(lines(3))

    def load_dataset(path, name, *, split, streaming):
        asked.append((path, name, split, streaming))
        return rows if split else DatasetDict({"only": rows})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert ids(source("some/where", subset="small", split="test")) == ["r0", "r1", "r2"]
    assert ids(source("some/where")) == ["r0", "r1", "r2"]
    assert asked == [("some/where", "small", "test", False), ("some/where", None, None, False)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schema": "charts"}, r"^schema must be one of chartqa, .*got 'charts'"),
        ({"path": None}, r"^path must say where"),
        ({"rule": "exactly"}, r"^rule must be one of exact, .*got 'exactly'"),
        ({"share": [0.5, 0.5]}, r"^share must be \[from, to\).*got \[0.5, 0.5\]"),
        ({"share": [0, 1.5]}, r"^share must"),
        ({"template": "Answer."}, r"^template must be made of {hint}, {question}, got 'Answer.'"),
        ({"template": "{question} {answer}"}, r"^template must be made of"),
        ({"template": "{question"}, r"^template must be made of {hint}, {question}, got '{question'"),
        ({"template": "{question.__class__}"}, r"^template must be made of"),
        ({"template": "{question:>9}"}, r"^template must be made of"),
        ({"hints": {"integer": "{question}"}}, r"^hints\.integer must be made of {precision}"),
        ({"streaming": True, "size": 3}, r"^size must be null with streaming=true"),
        ({"streaming": True, "buffer_size": 0}, r"^buffer_size must be at least 1, got 0"),
    ],
    ids=str,
)
def test_a_setting_that_cannot_work_is_named(settings, message, table):
    with pytest.raises(SettingError, match=message):
        table_source(**{"schema": "folder", "path": str(table)} | settings)


def test_braces_of_the_data_are_text(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"question": "{hint} \\frac{1}{2} {0}", "answer": "{question}"}])
    assert source(path, template="Q: {question}")[0].question == "Q: {hint} \\frac{1}{2} {0}"


def test_a_rule_for_all(table):
    assert source(table)[0].rule == "exact"
    for rule in ("math", "my.package.grader"):
        assert source(table, rule=rule)[0].rule == rule


# -------------------------------------------------------------------------------------------------------------- streams


def first(stream, count: int, seed: int = 0, start: int = 0) -> list[str]:
    reader = stream.endless(seed)
    return [reader[i].id for i in range(start, start + count)]


@pytest.fixture
def stream(table):
    return source(table, streaming=True, buffer_size=5)


def test_a_stream_passes_over_all_rows_again_and_again(stream):
    seen = first(stream, 60)
    passes = [seen[i : i + 20] for i in (0, 20, 40)]
    assert all(sorted(one) == sorted(f"r{n}" for n in range(20)) for one in passes)
    assert len(set(map(tuple, passes))) == 3
    assert passes[0] != [f"r{n}" for n in range(20)]


def test_a_stream_follows_the_seed_and_the_position(stream):
    whole = first(stream, 50)
    assert first(stream, 50) == whole != first(stream, 50, seed=1)
    assert first(stream, 10, start=33) == whole[33:43]
    reader = stream.endless(0)
    assert [reader[i].id for i in (7, 8, 3, 30)] == [whole[i] for i in (7, 8, 3, 30)]  # 3 starts over


def test_a_stream_reads_each_row_once(stream, monkeypatch):
    read = []
    original = Table._row
    monkeypatch.setattr(Table, "_row", lambda table, rows: read.append(1) or original(table, rows))
    first(stream, 12)
    assert len(read) == 12 + 5  # what was asked for, and the buffer
    first(stream, 2, start=10)
    assert len(read) == 2 * (12 + 5)


def test_a_stream_chooses_rows_too(table):
    chosen = source(table, streaming=True, tags={"parity": ["o"]}, share=[0, 0.5])
    expected = set(ids(source(table, tags={"parity": ["o"]}, share=[0, 0.5])))
    assert set(first(chosen, 2 * len(expected))) == expected
    with pytest.raises(ConfigError, match="the stream has no row"):
        first(source(table, streaming=True, tags={"parity": ["x"]}), 1)


def test_rows_without_an_id_have_the_same_one_in_every_order(tmp_path):
    for file in "ab":
        write_lines(tmp_path / f"{file}.jsonl", [{"question": f"{file}{n}?", "answer": n} for n in range(6)])
    readers = [source(tmp_path, streaming=True, buffer_size=2).endless(seed) for seed in (0, 1, 2)]
    named = [{reader[i].id: reader[i].question for i in range(12)} for reader in readers]
    assert named[0] == named[1] == named[2]
    assert named[0] == {f"folder-{'ab'.index(file)}-{n}": f"{file}{n}?" for file in "ab" for n in range(6)}
    assert len({next(iter(one))[:9] for one in named}) == 2  # files come in any order
    one = source(tmp_path / "a.jsonl", streaming=True).endless(0)
    table = source(tmp_path / "a.jsonl")
    assert sorted(one[i].id for i in range(6)) == ids(table)


def test_a_stream_of_several_files_has_the_shares_of_their_table(tmp_path):
    for file in "abc":
        write_lines(tmp_path / f"{file}.jsonl", [{"question": f"{file}{n}?", "answer": n} for n in range(20)])
    for share in ([0, 0.7], [0.7, 1]):
        table = source(tmp_path, share=share)
        stream = source(tmp_path, share=share, streaming=True).endless(0)
        found = [table[i] for i in range(len(table))]
        assert {stream[i].question: stream[i].id for i in range(len(found))} == {
            item.question: item.id for item in found
        }


def test_a_hub_of_several_files_without_ids_streams_whole(monkeypatch):
    """Which of its rows stand in which file only the stream knows."""

    def rows(files):
        for file in files:
            for n in range(3):
                yield {"question": "a?", "answer": "1", "key": f"{file}{n}"}

    data = IterableDataset.from_generator(rows, gen_kwargs={"files": ["a", "b"]})
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: data)
    with pytest.raises(SettingError, match=r"^share must be \[0, 1\] .*, got \[0, 0\.9\]: .*columns=\{id: COLUMN\}"):
        source("some/data", streaming=True, share=[0, 0.9])
    assert len(set(first(source("some/data", streaming=True, share=[0.0, 1.0]), 6))) == 6
    named = source("some/data", streaming=True, share=[0, 0.9], columns={"id": "key"})
    assert {*first(named, 12)} <= {f"{file}{n}" for file in "ab" for n in range(3)}


@pytest.mark.parametrize("saved", [False, True])
def test_pictures_stream(saved, tmp_path):
    rows = REPLICAS["virl39k"].dataset()
    rows.save_to_disk(tmp_path / "d") if saved else rows.to_parquet(tmp_path / "train.parquet")
    settings = {"schema": "virl39k", "path": str(tmp_path / "d" if saved else tmp_path)}
    reader = table_source(**settings, streaming=True).endless(0)
    streamed = {item.question: item for item in (reader[i] for i in range(4))}
    table = table_source(**settings)
    for item in (table[i] for i in range(4)):
        images = streamed[item.question].images
        assert [image.tobytes() for image in images] == [image.tobytes() for image in item.images]


@pytest.mark.parametrize("broken", ['{"question": "a', "[1]"])
def test_a_stream_says_which_file_is_broken(broken, tmp_path):
    """Further in than what is looked at before the start."""
    write_lines(tmp_path / "a.jsonl", lines(3))
    rows = "".join(json.dumps({"question": "?" * 20_000, "answer": n}) + "\n" for n in range(1000))
    (tmp_path / "b.jsonl").write_text(rows + broken + "\n")
    reader = source(tmp_path, streaming=True).endless(0)
    with pytest.raises(ConfigError, match=r"^path with streaming=true: .*/b\.jsonl cannot be read to its end \("):
        reader[1010]


def test_a_stream_checks_its_columns_at_start(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"question": "a?", "reply": 1}])
    with pytest.raises(SettingError, match="column 'answer'"):
        source(path, streaming=True)


# -------------------------------------------------------------------------------------------------------- its own rules


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": ""}, "empty question"),
        ({"question": "  "}, "empty question"),
        ({"answer": None}, "empty answer"),
        ({"answer": [["a"]]}, "answer is list, not text"),
        ({"question": ["a", "b"]}, "question is list, not text"),
        ({"choices": ["1", "2"]}, "answer '11' is not among the 2 choices"),
        ({"choices": ["1"] * 27, "answer": "1"}, "27 choices are more than there are letters"),
        ({"choices": ["a", ["b"]]}, "an item of choices is list, not text"),
        ({"answer_type": "number"}, "answer_type 'number' is none of"),
        ({"rule": "exactly"}, "rule 'exactly' is none of"),
        ({"rule": "os.system"}, "rule 'os.system' is none of"),  # data names no code that is run
        ({"rule": "exact", "answer_type": "float"}, "the rule exact does not grade answer_type 'float'"),
        ({"precision": 1.5}, "precision is '1.5', not a whole number"),
        ({"image": "nowhere.png"}, "picture file 'nowhere.png' does not exist"),
        ({"images": [None]}, "picture is missing"),
        ({"tags": {"a": ["b"]}}, "a is list, not text"),
        ({"tags": "bars, easy"}, 'tags is a text, but not of named fields, such as {"kind": "bars"}'),
    ],
    ids=str,
)
def test_a_bad_row_says_why(row, reason, tmp_path):
    good = {"id": "good", "question": "a?", "answer": "11"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(good | {"id": "bad"} | row) + "\n" + json.dumps(good) + "\n")
    table = source(path)
    for read in (table.__getitem__, table.draft):
        with pytest.raises(BadRow) as caught:
            read(0)
        assert caught.value.id == "bad"
        assert reason in caught.value.reason
    assert table[1].id == "good"


def test_a_row_shows_no_file_outside_of_its_data(tmp_path):
    """Unless it may; headers and pixels alike, and the other picture too."""
    folder = tmp_path / "data"
    folder.mkdir()
    for place in (tmp_path / "private.png", folder / "own.png"):
        Image.new("RGB", (28, 28)).save(place)
    row = {"question": "a?", "answer": "11"}
    outside = [row | {"image": "../private.png"}, row | {"image": "own.png", "counterfactual_image": "../private.png"}]
    path = write_lines(folder / "rows.jsonl", outside)
    for n in range(2):
        for read in (source(path).__getitem__, source(path).draft):
            with pytest.raises(BadRow, match="outside of the data's folder"):
                read(n)
    let_in = source(path, allow_outside=True)
    assert let_in[0].images[0].size == let_in[1].counterfactual(0)[0].size == (28, 28)


def test_choices_and_labels_may_be_numbers(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"question": "a?", "answer": 2, "choices": [1, 2], "labels": [2, "two"]}])
    assert (source(path)[0].choices, source(path)[0].labels) == (("1", "2"), ("2", "two"))


@pytest.mark.parametrize("answer", ["red", "RED", "b", "B", "(B)"])
def test_a_choice_is_named_by_text_or_letter(answer, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"question": "a?", "answer": answer, "choices": ["red", "blue"]}])
    assert source(path)[0].answer == answer
