"""What tells the code of two runs apart, and what does not."""

import pytest

from papo import code


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Modules of one's own, and folders that are none."""
    for name in ("ideas/term.py", "ideas/deep/view.py", "alone.py", "photos/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def named(*texts: str) -> set[str]:
    return set(code.own_modules({"a": {"_target_": texts[0]}, "b": [*texts[1:]]}))


def test_own_modules_are_found_by_the_names_in_a_configuration(files):
    assert named("ideas.term.Term", "alone.View", "ideas.deep.view.View") == {"ideas", "alone"}
    assert code.own_modules({"_target_": "ideas.term.Term"}) == {"ideas": (files / "ideas",)}


@pytest.mark.parametrize(
    "text",
    ["photos.csv", "papo.objective.Term", "torch.optim.AdamW", "json.loads", "nowhere.x", "ideas/term.py", "1.5"],
)
def test_nothing_else_is(files, text):
    assert not named(text)


def test_a_digest_is_of_python_sources_and_their_names(files):
    found = []
    changes = [
        lambda: None,
        lambda: (files / "ideas" / "notes.md").write_text("documented"),
        lambda: (files / "ideas" / "term.py").write_text("x = 2\n"),
        lambda: (files / "ideas" / "term.py").rename(files / "ideas" / "other.py"),
    ]
    for change in changes:
        change()
        code.digest.cache_clear()
        found.append(code.digest((files / "ideas",)))
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_the_state_names_the_commit_and_every_module(files):
    state = code.state({"algorithm": {"_target_": "ideas.term.Term"}})
    assert state.keys() == {"git_commit", "git_dirty", "code"}
    assert state["code"].keys() == {"papo", "ideas"}
    assert all(len(digest) == 32 for digest in state["code"].values())


def made(commit="a", dirty=False, **digests) -> dict:
    return {"git_commit": commit, "git_dirty": dirty} | ({"code": digests} if digests else {})


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (made("a", papo="1"), made("b", True, papo="1"), True),  # documents, and files of no package
        (made("a", papo="1"), made("a", papo="2"), False),
        (made(papo="1", ideas="1"), made(papo="1", ideas="2"), False),
        (made(papo="1", ideas="1"), made(papo="1"), True),  # another arm, which does not use it
        (made("a"), made("a", papo="1"), True),
        (made("a"), made("b", papo="1"), False),
        (made("a"), made("a", True), False),
        (made(papo="1"), made(papo="1") | {"earlier_code": [made(papo="2")]}, False),
    ],
)
def test_code_is_the_same_as_far_as_is_known(a, b, expected):
    assert code.same(a, b) is code.same(b, a) is expected


def test_a_run_that_goes_on_keeps_the_codes_that_it_had():
    first, second = made("a", papo="1") | {"seed": 3}, made("b", papo="2")
    second["earlier_code"] = code.earlier_code(first, second)
    assert second["earlier_code"] == [made("a", papo="1")]
    third = made("c", papo="2")
    third["earlier_code"] = code.earlier_code(second, third)
    assert third["earlier_code"] == [made("a", papo="1")]
    assert code.earlier_code(made("a", papo="1"), made("b", papo="1")) == []


def test_an_editors_lock_is_no_source(files):
    before = code.digest((files / "ideas",))
    (files / "ideas" / ".#term.py").symlink_to("someone@somewhere.1")
    code.digest.cache_clear()
    assert code.digest((files / "ideas",)) == before
