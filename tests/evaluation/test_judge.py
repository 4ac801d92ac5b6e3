"""A language model that reads answers out of responses, behind a server of this machine: here one that is scripted."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from papo.arguments import check_arguments
from papo.errors import ConfigError, SettingError
from papo.evaluation.judge import Judge
from papo.rewards.grading import Grade, Verdict, grade
from papo.types import Item

COUNT = Item("i", "How many birds?", (), "4", "integer", rule="mathvista")
CHOICE = Item(
    "c", "Which?\nChoices:\n(A) red\n(B) blue", (), "blue", "choice", choices=("red", "blue"), rule="mathvista"
)


@pytest.fixture
def server():
    """Replies with `server.reply`, or as it says; keeps what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body)))
            status, text = self.server.answer
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self):
            """Where a redirection leads: a good reply."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"choices": [{"message": {"content": "4"}}]}')

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked = asked
        thread = threading.Thread(
            target=found.serve_forever, args=[0.01], daemon=True
        )  # s between looks whether to end
        thread.start()
        yield found
        found.shutdown()


@pytest.fixture
def judge(server):
    def judge(reply, status=200):
        server.answer = (status, reply if status != 200 else json.dumps({"choices": [{"message": {"content": reply}}]}))
        return Judge(f"http://127.0.0.1:{server.server_port}/v1/", "m", 5.0)

    return judge


def asked(judge, item, response):
    return judge(item, response, grade(item, response))


@pytest.mark.parametrize(
    ("item", "response", "reply", "verdict", "answer"),
    [
        (COUNT, "I see four birds.", "4", Verdict.CORRECT, "4"),
        (COUNT, "I see five birds.", "\n 5\nbecause", Verdict.WRONG, "5"),
        (COUNT, "I see some birds.", "NONE", Verdict.WRONG, None),
        (COUNT, "I see some birds.", "", Verdict.WRONG, None),
        (COUNT, "I see four birds.", "four", Verdict.WRONG, None),
        (CHOICE, "It is clearly the second one.", "B", Verdict.CORRECT, "blue"),
        (CHOICE, "It is clearly the second one.", '"bleu"', Verdict.CORRECT, "blue"),  # officially the nearest
    ],
)
def test_what_it_reads_goes_through_the_rule(judge, item, response, reply, verdict, answer):
    assert grade(item, response).answer is None
    found = asked(judge(reply), item, response)
    assert (found.verdict, found.answer) == (verdict, answer)
    assert ("was read out by the judge m" in found.reason) == (reply not in ("", "NONE"))


def test_what_it_is_asked(judge, server):
    of = judge("4")
    asked(of, COUNT, "I see {four} birds.")
    ((path, body),) = server.asked
    assert path == "/v1/chat/completions"
    (message,) = body["messages"]
    assert (body["model"], body["temperature"], message["role"]) == ("m", 0, "user")
    assert "How many birds?" in message["content"]
    assert "I see {four} birds." in message["content"]
    assert "as a whole number" in message["content"]
    assert "answer is 4" not in message["content"]  # it does not know what is right
    assert of.kept == [{"item": "i", "prompt": message["content"], "reply": "4", "verdict": "correct"}]


@pytest.mark.parametrize(
    ("item", "response"),
    [
        (COUNT, r"so \boxed{5}"),  # the rule has read it
        (COUNT, " \n"),  # nothing to read
        (replace(COUNT, answer="many"), "I see four birds."),  # unscorable
        (replace(COUNT, rule="math"), "I see four birds."),  # no official step of that rule
    ],
)
def test_who_is_not_asked(judge, server, item, response):
    of = judge("4")
    found = grade(item, response)
    assert of(item, response, found) is found
    assert (server.asked, of.kept) == ([], [])


@pytest.mark.parametrize(
    ("reply", "status"), [("no", 500), ("", 302), ("no json", 203), ("{}", 203), ('{"choices": []}', 203)]
)
def test_a_server_that_gives_no_reply_ends_it(judge, reply, status):
    """A redirection too: nobody may send answers on to somewhere else."""
    with pytest.raises(ConfigError, match=r"rescore.judge.url=http://127.0.0.1:\d+/v1/ gave no reply"):
        asked(judge(reply, status), COUNT, "I see four birds.")


def test_nobody_there(server):
    with pytest.raises(ConfigError, match="gave no reply"):
        asked(Judge("http://localhost:9/v1", "m", 1.0), COUNT, "I see four birds.")


@pytest.mark.parametrize(
    "url", ["https://api.example.com/v1", "http://127.0.0.1.example.com", "file:///etc/passwd", "localhost:8000", "http://["]
)  # fmt: skip
def test_only_this_machine_is_asked(url):
    with pytest.raises(SettingError, match="url must be http://localhost:PORT/v1 or so, on this machine"):
        check_arguments(Judge, {"url": url, "model": "m", "timeout_s": 1.0})


def test_off_unless_asked_for():
    assert Judge.of({"url": None, "model": None, "timeout_s": 1.0}) is None
    with pytest.raises(ConfigError, match=r"rescore\.judge\.model=m needs rescore\.judge\.url"):
        Judge.of({"url": None, "model": "m", "timeout_s": 1.0})
    with pytest.raises(ConfigError, match=r"rescore\.judge\.model must name the model"):
        Judge.of({"url": "http://localhost/v1", "model": None, "timeout_s": 1.0})


def test_a_grader_of_ones_own_that_failed_is_no_answer_to_read(judge, server):
    failed = Grade(Verdict.WRONG, None, "it took too long", failed=True)
    item = replace(COUNT, rule="my.grader")
    assert judge("4")(item, "I see four birds.", failed) is failed
    assert server.asked == []
