"""A file that was replaced is read anew."""

import io
import json
import os
import tarfile

import datasets
import pytest
from replicas import write_lines

from papo.data.sources import table_source
from papo.data.sources.copies import BLOCK, BLOCKS, place_of_copy

TIME = (1.7e9, 1.7e9)


def as_lines(path, answer):
    return write_lines(path / "a.jsonl", [{"question": "?", "answer": answer}])


def as_cells(path, answer):
    (path / "a.csv").write_text(f"question,answer\n?,{answer}\n")
    return path / "a.csv"


def as_tar(path, answer):
    content = json.dumps({"question": "?", "answer": answer}).encode()
    info = tarfile.TarInfo("0.json")
    info.size = len(content)
    with tarfile.open(path / "a.tar", "w") as file:
        file.addfile(info, io.BytesIO(content))
    return path / "a.tar"


@pytest.mark.parametrize("write", [as_lines, as_cells, as_tar])
@pytest.mark.parametrize("answers", [("3", "4000"), ("3", "4")], ids=["other size", "same size"])
def test_a_file_of_the_same_time_with_other_rows_is_read_anew(tmp_path, write, answers):
    for answer in answers:
        file = write(tmp_path, answer)
        os.utime(file, TIME)
        assert table_source(schema=None, path=str(file))[0].answer == answer


def test_the_same_rows_are_copied_once(tmp_path):
    file, copies = as_lines(tmp_path, "copied once"), []
    for _ in range(2):
        (copy,) = table_source(schema=None, path=str(file)).reading.table.data.cache_files
        copies.append((copy["filename"], os.stat(copy["filename"]).st_mtime_ns))
    assert copies[0] == copies[1]


def test_a_large_file_is_looked_at_in_places(tmp_path):
    """At its ends and in between, wherever a byte stands among the first of a stretch."""
    file, places = tmp_path / "a", set()
    content = bytearray(3 * BLOCK * BLOCKS)
    for changed in (None, 0, len(content) // 3 + 9, len(content) - 1):
        if changed is not None:
            content[changed] = 1
        file.write_bytes(content)
        places.add(place_of_copy([file]))
    assert len(places) == 4
    assert place_of_copy([file]) in places
    file.write_bytes(content + b"\0")
    assert place_of_copy([file]) not in places


def test_a_copy_of_several_files_knows_which_rows_are_whose(tmp_path):
    """Also of empty ones, and from the cache."""
    counts = (0, 3, 0, 2, 0)
    for file, count in enumerate(counts):
        write_lines(tmp_path / f"{file}.jsonl", [{"question": f"{file}-{n}", "answer": n} for n in range(count)])
    for _ in range(2):
        table = table_source(schema=None, path=str(tmp_path)).reading.table
        assert table.lengths == counts
        assert [str(table.place(index)) for index in range(5)] == [table[index]["question"] for index in range(5)]
    assert not datasets.config.SAVE_ORIGINAL_SHARD_LENGTHS  # the caller's own data sets are as they were
    for file in range(2, 5):
        (tmp_path / f"{file}.jsonl").unlink()
    assert table_source(schema=None, path=str(tmp_path)).reading.table.lengths == (0, 3)
    write_lines(tmp_path / "0.jsonl", [{"question": "0-0", "answer": 0}])
    (tmp_path / "1.jsonl").write_text("")
    assert table_source(schema=None, path=str(tmp_path)).reading.table.lengths == (1, 0)
