"""Your own grader: what it says, and what it costs when it hangs."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from papo.data.sources.easy_vqa import Another
from papo.data.sources.pictures import OtherPictures
from papo.errors import ConfigError, GraderFailed
from papo.lab.items import LabDataset
from papo.rewards.grading import Grade, Verdict, grade, own, worker

from .cases import item

HERE = Path(__file__).parent


@pytest.fixture(autouse=True, scope="module")
def _graders():
    """own_graders can be imported here, and so in the process that is started from here."""
    own._stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield
    own._stop()


@pytest.fixture(autouse=True)
def _nothing_counted(monkeypatch):
    monkeypatch.setattr(own, "_tallies", {})


def asked(name, answer="7", response="it is 7", **fields):
    return grade(item(f"own_graders.{name}", answer, **fields), response)


@pytest.mark.parametrize(
    ("name", "response", "verdict"),
    [
        ("contains", "it is 7", Verdict.CORRECT),
        ("contains", "it is 8", Verdict.WRONG),
        ("same_text", "7", Verdict.CORRECT),
        ("same_text", "7 ", Verdict.WRONG),
        ("undecided", "7", Verdict.UNSCORABLE),
        ("chatty", "7", Verdict.CORRECT),
        ("contains", "\ud800 \x00 7 \u2028", Verdict.CORRECT),
        ("contains", "x" * 10**6 + "7", Verdict.CORRECT),
    ],
)
def test_verdicts(name, response, verdict):
    assert asked(name, response=response).verdict is verdict


def test_a_grade_comes_back_as_it_is():
    grading = asked("same_text", response="8\n")
    assert (grading.verdict, grading.answer, grading.reason) == (Verdict.WRONG, "8\n", "as written")
    grading = asked("contains")
    assert (grading.answer, grading.reason) == (None, "the grader says so")
    grading = asked("long", response="x" * 9000)
    assert (len(grading.answer), len(grading.reason)) == (10_000, 9000)


def test_true_and_false_may_be_of_numpy_or_pytorch():
    for response, verdict in (("7.000000001", Verdict.CORRECT), ("8", Verdict.WRONG)):
        assert grade(item("numpy_graders.close", "7"), response).verdict is verdict
    for value in (np.True_, np.array(True), torch.tensor(True)):
        assert worker.reply(value)["verdict"] == "correct"
        assert worker.reply(~value)["verdict"] == "wrong"


def test_several_or_a_score_are_no_verdict():
    reason = grade(item("numpy_graders.each", "7"), "7").reason
    assert reason.endswith("returns a Grade, true, false or None, got numpy.ndarray")
    for value in (np.float64(1.0), torch.tensor(1.0), torch.tensor([True]), np.int64(1), 0.5, "true"):
        with pytest.raises(TypeError, match="a grader returns"):
            worker.reply(value)


def test_the_item_arrives_without_its_images():
    grading = asked("describe", choices=("a", "b"), labels=("c",), tags={"task": "count"}, precision=2, scene={"x": 1})
    assert grading.reason == "(('a', 'b'), ('c',), {'task': 'count'})"
    assert "images" not in grading.answer
    assert "scene" not in grading.answer
    for text in ("('answer', '7')", "('id', 'item-7')", "('precision', 2)", "('question', 'How many?')"):
        assert text in grading.answer


def test_items_with_another_picture_are_graded():
    """What draws it is no text: the lab's items have one, easy-VQA's, and rows with a column for it."""
    items = [LabDataset("train", 4)[index] for index in range(4)]
    items.append(replace(items[0], counterfactual=Another(Path(), ((1, 2), (3,)))))
    items.append(replace(items[0], counterfactual=OtherPictures((), (), 1)))
    for question in items:
        asked_of_it = replace(question, rule="own_graders.contains")
        assert grade(asked_of_it, f"it is {question.answer}").correct
        assert grade(asked_of_it, "nothing").verdict is Verdict.WRONG
    assert "counterfactual" not in asked("describe", counterfactual=items[0].counterfactual).answer


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fail", "failed: KeyError: 'no such key'"),
        ("leave", "failed: SystemExit: 3"),
        ("number", "failed: TypeError: a grader returns a Grade, true, false or None, got int"),
        ("allocate", "failed: MemoryError"),
        ("crash", "ended its process"),
        ("sleep", "took longer than 0.3 s"),
        ("backtrack", "took longer than 0.3 s"),
        ("power", "took longer than 0.3 s"),
    ],
)
def test_a_bad_grader_costs_one_answer(name, reason):
    asked("contains")  # so that starting the process is not measured
    start = time.monotonic()
    grading = asked(name)
    assert time.monotonic() - start < 2
    assert grading.verdict is Verdict.WRONG
    assert grading.answer is None
    assert grading.reason.startswith(f"the grader own_graders.{name} {reason}")
    assert asked("contains").correct


def test_a_grader_states_its_own_limits():
    assert asked("patient").correct
    assert asked("roomy").correct
    assert asked("allocate").verdict is Verdict.WRONG  # the next one's limit is its own again


def test_the_process_stays_until_it_fails():
    first, second = asked("calls").answer.split(), asked("calls").answer.split()
    assert first[0] == second[0] != str(os.getpid())
    assert int(second[1]) == int(first[1]) + 1
    asked("fail")
    assert asked("calls").answer.split()[0] == first[0]
    asked("sleep")
    assert asked("calls").answer.split()[1] == "1"


def test_what_a_grader_started_ends_with_it(tmp_path):
    file = tmp_path / "pid"
    assert asked("child", response=str(file)).verdict is Verdict.WRONG
    status = Path(f"/proc/{file.read_text()}/status")
    for _ in range(100):
        if not status.exists() or "\nState:\tZ" in status.read_text():
            return
        time.sleep(0.02)
    raise AssertionError("still running")


def test_from_several_threads_at_once():
    found = []
    names = ["contains", "sleep", "contains", "fail", "contains"]
    threads = [threading.Thread(target=lambda name=name: found.append((name, asked(name).correct))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [("contains", True)] * 3 + [("fail", False), ("sleep", False)]


def test_in_a_forked_process():
    """A data loader's worker is one: it has a process of its own, and leaves its parent's alone."""
    parents = asked("calls").answer.split()[0]
    reader, writer = os.pipe()
    own._lock.acquire()  # held by another thread while the fork happens
    child = os.fork()
    if child == 0:
        try:
            answer = asked("calls").answer + " " + str(asked("sleep").correct)
            own._stop()
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    own._lock.release()
    assert os.waitpid(child, 0)[1] == 0
    pid, calls, slept = os.read(reader, 100).decode().split()
    assert (calls, slept) == ("1", "False")
    assert pid != parents
    assert asked("calls").answer.split()[0] == parents


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("own_graders.nothing", "cannot be imported: AttributeError"),
        ("no_such_module.grade", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("own_graders.not_a_function", "cannot be imported: TypeError: .* is a int, not a function"),
        ("own_graders.", "cannot be imported"),
        (".contains", "cannot be imported"),
    ],
)
def test_a_path_without_a_grader_is_an_error(rule, reason):
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"^rule {rule} of item item-7 {reason}"):
            grade(item(rule, "7"), "7")


def test_an_import_that_hangs_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "endless_import.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(str(tmp_path))
    own._stop()
    with monkeypatch.context() as short:
        short.setattr(own, "LOAD_S", 0.5)
        with pytest.raises(
            ConfigError, match=r"rule endless_import\.f of item item-7: importing it took longer than 0.5 s"
        ):
            grade(item("endless_import.f", "7"), "7")
    assert asked("contains").correct  # in as long as importing may take, on a busy machine too


def test_a_process_that_reads_no_more_is_given_up():
    """Stopped: a megabyte does not fit into a pipe."""
    asked("long")
    os.kill(own._current.process.pid, signal.SIGSTOP)
    start = time.monotonic()
    assert "took longer than 1 s" in asked("long", response="x" * 10**6).reason
    assert time.monotonic() - start < 3
    assert asked("contains").correct


def test_a_process_that_died_in_between_costs_nothing():
    asked("contains")
    first = own._current.process
    first.kill()
    first.wait()
    assert asked("contains").correct
    assert own._current.process.pid != first.pid


def test_it_ends_with_its_owner():
    """Also while it hangs, when the owner was killed and can stop nothing any more."""
    code = """
        import os, threading, time
        from papo.rewards.grading import grade, own
        from papo.types import Item
        item = Item("i", "q", (), answer="7", answer_type="text", rule="own_graders.backtrack")
        own._worker().load(item.rule)
        print(own._current.process.pid, flush=True)
        threading.Thread(target=lambda: (time.sleep(0.1), os._exit(0))).start()
        grade(item, "7")
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        check=True,
    )
    process = Path(f"/proc/{int(done.stdout)}/status")
    for _ in range(200):
        if not process.exists() or "\nState:\tZ" in process.read_text():
            return
        time.sleep(0.02)
    raise AssertionError("still running")


def test_the_protocol():
    """What goes through the pipes is JSON, a line each way, numbered as the question is."""
    questions = [{"load": f"own_graders.{name}", "seconds": 9, "id": n} for n, name in ((3, "sleep"), (4, "calls"))]
    process = subprocess.run(
        [sys.executable, "-m", "papo.rewards.grading.worker"],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        check=True,
    )
    assert [json.loads(line) for line in process.stdout.splitlines() if line] == [
        {"deadline_s": 0.3, "may_fail": 0.1, "id": 3, "spoilt": False},
        {"deadline_s": 1.0, "may_fail": 0.1, "id": 4, "spoilt": False},
    ]


@pytest.mark.parametrize("name", ["scribble", "forge"])
def test_what_it_writes_where_replies_go_is_not_taken_for_one(name):
    """Neither now nor for the next question."""
    for answer, verdict in (("7", Verdict.CORRECT), ("8", Verdict.WRONG)) * 3:
        assert asked(name, response=answer).verdict is verdict
    first = asked("calls").answer
    assert int(asked("calls").answer.split()[1]) == int(first.split()[1]) + 1


def test_writing_there_without_end_costs_the_answer():
    assert "wrote without end" in asked("flood").reason
    assert asked("contains").correct


@pytest.mark.parametrize("name", ["lower", "lower_for_good"])
def test_limits_that_it_lowers_are_not_the_next_ones(name):
    assert asked(name).correct
    assert asked("roomy").correct


@pytest.mark.parametrize(
    ("name", "said"), [("fail", "KeyError"), ("number", "TypeError"), ("sleep", "took longer than")]
)
def test_a_failure_is_said_at_once_and_once(capsys, name, said):
    """One that raises, one that returns a number, one that hangs."""
    assert asked("contains").failed is False
    for _ in range(3):
        grading = asked(name)
        assert grading.failed
        assert grading.verdict is Verdict.WRONG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: the grader own_graders.{name}")
    assert said in line


def test_what_it_says_of_an_answer_cannot_act_on_a_terminal(capsys):
    tally = own.Tally()
    broken = Grade(Verdict.WRONG, None, "KeyError: \x1b[2J\nred", failed=True)
    for _ in range(own.ENOUGH - 1):
        tally.add(broken, 0.1)
    with pytest.raises(GraderFailed, match="KeyError: ␛\\[2J␊red; it failed"):
        tally.add(broken, 0.1)
    assert "KeyError: ␛[2J␊red; such" in capsys.readouterr().err


def test_one_that_keeps_failing_ends_the_run():
    for _ in range(own.ENOUGH - 1):
        asked("fail")
    with pytest.raises(GraderFailed, match=r"KeyError.*failed on 16 of the last 16 answers.*may_fail"):
        asked("fail")
    assert asked("contains").correct


def test_one_that_breaks_late_ends_the_run_soon():
    for _ in range(3 * own.RECENT):
        asked("contains")
    tally = own._tallies["own_graders.contains"]
    broken = Grade(Verdict.WRONG, None, "broken", failed=True)
    for _ in range(20):
        tally.add(broken, 0.1)
    with pytest.raises(GraderFailed, match="failed on 21 of the last 200"):
        tally.add(broken, 0.1)


def test_how_often_one_failed_is_told_until_another_run_begins():
    for response in ("0", "1", "2"):
        asked("seldom", response=response)
    asked("contains")
    (line,) = own.failures()
    assert line == "the grader own_graders.seldom failed on 1 of 3 answers, which count as wrong"
    own.count_anew()
    assert own.failures() == []


def test_a_process_that_a_grader_spoilt_is_not_asked_again(monkeypatch):
    """Where nobody may raise a limit again; here, as root, everybody may."""
    asked("contains")
    first = own._current.process.pid
    reply = own.Worker.reply
    monkeypatch.setattr(own.Worker, "reply", lambda *given: (found := reply(*given)) and found | {"spoilt": True})
    assert asked("contains").correct
    monkeypatch.undo()
    assert asked("contains").correct
    assert own._current.process.pid != first


def test_one_that_fails_seldom_does_not():
    for n in range(12 * own.ENOUGH):
        assert asked("seldom", response=str(n % 12)).failed is (n % 12 == 0)  # 8.3 %: it may on 10
    for _ in range(3):
        asked("seldom", response="0")
    with pytest.raises(GraderFailed, match="failed on 20 of the last 196"):
        asked("seldom", response="0")
    for _ in range(2 * own.ENOUGH):
        assert asked("hopeless").failed  # it may always
