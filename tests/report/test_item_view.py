"""The chosen item in headless Chromium: its pictures, its measures, and the colour of each token."""

import itertools
import re

import pytest
from report.cases import item, png, response

from papo.report import GradedResponse, Report

WRONG = response("red = 7 \\boxed{7}", "wrong", kl=(0.0, 0.01, 2.0, 0.3), error="perception")


@pytest.fixture
def page(browser):
    two = item("a", right=1, responses=(WRONG, response()))
    browser.open(Report("title", items=(two, item("a", right=0, model="tuned"))))
    assert browser.complaints() == []
    return browser


def colours(page) -> list[tuple[str, str, list[float]]]:
    """Text, title and background of each token on the page, the background as red, green and blue in [0, 1]."""
    script = """
        const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        return [...document.querySelectorAll(".token")].map((token) => {
          paint.fillStyle = getComputedStyle(token).backgroundColor;
          paint.fillRect(0, 0, 1, 1);
          return [token.textContent, token.title, [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3)];
        });"""
    return [(text, title, [c / 255 for c in rgb]) for text, title, rgb in page.run(script)]


def luminance(rgb: list[float]) -> float:
    """Relative luminance of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_are_coloured_by_their_kl(browser, scheme):
    kl = (0.0, 0.05, 0.4, 1.2, 2.0, 400.0, -0.001, float("nan"))
    words = "zero some more much most over below unknown"
    scale = response(" ".join("x" * 1000), kl=(1.9,) * 1000)  # fixes the end of the scale at 2 nats
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.open(Report("t", items=(item(responses=(response(words, kl=kl),)), item("s", responses=(scale,)))))
    found = colours(browser)
    assert [text for text, _, _ in found] == words.split()
    assert [title for _, title, _ in found] == [
        "0 nats",
        "0.05 nats",
        "0.4 nats",
        "1.2 nats",
        "2 nats",
        "400 nats",
        "-0.001 nats",
        "perception KL unknown",
    ]
    backgrounds = [rgb for _, _, rgb in found]
    zero, *rising, most, over, below, _ = backgrounds
    assert below == zero
    assert over == most
    distances = [sum(abs(a - b) for a, b in zip(rgb, zero, strict=True)) for rgb in (zero, *rising, most)]
    assert all(b - a > 0.1 for a, b in itertools.pairwise(distances)), distances
    ink = re.findall(r"\d+", browser.run("return getComputedStyle(document.querySelector('.token')).color"))
    ink = luminance([int(c) / 255 for c in ink[:3]])
    for rgb in backgrounds[:-1]:
        bright, dim = sorted((ink, luminance(rgb)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_kl_can_be_read_without_colour(page):
    script = (
        "return [...document.querySelectorAll('li.wrong .token')].map((t) => getComputedStyle(t, '::after').content)"
    )
    assert page.run(script) == ['""', '"0.01"', '"2.00"', '"0.30"']
    assert page.texts("li.wrong .tokens") == ["red = 7 \\boxed{7}"]  # and is no part of the text


def test_a_colour_is_where_the_legend_says(browser):
    kl = (0.0, 0.125, 0.5, 1.125, 2.0, 90.0)
    scale = response(" ".join("x" * 1000), kl=(1.9,) * 1000)
    browser.open(Report("t", items=(item(responses=(response("a b c d e f", kl=kl), scale)),)))
    style = "return [...document.querySelectorAll('{0}')].slice(0, 6).map((e) => +e.style.getPropertyValue('{1}'))"
    assert browser.texts(".ticks span") == ["0", "0.13", "0.5", "1.1", "≥ 2"]
    assert browser.run(style.format(".ticks span", "--place")) == [0, 0.25, 0.5, 0.75, 1]
    assert browser.run(style.format(".token", "--heat")) == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1], abs=0.005)


def test_a_response_shows_its_verdict_answer_and_reason(page):
    head = page.texts("li.wrong .response-head > *")
    assert head == ["✗ wrong", "perception error", "answer 1", "'1' against '1'", "0.58 nats per token"]
    assert page.texts("li.correct .verdict") == ["✓ correct"]


def test_an_item_shows_its_pictures_question_choices_and_measures(browser):
    shown = item(
        question="Which?",
        choices=("red", "blue"),
        answer="blue",
        images=(png("red"), png("blue", (300, 4))),
        corrupted=(png("black"), png("black", (300, 4))),
        masked_accuracy=0.25,
        blind_accuracy=0.125,
        vision_dependency=-0.5,
    )
    browser.open(Report("t", items=(shown, item("b", images=(), corrupted=()))))
    script = (
        "return [...document.images].map((i) => [i.alt, i.complete, i.naturalWidth, i.closest('figure').textContent])"
    )
    assert browser.run(script) == [
        ["Image 1 of 2 of item a", True, 8, "image 1 of 2"],
        ["The same image 1 of 2 corrupted", True, 8, "corrupted 1 of 2"],
        ["Image 2 of 2 of item a", True, 300, "image 2 of 2"],
        ["The same image 2 of 2 corrupted", True, 300, "corrupted 2 of 2"],
    ]
    assert browser.texts(".task .question") == ["Which?"]
    assert browser.texts(".choices li") == ["(A) red", "(B) blue"]
    assert browser.texts(".choices .gold") == ["(B) blue"]
    measured = dict(zip(browser.texts(".measures dt"), browser.texts(".measures dd"), strict=True))
    assert measured == {
        "with image": "50 %",
        "masked": "25 %",
        "blind": "12.5 %",
        "vision dependency": "\u22120.50",
        "perception KL": "0.00 nats per token",
    }
    browser.run("document.activeElement.blur()")
    browser.press("j")
    assert browser.texts(".pictures") == ["No image."]


def test_a_picture_is_enlarged_with_a_click_or_a_key(page):
    width = "return document.querySelector('.pictures img').getBoundingClientRect().width"
    before = page.run(width)
    page.click(".pictures .zoom")
    assert page.run(width) > 1.5 * before
    page.press(" ")
    assert page.run(width) == before
    assert page.run("return document.querySelector('.zoom').ariaLabel") == "Enlarge: Image of item a"


def test_the_responses_to_other_views_are_folded_away_below(browser):
    unseen = {"masked": (response("so \\boxed{7}", "wrong"), response()), "blind": (WRONG,)}
    browser.open(Report("t", items=(item(unseen=unseen),)))
    assert browser.texts("details summary") == ["2 responses, masked 1 correct", "1 responses, blind 0 correct"]
    assert browser.run("return document.querySelector('details ol').checkVisibility()") is False
    browser.click("details summary")
    assert browser.run("return document.querySelector('details ol').checkVisibility()") is True
    assert browser.texts("details:nth-of-type(1) .tokens") == ["so \\boxed{7}", "so \\boxed{1}"]


def test_the_same_item_of_another_model_is_one_click_away(page):
    page.choose("Model", "tuned")
    assert page.texts(".others button") == ["base: 50 %", "tuned: 0 %"]
    page.click(".others button")
    assert "model base" in page.texts("#item .chip")
    assert page.texts(".others [aria-pressed=true]") == ["base: 50 %"]


def test_long_responses_say_that_they_are_cut_off(browser):
    long = GradedResponse("x" * 10**6, "wrong", None, "no box")
    browser.open(Report("t", items=(item(responses=(long,)),)))
    assert len(browser.texts(".plain")[0]) == 20_000
    assert browser.texts(".response > .note") == ["Cut off here: 980,000 more characters in results.json."]
    wide = "return [document.documentElement.scrollWidth <= innerWidth, document.querySelector('.plain').scrollWidth]"
    fits, width = browser.run(wide)
    assert fits
    assert width < 1400


def test_lines_end_and_words_stay_together(browser):
    given = GradedResponse("", "wrong", None, "", ("in", "ter", " end", ".\n", "\n", "next", " "), (0.0,) * 7)
    browser.open(Report("t", items=(item(responses=(given,)),)))
    assert browser.texts(".word") == ["inter", "end.↵", "↵", "next "]
    assert browser.texts(".tokens") == ["inter end.↵↵next "]
    assert browser.run("return document.querySelectorAll('.tokens br').length") == 2
