"""Tars in WebDataset's layout: which files become which columns, and what is said of a broken one."""

import json
import tarfile

import datasets
import pyarrow as pa
import pytest
from replicas import encoded, picture, write_tar

from papo.data.sources import table_source
from papo.errors import BadRow, ConfigError, SettingError

PNG = encoded(picture(1))


@pytest.fixture(autouse=True)
def dataset_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def row(key, *, png="png", **fields):
    """The files of a row."""
    return {f"{key}.{png}": PNG, f"{key}.json": json.dumps({"question": "How many?", "answer": 3} | fields).encode()}


def opened(path, **settings):
    return table_source(schema=None, path=str(path), **settings)


def items(path, **settings):
    source = opened(path, **settings)
    return [source[i] for i in range(len(source))]


def test_files_of_one_name_are_a_row(tmp_path):
    """In folders with dots; hidden files and folders are passed over."""
    write_tar(
        tmp_path / "a.tar", {"._7.png": b"", "v1.0/7.jpg": PNG, "v1.0/7.question.txt": b"Why?", "v1.0/7.cls": b"4"}
    )
    (item,) = items(tmp_path / "a.tar", columns={"answer": "cls"})
    assert (item.id, item.question, item.answer, len(item.images)) == ("folder-0", "Why?", "4", 1)
    assert item.images[0].tobytes() == picture(1).tobytes()
    assert items(tmp_path / "a.tar", columns={"answer": "cls", "id": "__key__"})[0].id == "v1.0/7"


def test_numbered_pictures_come_in_their_order(tmp_path):
    shown = {f"7.{n}.png": encoded(picture(n)) for n in (10, 2, 0)}
    write_tar(tmp_path / "a.tar", shown | {"7.json": row(7)["7.json"]})
    (item,) = items(tmp_path / "a.tar")
    assert [image.tobytes() for image in item.images] == [picture(n).tobytes() for n in (0, 2, 10)]


def test_what_the_fields_call_the_pictures_is_left_out(tmp_path):
    write_tar(tmp_path / "a.tar", row(7, image="7.png", images=["7.png"]))
    assert len(items(tmp_path / "a.tar")[0].images) == 1


def test_other_pictures_have_columns_of_their_own(tmp_path):
    files = row(7) | {"7.counterfactual_image.png": encoded(picture(2)), "7.tags.json": b'{"kind": "cup"}'}
    write_tar(tmp_path / "a.tar", files)
    (item,) = items(tmp_path / "a.tar")
    assert item.counterfactual(0)[0].tobytes() == picture(2).tobytes()
    assert item.tags == {"kind": "cup"}


def test_rows_may_differ(tmp_path):
    """In the format of their picture, also from tar to tar, in fields and in the type of an answer."""
    write_tar(tmp_path / "0.tar", row(0) | row(1, png="jpg", id="x", answer="red"))
    write_tar(tmp_path / "1.tar", row(2, png="webp", answer=2.5) | {"3.json": row(3)["3.json"]})
    assert isinstance(
        opened(tmp_path / "*.tar").reading.table.schema.field("answer").type, pa.JsonType
    )  # of no kind, fits all
    found = items(tmp_path / "*.tar")
    assert [item.answer for item in found] == ["3", "red", "2.5", "3"]
    assert [item.id for item in found] == ["folder-0-0", "x", "folder-1-0", "folder-1-1"]
    assert [len(item.images) for item in found] == [1, 1, 1, 0]


def test_a_folder_is_all_of_its_tars_and_a_split_those_of_its_name(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number, name in enumerate(("test", "train-0", "train-1")):
        write_tar(folder / f"{name}.tar", row(number, answer=number))
    assert [item.answer for item in items(folder)] == ["0", "1", "2"]
    assert [item.answer for item in items(folder, split="train")] == ["1", "2"]


def test_a_stream_reads_the_same_rows(tmp_path):
    for shard in range(3):
        write_tar(tmp_path / f"{shard}.tar", row(0, question=f"{shard} a") | row(1, question=f"{shard} b"))
    whole = {item.question: item.images[0].tobytes() for item in items(tmp_path / "*.tar")}
    stream = opened(tmp_path / "*.tar", streaming=True).endless(0)
    assert {item.question: item.images[0].tobytes() for item in map(stream.__getitem__, range(6))} == whole
    assert len(whole) == 6


def test_a_picture_may_not_lie_outside(tmp_path):
    """Of a row without one in the tar, whose fields name a file; nor where a pattern begins."""
    (tmp_path / "data").mkdir()
    picture(1).save(tmp_path / "secret.png")
    picture(1).save(tmp_path / "data" / "beside.png")
    text = {key: value for key, value in row(0, image="beside.png").items() if key.endswith("json")}
    text |= {key: value for key, value in row(1, image="../secret.png").items() if key.endswith("json")}
    write_tar(tmp_path / "data" / "a.tar", text)
    source = opened(tmp_path / "*" / "a.tar")
    assert len(source[0].images) == 1
    with pytest.raises(BadRow, match="lies outside of the data's folder; allow_outside=true lets it in"):
        source[1]


def test_nothing_is_unpacked(tmp_path):
    """A name that leads out of the tar is only a name, and a link to a file is passed over."""
    (tmp_path / "secret.png").write_bytes(PNG)
    with tarfile.open(write_tar(tmp_path / "a.tar", {f"../{name}": of for name, of in row(0).items()}), "a") as archive:
        link = tarfile.TarInfo("../0.1.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        archive.addfile(link)
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    (item,) = items(tmp_path / "a.tar")
    assert len(item.images) == 1
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before


def test_a_broken_picture_is_a_bad_row(tmp_path):
    write_tar(tmp_path / "a.tar", row(0) | row(1) | {"1.png": b"no picture"})
    source = opened(tmp_path / "a.tar")
    assert source[0].images
    with pytest.raises(BadRow, match=r"^folder-1: picture cannot be read"):
        source[1]


@pytest.mark.parametrize("fields", [b"[1]", b'{"question": "How many?"}'], ids=["a list", "no gold"])
def test_fields_that_lack_something_are_a_bad_row(tmp_path, fields):
    write_tar(tmp_path / "a.tar", row(0, gold=3) | row(1) | {"1.json": fields})
    source = opened(tmp_path / "a.tar", columns={"answer": "gold"})
    assert source[0].answer == "3"
    with pytest.raises(BadRow, match=r"^folder-1: empty (question|answer)$"):
        source[1]


def test_a_broken_file_far_behind_is_named(tmp_path, monkeypatch):
    """Which is not among those that are looked at first."""
    monkeypatch.setattr("papo.data.sources.tars.LOOKED_AT", 4)
    write_tar(tmp_path / "a.tar", row(0) | row(1) | row(2) | {"3.json": b"{"})
    with pytest.raises(SettingError, match=r"a.tar: 3.json: Expecting property name"):
        opened(tmp_path / "a.tar")


BROKEN = {
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:1200]), "1.tar: unexpected end of data"),
    "no tar": (lambda path: path.write_bytes(b"hello"), "1.tar: truncated header"),
    "empty": (lambda path: path.write_bytes(b""), "1.tar: empty file"),
    "no JSON": (lambda path: write_tar(path, row(1) | {"1.json": b"{"}), "1.tar: 1.json: Expecting property name"),
    "no text": (lambda path: write_tar(path, row(1) | {"1.txt": b"\xff"}), "1.tar: 1.txt: 'utf-8' codec can't decode"),
    "no number": (lambda path: write_tar(path, row(1) | {"1.cls": b"x"}), "1.tar: 1.cls: invalid literal for int"),
    "other file": (lambda path: write_tar(path, row(1) | {"1.npy": b""}), "1.tar: 1.npy is no picture, .json or .txt"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_tar_is_named(tmp_path, broken):
    """The second of two, and the first for a stream, which begins with it."""
    spoil, message = BROKEN[broken]
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", row(number))
    spoil(tmp_path / "1.tar")
    with pytest.raises(SettingError, match=r"^path must be tars that can be read, got ") as said:
        opened(tmp_path / "*.tar")
    assert message in str(said.value)
    assert "\n" not in str(said.value)
    (tmp_path / "0.tar").unlink()
    with pytest.raises(SettingError, match=r"^path must be tars that can be read, got "):
        opened(tmp_path / "*.tar", streaming=True)


@pytest.mark.parametrize("files", [{"1.npy": b""}, row(1, png="jpg"), {"1.json": b"{"}], ids=["npy", "jpg", "JSON"])
def test_a_stream_that_meets_another_tar_says_so(tmp_path, files):
    write_tar(tmp_path / "0.tar", row(0))
    write_tar(tmp_path / "1.tar", files)
    stream = opened(tmp_path, streaming=True).endless(0)
    with pytest.raises(ConfigError, match=r"^path with streaming=true: tar 2 of 2, .* streaming=false says") as said:
        [stream[i] for i in range(4)]
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README": b"", "__7.png": PNG}, "path must be tars of files such as 7.jpg and 7.json, got .* without any"),
        (
            {"7.png": PNG},
            r"must be data that looks like folder, .*column 'question' .* is missing; found __key__ .*image",
        ),
    ],
)
def test_tars_without_questions_are_refused(tmp_path, files, message):
    write_tar(tmp_path / "a.tar", files)
    with pytest.raises(SettingError, match=message):
        opened(tmp_path / "a.tar")


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"^path must match files, got .*x-\*\.tar, which matches none"):
        opened(tmp_path / "x-*.tar")
