"""What untrusted text may become on its way into a page."""

import json
import math
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from report.cases import HOSTILE

from papo.report.page import templates
from papo.report.text import json_block, number
from papo.visible import shown, visible

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(HOSTILE)


class Collector(HTMLParser):
    """Tags, attributes and text as a parser finds them."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))

    def handle_data(self, data):
        self.found.append(data)

    def handle_comment(self, data):
        self.found.append(("comment", data))


def parsed(text):
    collector = Collector()
    collector.feed(text)
    collector.close()
    return collector.found


TEMPLATE = templates().from_string('<p title="{{ text }}">{{ text }}')


@given(ANY_TEXT)
def test_a_text_is_one_text_between_tags_and_one_value_in_an_attribute(text):
    """Whatever a template is given is shortened, made visible and escaped, though the template does not say so."""
    (tag, attributes), *texts = parsed(TEMPLATE.render(text=text))
    assert (tag, [name for name, _ in attributes]) == ("p", ["title"])
    assert attributes[0][1] == "".join(texts) == shown(text)


def test_a_template_that_asks_for_what_is_not_there_fails():
    with pytest.raises(UndefinedError):
        TEMPLATE.render(txt="x")


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)))
def test_a_json_block_cannot_be_ended_and_reads_back(value):
    written = json_block(value)
    assert written.isascii()
    assert not set("<>&") & set(written)
    assert json.loads(written) == value


def test_json_has_no_infinity():
    with pytest.raises(ValueError, match="JSON"):
        json_block(math.nan)


@given(ANY_TEXT)
def test_visible_text_hides_and_reorders_nothing(text):
    kinds = {unicodedata.category(c) for c in visible(text) if c not in "\n\t\u200c\u200d"}
    assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    visible(text).encode("utf-8")  # no lone surrogate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\n\ttext ü 漢字 עברית", "plain\n\ttext ü 漢字 עברית"),
        ("\x00\x1b\r", "␀␛␍"),
        ("\u202e", "⟨U+202E⟩"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("\uffff\U0001fffe", "⟨U+FFFF⟩⟨U+1FFFE⟩"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_visible(text, expected):
    assert visible(text) == expected


def test_long_text_is_cut_off_with_a_note():
    assert shown("a" * 500) == "a" * 500
    assert shown("a" * 1_000_500) == "a" * 500 + " … [1,000,000 more characters]"
    assert shown("abc", 2) == "ab … [1 more characters]"


@pytest.mark.parametrize(("value", "expected"), [(0.123456, 0.1235), (None, None), (math.nan, None), (-math.inf, None)])
def test_number(value, expected):
    assert number(value) == expected
