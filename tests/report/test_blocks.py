"""What the page's script is given to read."""

import json
import math
import re

import pytest
from report.cases import item, png, response

from papo.report import GradedResponse, Report, ReportTable
from papo.report.blocks import item_blocks, outcome, scale_top
from papo.report.page import pieces

NAN, INFINITY = math.nan, math.inf


def blocks(*items) -> dict:
    """Each block's content by its id."""
    found = re.findall(
        r'<script type="([^"]*)" id="([^"]*)">([^<]*)</script>\n', "".join(pieces(Report("", items=items)))
    )
    return {name: json.loads(text) if kind == "application/json" else text for kind, name, text in found}


def test_the_same_picture_is_stored_once():
    red, black, blue = png("red"), png("black"), png("blue")
    a = item("a", images=(red, blue), corrupted=(black, black))
    b = item("b", images=(blue,), corrupted=(bytes(bytearray(black)),))
    found = blocks(a, b)
    assert found["item-0"]["images"] == [0, 1]
    assert found["item-0"]["corrupted"] == [2, 2]
    assert found["item-1"]["images"] == [1]
    assert found["item-1"]["corrupted"] == [2]
    assert [name for name in found if name.startswith("picture")] == ["picture-0", "picture-1", "picture-2"]
    assert found["picture-0"].startswith("data:image/png;base64,iVBORw0KGgo")


@pytest.mark.parametrize("picture", [b"", b"<svg onload=alert(1)>", b"GIF89a"])
def test_pictures_of_another_kind_are_refused(picture):
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        blocks(item(images=(picture,)))


def test_the_index_holds_what_is_sorted_and_filtered_by():
    given = item(
        right=1,
        responses=(
            response("x y", kl=(1.0, 2.0)),
            response("x y z", "wrong", kl=(NAN, 6.0, INFINITY), error="perception"),
            response("x", "wrong", kl=(), error="format"),
        ),
        accuracy=1 / 3,
        masked_accuracy=0.25,
        vision_dependency=NAN,
    )
    entry = blocks(given)["index"]["items"][0]
    assert entry["kl"] == 3.0
    assert entry["accuracy"] == 0.3333
    assert entry["masked"] == 0.25
    assert entry["blind"] is None
    assert entry["dependency"] is None
    assert entry["outcome"] == "mixed"
    assert entry["verdicts"] == ["correct", "wrong", "wrong"]
    assert entry["errors"] == ["format", "perception"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"right": 2}, "all correct"),
        ({"right": 1}, "mixed"),
        ({"right": 0}, "all wrong"),
        ({"right": 0, "scorable": False}, "unscorable"),
        ({"responses": ()}, "unanswered"),
    ],
)
def test_outcome(changes, expected):
    assert outcome(item(**changes)) == expected


def test_kl_values_that_are_no_numbers_are_unknown():
    written = blocks(item(responses=(response("a b c", kl=(NAN, INFINITY, 0.12345)),)))["item-0"]["responses"][0]
    assert written["kl"] == [None, None, 0.123]


def test_a_megabyte_is_cut_off_and_says_so():
    words = ["wörd" * 2] * 110_000
    long = response(" ".join(words))
    assert len(long.text) > 900_000
    one_token = GradedResponse("x" * 10**6, "wrong", "y" * 10**6, "z" * 10**6, ("x" * 10**6,), (1.0,))
    plain = GradedResponse("x" * 10**6, "wrong", None, "")
    found = blocks(item(responses=(long, one_token, plain), question="q" * 10**6))
    first, second, third = found["item-0"]["responses"]
    assert len(first["tokens"]) == len(first["kl"]) == 2223  # 8 characters, then 9 with the space: 20,000 are passed
    assert sum(map(len, first["tokens"])) == 20_000
    assert first["left_out"] == "107,777 more tokens"
    assert len(second["tokens"][0]) == len(third["text"]) == 20_000
    assert second["left_out"] == third["left_out"] == "980,000 more characters"
    assert second["answer"].endswith("[999,500 more characters]")
    assert len(json.dumps(found["item-0"])) < 200_000


def test_empty_tokens_without_end_are_cut_off_too():
    many = GradedResponse("", "wrong", None, "", ("",) * 6_000, (0.0,) * 6_000)
    written = blocks(item(responses=(many,)))["item-0"]["responses"][0]
    assert len(written["tokens"]) == 5_000
    assert written["left_out"] == "1,000 more tokens"


@pytest.mark.parametrize(
    ("kl", "top"),
    [
        ((), 1.0),
        ((0.0, 0.0), 1.0),
        ((NAN, INFINITY), 1.0),
        ((4.84,), 5.0),
        ((5.0,), 5.0),
        ((0.021,), 0.05),
        ((90,), 100),
    ],
)
def test_the_colour_scale_ends_at_a_round_number(kl, top):
    words = " ".join("x" * max(1, len(kl)))
    assert scale_top([item(responses=(response(words, kl=kl),))]) == pytest.approx(top)


def test_one_token_out_of_a_thousand_does_not_stretch_the_scale():
    kl = (400.0, *(0.0,) * 500, *(1.9,) * 499)
    assert scale_top([item(responses=(response(" ".join("x" * 1000), kl=kl),))]) == 2.0


def test_pages_of_thousands_of_items_have_a_bearable_size():
    """A token costs 16 bytes, an item with eight answers 2,400 more, and a small drawing twice its PNG at most."""
    answers = tuple(response(" ".join(["word"] * 40), kl=(0.1234567,) * 40) for _ in range(8))
    items = [item(f"{n}", images=(png((n, 0, 0), (112, 112)),), responses=answers) for n in range(100)]
    pictures = {picture for given in items for picture in given.images + given.corrupted}
    written = sum(len(block.content) for block in item_blocks(items))
    assert written < 100 * (8 * 40 * 16 + 2_400) + 2 * sum(map(len, pictures))


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="got 'right'"):
        response(verdict="right")
    with pytest.raises(ValueError, match="1 for 2 tokens"):
        response("a b", kl=(1.0,))
    with pytest.raises(ValueError, match="2 columns, got a row of 1"):
        ReportTable("t", ("a", "b"), (("x",),))
