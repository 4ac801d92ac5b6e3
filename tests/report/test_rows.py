"""Rows of data as a page: in one piece, in their order, and nothing in it that could run or reach out."""

import base64
import hashlib
import html

import pytest
from report.cases import CANARY, HOSTILE, png
from report.test_page import URL_ATTRIBUTES, Page

from papo.report.rows import WORDS, ShownPicture, ShownRow, write_rows


def hostile_row(text: str) -> ShownRow:
    return ShownRow(text, (text, ShownPicture(png("red"), text), text), ((text or "name", text), ("tags", text)))


@pytest.fixture
def written(tmp_path):
    def write(*rows: ShownRow, title: str = "rows", subtitle: str = "of data") -> str:
        write_rows(title, subtitle, rows, tmp_path / "rows.html")
        assert [file.name for file in tmp_path.iterdir()] == ["rows.html"]
        return (tmp_path / "rows.html").read_bytes().decode("utf-8")

    return write


@pytest.mark.parametrize("text", HOSTILE)
def test_what_data_holds_stays_text(written, text):
    page = Page(written(hostile_row(text), title=text, subtitle=text))
    tags = [tag for tag, _ in page.tags]
    ours = {
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "p",
        "main",
        "article",
        "h2",
        "div",
    }
    assert set(tags) == ours | {"figure", "img", "figcaption", "dl", "dt", "dd"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert all(value.startswith("data:") for name, value in attributes.items() if name in URL_ATTRIBUTES)
    ((_, _, style),) = page.inline
    assert CANARY not in style
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_words_and_pictures_keep_their_order(written):
    red, blue = (ShownPicture(png(colour), colour) for colour in ("red", "blue"))
    text = written(ShownRow("r1", ("Is", red, "like <b>", blue, "?"), (("right answer", "no & yes"),)))
    places = [text.index(f">{part}<") for part in ("r1", "Is", "red", "like &lt;b&gt;", "blue", "?", "no &amp; yes")]
    assert places == sorted(places)
    assert text.count("data:image/png;base64,") == 2


def test_long_words_are_cut_off_together(written):
    text = written(ShownRow("r", ("x" * 3000, "\u202e" * 3000, "never"), ()))
    assert "2,000 more characters" in text
    assert html.escape("⟨U+202E⟩") * (WORDS - 3000) in text
    assert "never" not in text


def test_what_is_no_picture_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        write_rows("t", "s", [ShownRow("r", (ShownPicture(b"<svg>", ""),), ())], tmp_path / "rows.html")
    assert list(tmp_path.iterdir()) == []
