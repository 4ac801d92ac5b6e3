"""The file as it lies on disk: one piece, well formed, and nothing in it that could run or reach out."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from report.cases import CANARY, HOSTILE, hostile_report, item

from papo.report import Report, write_report

VOID = {"meta", "link", "br", "img", "input", "hr"}
SHAPES = {"line", "path"}  # of SVG, which close themselves
URL_ATTRIBUTES = {"src", "href", "srcset", "action", "formaction", "data", "poster", "xlink:href", "background", "ping"}


class Page(HTMLParser):
    """Checks that every tag is closed in order; collects attributes, and what stands inside each style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.inline, self.ids = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"{tag} says something twice"
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("style", "script"):
            self.inline.append((tag, dict(attributes), ""))

    def handle_startendtag(self, tag, attributes):
        assert tag in SHAPES
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            tag, attributes, text = self.inline[-1]
            self.inline[-1] = (tag, attributes, text + data)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(hostile_report(), path)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def page(written) -> Page:
    return Page(written)


def test_it_is_well_formed(written, page):
    assert written.startswith("<!DOCTYPE html>\n<html lang=")
    assert len(set(page.ids)) == len(page.ids)
    names = {tag for tag, _ in page.tags}
    assert {"main", "header", "h1", "h2", "table", "svg", "article", "form", "label"} <= names
    for _, attributes in page.tags:  # what refers to an id finds it
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name, "items") in page.ids
    assert "\x00" not in written


def test_it_refers_to_nothing_outside(page):
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} has {name}"
            assert name != "style", "the policy would block it"
            if name in URL_ATTRIBUTES:
                assert value.startswith(("#", "data:")), f"{tag} {name}={value}"
    assert not {"iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    ours = [text for tag, attributes, text in page.inline if "id" not in attributes]
    assert len(ours) == 2
    for text in ours:
        assert not re.search(
            r"https?:|//|url\(|@import|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text
        )


def test_only_its_own_style_and_script_may_run(page):
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = {}
    for tag, attributes, text in page.inline:
        if attributes.get("type") not in ("application/json", "text/plain"):
            hashes[tag] = f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": hashes["style"],
        "script-src": hashes["script"],
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_policy_comes_before_all_that_it_governs(page):
    tags = [tag for tag, attributes in page.tags if tag in ("style", "script", "link") or "http-equiv" in attributes]
    assert tags[0] == "meta"


def test_hostile_text_stays_in_its_block(page):
    blocks = {attributes["id"]: text for _, attributes, text in page.inline if "id" in attributes}
    index = json.loads(blocks["index"])
    assert len(index["items"]) == len(HOSTILE)
    for n, text in enumerate(HOSTILE[:11]):  # those that are shown as they are
        read = json.loads(blocks[f"item-{n}"])
        assert read["question"] == read["choices"][0] == text
        assert read["responses"][0]["tokens"] == [text, " x"]
        assert read["responses"][1]["text"] == text
    assert sum(CANARY in text for tag, attributes, text in page.inline if "id" not in attributes) == 0


def test_a_report_without_anything(tmp_path):
    write_report(Report("nothing"), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert page.open == []  # every tag is closed
    tags = [tag for tag, _ in page.tags]
    assert not {"table", "figure", "dl"} & set(tags)
    assert not [text for _, attributes, text in page.inline if attributes.get("id") == "index"]


def test_a_page_that_fails_leaves_the_last_one(tmp_path):
    path = tmp_path / "report.html"
    write_report(Report("first"), path)
    with pytest.raises(ValueError, match="PNG"):
        write_report(Report("second", items=(item(images=(b"no picture",)),)), path)
    assert "<h1>first</h1>" in path.read_text("utf-8")


def test_the_same_report_is_the_same_file(tmp_path):
    for name in ("a", "b"):
        write_report(hostile_report(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
