"""The page in headless Chromium: what is chosen, what is coloured, and what never runs."""

import pytest
from report.cases import hostile_report, item, response

from papo.report import Report, ReportTable

UP, DOWN, HOME, END, TAB = "\ue013", "\ue015", "\ue011", "\ue010", "\ue004"
IDS = "#list .id"
SHOWN = "#item h3"

WRONG = response("red = 7 \\boxed{7}", "wrong", kl=(0.0, 0.01, 2.0, 0.3), error="perception")
ITEMS = (
    item("a-2", right=2, tags={"family": "charts"}, masked_accuracy=0.5, blind_accuracy=0.0, vision_dependency=1.0),
    item("a-10", right=0, tags={"family": "counting"}, masked_accuracy=0.0, blind_accuracy=0.5, question="How many?"),
    item("b", right=1, tags={"family": "charts", "task": "sum"}, blind_accuracy=0.25, vision_dependency=0.25),
    item("c", responses=(WRONG, response("a needle \\boxed{1}")), accuracy=0.5, benchmark="easy_vqa"),
    item("b", right=0, model="tuned", tags={"family": "charts", "task": "sum"}, scorable=False),
)
TABLE = ReportTable("t", ("name", "score", "note"), (("x", 2.0, "b"), ("y", 10.0, None), ("z", None, "a")))


@pytest.fixture
def page(browser):
    browser.open(Report("title", tables=(TABLE,), items=ITEMS))
    assert browser.complaints() == []
    return browser


def ids(page) -> list[str]:
    """Of the rows of the list, without the models and benchmarks behind them."""
    return [text.split(" · ")[0] for text in page.texts(IDS)]


def test_all_items_are_listed_and_the_first_is_shown(page):
    assert page.texts(IDS) == [
        "a-2 · base · lab",
        "a-10 · base · lab",
        "b · base · lab",
        "c · base · easy_vqa",
        "b · tuned · lab",
    ]
    assert page.texts(SHOWN) == ["a-2"]
    assert page.texts("#count") == ["5 of 5"]


@pytest.mark.parametrize(
    ("key", "ascending", "descending"),
    [
        ("id", "a-2 a-10 b b c", "c b b a-10 a-2"),
        ("accuracy", "a-10 b b c a-2", "a-2 b c a-10 b"),
        ("masked", "a-10 a-2 b c b", "a-2 a-10 b c b"),
        ("blind", "a-2 b a-10 c b", "a-10 b a-2 c b"),
        ("vision", "b a-2 a-10 c b", "a-2 b a-10 c b"),
        ("mean perception KL", "a-2 a-10 b b c", "c a-2 a-10 b b"),
    ],
)
def test_sorting(page, key, ascending, descending):
    """Equal items keep their order, and what has no value comes last both ways."""
    page.choose("Sort by", key)
    assert ids(page) == ascending.split()
    page.click("#direction")
    assert ids(page) == descending.split()


@pytest.mark.parametrize(
    ("label", "option", "expected"),
    [
        ("Benchmark", "easy_vqa", "c"),
        ("Model", "tuned", "b"),
        ("Verdict", "all correct", "a-2"),
        ("Verdict", "mixed", "b c"),
        ("Verdict", "all wrong", "a-10"),
        ("Verdict", "unscorable", "b"),
        ("Error", "perception", "c"),
        ("Error", "none", "a-2 a-10 b b"),
        ("family", "counting", "a-10"),
        ("task", "sum", "b b"),
    ],
)
def test_filters(page, label, option, expected):
    page.choose(label, option)
    assert ids(page) == expected.split()
    assert page.texts(SHOWN) == [expected.split()[0]]
    page.click("#reset-all")
    assert len(ids(page)) == 5


def test_filters_add_up(page):
    page.choose("family", "charts")
    page.choose("Model", "base")
    page.choose("Verdict", "mixed")
    assert ids(page) == ["b", "c"]
    page.choose("Benchmark", "easy_vqa")
    assert ids(page) == ["c"]
    page.choose("Verdict", "all correct")
    assert ids(page) == []
    assert page.texts("#item") == ["No item fits. Reset the filters to see all."]
    page.choose("Verdict", "all")
    assert ids(page) == ["c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("NEEDLE", "c"), ("how many", "a-10"), ("a-1", "a-10"), ("task=sum", "b b"), ("= 7 \\b", "c")],
)
def test_search_reads_ids_questions_tags_and_responses(page, text, expected):
    page.search(text, f"{len(expected.split())} of 5")
    assert ids(page) == expected.split()


def test_keys_step_through_the_items_as_they_are_sorted(page):
    page.choose("Sort by", "id")
    page.run("document.activeElement.blur()")
    page.press("j", "j")
    assert page.texts(SHOWN) == ["b"]
    page.press("k")
    assert page.texts(SHOWN) == ["a-10"]
    page.click("#list li")
    page.press(DOWN, DOWN, UP)
    assert page.texts(SHOWN) == ["a-10"]
    page.press(END)
    assert page.texts(SHOWN) == ["c"]
    page.press(DOWN, "j")  # no further
    assert page.texts(SHOWN) == ["c"]
    page.press(HOME, "k", UP)
    assert page.texts(SHOWN) == ["a-2"]
    assert page.texts("#list [aria-selected=true] .id") == ["a-2 · base · lab"]
    active = page.run("return document.getElementById('list').getAttribute('aria-activedescendant')")
    assert page.texts(f"#{active} .id") == ["a-2 · base · lab"]


def test_keys_type_where_text_is_typed(page):
    page.run("document.activeElement.blur()")
    page.press("/")
    page.press("jk/")
    assert page.run("return document.getElementById('query').value") == "jk/"
    assert page.texts(SHOWN) == ["a-2"]


def test_everything_can_be_reached_with_the_tab_key_and_has_a_name(page):
    reached = []
    page.run("document.activeElement.blur()")
    for _ in range(60):
        page.press(TAB)
        name = "a.ariaLabel ?? a.labels?.[0]?.innerText ?? a.innerText"
        reached.append(tuple(page.run(f"const a = document.activeElement; return [a.tagName, a.id, {name}]")))
        if reached[-1][0] == "BODY":
            break
    named = [name for tag, _, name in reached if tag != "BODY"]
    assert all(named), reached
    assert {"query", "sort", "direction", "reset-all", "list"} <= {id for _, id, _ in reached}


def test_a_click_on_a_head_sorts_its_table(page):
    def column(n):
        return page.texts(f"tbody tr > :nth-child({n})")

    page.click("thead th:nth-child(2) button")
    assert column(2) == ["2.0", "10.0", "\u2013"]
    page.click("thead th:nth-child(2) button")
    assert column(2) == ["10.0", "2.0", "\u2013"]
    assert page.run("return [...document.querySelectorAll('thead th')].map((th) => th.ariaSort)") == [
        "none",
        "descending",
        "none",
    ]
    page.click("thead th:nth-child(3) button")
    assert column(3) == ["a", "b", "\u2013"]


def test_2000_items_stay_usable(browser):
    answers = tuple(response(" ".join(["word"] * 10), kl=(0.5,) * 10) for _ in range(4))
    many = tuple(item(f"{n}", responses=answers, accuracy=n % 9 / 8) for n in range(2_000))
    browser.open(Report("t", items=many))
    browser.wait(lambda: browser.texts("#count") == ["2,000 of 2,000"])
    assert len(browser.texts(IDS)) < 400  # rows are drawn as they are scrolled to
    seconds = """
        const start = performance.now();
        const sort = document.getElementById("sort");
        sort.value = "2";
        sort.dispatchEvent(new Event("change"));
        document.getElementById("list").offsetHeight;
        return (performance.now() - start) / 1000;"""
    assert browser.run(seconds) < 2.0
    browser.click("#list li")
    browser.press(END)
    assert browser.texts(SHOWN) == ["1997"]
    box = "const box = document.querySelector('{}').getBoundingClientRect(); return [box.top, box.bottom]"
    (top, bottom), (first, last) = (browser.run(box.format(of)) for of in ("#list", "#list [aria-selected=true]"))
    assert top <= first < last <= bottom
    browser.search("bar 1234?", "1 of 2,000")
    assert ids(browser) == ["1234"]


def test_scrolling_draws_more(browser):
    browser.open(Report("t", items=tuple(item(f"{n}") for n in range(500))))
    before = len(browser.texts(IDS))
    browser.run("const list = document.getElementById('list'); list.scrollTop = list.scrollHeight")
    browser.wait(lambda: len(browser.texts(IDS)) > before)
    assert ids(browser) == [str(n) for n in range(len(ids(browser)))]


def test_a_report_without_items(browser):
    browser.open(Report("t"))
    assert browser.texts("#count") == []  # and nothing to choose among
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [1400, 800, 420])
def test_nothing_sticks_out_sideways(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(hostile_report())
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.run("return document.getElementById('list').scrollTop") == 0
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
