"""Where a response looked, in headless Chromium: which map is shown when, and each cell where it lies."""

import base64

import numpy as np
import pytest
from report.cases import item, png, response

from papo.report import Drops, Report

WORDS = "red = 7 box"
# Two sums, then three tokens of four. Levels of 127 are the scale's nats.
MAPS = [[127, 0, -64, 0], [0, 127, 0, 0], [0, 0, 0, 0], [0, 0, 127, 0], [0, 0, 0, -127]]
SCALE = (4.0, 2.0, 0.0, 1.0, 3.0)


def drops(maps, scale, pictures=((2, 2, 1),), sums=("whole response", "box"), tokens=None) -> Drops:
    tokens = tuple(range(len(scale) - len(sums))) if tokens is None else tokens
    return Drops(pictures, sums, tokens, scale, base64.b64encode(np.array(maps, np.int8).tobytes()).decode())


@pytest.fixture
def page(browser):
    looked = response(WORDS, drops=drops(MAPS, SCALE))
    browser.open(Report("t", items=(item(responses=(looked, response())),)))
    assert browser.complaints() == []
    return browser


def cells(page) -> list[tuple[str, float]]:
    """What each cell says, and how strongly it is coloured."""
    script = (
        "return [...document.querySelectorAll('.cells i')].map((i) => [i.title, +i.style.getPropertyValue('--drop')])"
    )
    return [tuple(cell) for cell in page.run(script)]


def drawn(page) -> list[str]:
    return [title for title, _ in cells(page)]


def point_at(page, selector, n=0) -> None:
    from selenium.webdriver import ActionChains

    element = page.driver.find_elements("css selector", selector)[n]
    ActionChains(page.driver, duration=0).move_to_element(element).perform()


WHOLE = ["+4.00 nats", "0.00 nats", "\u22122.02 nats", "0.00 nats"]
SECOND = ["0.00 nats", "0.00 nats", "+1.00 nats", "0.00 nats"]
THIRD = ["0.00 nats", "0.00 nats", "0.00 nats", "\u22123.00 nats"]


def test_the_whole_response_is_shown_first_and_the_box_with_a_button(page):
    assert cells(page) == [
        (title, pytest.approx(heat, abs=1e-3)) for title, heat in zip(WHOLE, [1, 0, 0.71, 0], strict=True)
    ]
    assert page.run("return [...document.querySelectorAll('.cells i')].map((i) => i.className)")[:3] == [
        "for",
        "for",
        "against",
    ]
    assert page.texts(".look figcaption") == ["whole response, strongest cell +4.00 nats"]
    page.click(".sums button:nth-child(2)")
    assert cells(page)[1] == ("+2.00 nats", 0.707)  # on one scale with the other maps of the item
    assert page.texts(".sums [aria-pressed=true]") == ["box"]
    assert len(page.texts(".look")) == 1  # the other response was not looked into


def test_a_token_shows_its_own_map_while_it_is_pointed_at(page):
    point_at(page, ".token", 2)
    assert drawn(page) == THIRD
    assert page.texts(".look figcaption") == ["7, strongest cell \u22123.00 nats"]
    point_at(page, ".look figcaption")
    assert drawn(page) == WHOLE
    point_at(page, ".token", 3)  # which has no map
    assert drawn(page) == WHOLE


def test_the_map_of_a_clicked_token_stays(page):
    tokens = page.driver.find_elements("css selector", ".token")
    tokens[1].click()
    point_at(page, ".token", 2)
    assert drawn(page) == THIRD
    point_at(page, ".look figcaption")
    assert drawn(page) == SECOND
    assert page.texts(".token.kept") == ["="]
    assert page.texts(".sums [aria-pressed=true]") == []
    tokens[1].click()
    point_at(page, ".look figcaption")
    assert drawn(page) == WHOLE


def test_the_arrow_keys_go_from_token_to_token(page):
    page.run("document.querySelector('.tokens').focus()")
    for key, expected in [
        ("\ue014", ["0.00 nats"] * 4),
        ("\ue014", SECOND),
        ("\ue014", THIRD),
        ("\ue014", THIRD),
        ("\ue012", SECOND),
    ]:
        page.press(key)
        assert drawn(page) == expected
    page.click(".sums button")
    assert drawn(page) == WHOLE
    assert page.texts(".token.kept") == []


def test_cells_lie_on_the_patches_that_were_painted(browser):
    """Pictures of 3 x 5 and 2 x 2 patches in squares of 2 x 2: the last ones are cut off by the picture's edge."""
    looked = response("a", drops=drops([[1] * 7], (1.0,), ((3, 5, 2), (2, 2, 2)), ("whole response",)))
    browser.open(Report("t", items=(item(images=(png("red", (50, 30)), png("blue")), responses=(looked,)),)))
    browser.wait(lambda: browser.run("return [...document.images].every((i) => i.complete)"))
    script = """
        return [...document.querySelectorAll(".frame")].map((frame) => {
          const of = frame.querySelector("img").getBoundingClientRect();
          return [...frame.querySelectorAll(".cells i")].map((cell) => {
            const at = cell.getBoundingClientRect();
            const [x, y] = [(at.left - of.left) / of.width, (at.top - of.top) / of.height];
            return [x, y, at.width / of.width, at.height / of.height];
          });
        });"""
    first, second = browser.run(script)
    w, h = 2 / 5, 2 / 3
    expected = [(column * w, row * h, w, h) for row in range(2) for column in range(3)]
    assert [tuple(cell) for cell in first] == [pytest.approx(cell, abs=0.01) for cell in expected]
    assert second == [pytest.approx([0, 0, 1, 1], abs=0.01)]
    sources = "return [...document.querySelectorAll('{} img')].map((i) => i.src)"
    assert browser.run(sources.format(".frame")) == browser.run(sources.format(".pictures figure:nth-child(odd)"))


def test_what_hardly_loses_anything_is_hardly_coloured(browser):
    faint = response("a", drops=drops([[127] * 4] * 2, (0.01, 0.01), sums=("whole response",)))
    browser.open(Report("t", items=(item(responses=(faint,)),)))
    assert cells(browser) == [("+0.01 nats", 0.316)] * 4
    assert browser.texts(".legend .ticks span")[-5:] == ["\u22120.1", "\u22120.025", "0", "0.025", "0.1"]


def test_of_a_long_response_some_tokens_have_a_map_and_what_is_cut_off_has_none(browser):
    long = response("a b c d", drops=drops(MAPS, SCALE, tokens=(1, 3, 9)))
    browser.open(Report("t", items=(item(responses=(long,)),)))
    assert browser.texts(".token.seen") == ["b", "d"]
    point_at(browser, ".token", 3)
    assert drawn(browser) == SECOND


def test_levels_that_fit_no_picture_are_refused():
    with pytest.raises(ValueError, match="4 cells of each of 2 maps, got 4 bytes"):
        drops([[0] * 4], (1.0, 1.0), sums=("whole response",))
    with pytest.raises(ValueError, match="one value per map, got 2"):
        drops([[0] * 4] * 2, (1.0, 1.0), tokens=(0,))
