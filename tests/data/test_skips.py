"""The list of rows that were left out: each once, whole lines, whoever writes."""

import json
import multiprocessing
import time

from papo.data.skips import Skips
from papo.errors import BadRow


def listed(path) -> list[tuple[str, str, str]]:
    return [tuple(json.loads(line).values()) for line in path.read_text().splitlines()]


def test_skips_are_listed_once_each(tmp_path):
    skips, path = Skips(), tmp_path / "skipped.jsonl"
    skips.add("data.train", BadRow("a", "early"))
    assert skips.count() == 1
    skips.log_to(path)
    for id in ("a", "b", "b", 'c\n"é'):
        skips.add("data.train", BadRow(id, "late"))
    skips.add("data.val", BadRow("a", "of another source"))
    assert listed(path) == [
        ("data.train", "a", "early"),
        ("data.train", "b", "late"),
        ("data.train", 'c\n"é', "late"),
        ("data.val", "a", "of another source"),
    ]
    assert skips.count() == 4


def test_skips_are_counted_by_their_place():
    skips = Skips()
    for place in ("benchmarks.a", "benchmarks.a", "benchmarks.a.sources.b", "benchmarks.ab", "data.val"):
        skips.add(place, BadRow(str(len(skips.reasons)), "broken"))
    assert [skips.count(of) for of in ("", "benchmarks.a", "benchmarks.ab", "benchmarks", "c")] == [5, 3, 1, 4, 0]


def test_no_skip_no_file(tmp_path):
    skips = Skips()
    skips.log_to(tmp_path / "skipped.jsonl")
    assert skips.count() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_goes_on_with_the_list(tmp_path):
    path = tmp_path / "skipped.jsonl"
    first, second = Skips(), Skips()
    for skips, ids in ((first, "ab"), (second, "bc")):
        for id in ids:
            skips.add("data.train", BadRow(id, "bad"))
        skips.log_to(path)
    assert [id for _, id, _ in listed(path)] == ["a", "b", "c"]
    assert second.count() == 3
    assert first.count() == 3  # what others append is counted


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "skipped.jsonl"
    skips = Skips()
    skips.log_to(path)
    line = '{"source": "data.train", "id": "a", "reason": "bad"}\n'
    path.write_text(line[:20])
    assert skips.count() == 0
    path.write_text(line)
    assert skips.count() == 1


def add_many(skips: Skips, who: int) -> None:
    for n in range(200):
        skips.add("data.train", BadRow(f"{who}-{n}", "x" * (n % 50)))


def in_processes(function, *arguments: tuple) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=function, args=given) for given in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def test_processes_write_whole_lines(tmp_path):
    skips = Skips()
    skips.log_to(tmp_path / "skipped.jsonl")
    in_processes(add_many, *((skips, who) for who in range(3)))
    assert skips.count() == 600
    assert len(listed(tmp_path / "skipped.jsonl")) == 600


def test_processes_list_a_row_once(tmp_path, monkeypatch):
    """Those that find the same rows at the same time; between looking and writing there is time for another to come."""
    read = Skips._read
    monkeypatch.setattr(Skips, "_read", lambda skips, file: (read(skips, file), time.sleep(0.002))[0])
    skips = Skips()
    skips.log_to(tmp_path / "skipped.jsonl")
    in_processes(add_many, *((skips, 0) for _ in range(3)))
    assert len(listed(tmp_path / "skipped.jsonl")) == 200
