"""What is said of data before a run, without a model."""

import base64
import io
import json
import re

import datasets
import pytest
from PIL import Image

from papo.data.order import endless
from papo.data.sources import table_source
from papo.errors import ConfigError
from papo.inspect import main

ROOMY = ["data.train.share=[0,1]", "data.val.share=[0,1]"]


@pytest.fixture(autouse=True)
def dataset_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    datasets.disable_progress_bars()


def test_a_file_is_inspected_without_a_model(tmp_path, capsys):
    golds = ["3", "$4$", "red", "a } b", ""]
    rows = [{"prompt": f"{n}?", "solution": gold} for n, gold in enumerate(golds)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["data=folder", f"data.train.path={tmp_path / 'rows.jsonl'}", *ROOMY, "model.path=nowhere"])
    of_train, between, of_val = capsys.readouterr().out.partition("data.val: ")
    assert between
    assert of_train.splitlines() == [
        "data.train: 4 rows, layout trl, 4 without a picture, 1 skipped (the first 5 below); "
        "right answers plain numbers 50%, texts 50%",
        "    1 of 4 right answers are wrong under their rule even in a box, such as trl-3 by exact: 'a } b'",
        "data.train: 4 looked at, graded by exact 100%",
        "    bad row trl-4: empty answer",
        "    cannot be matched: trl-3: a } b",
    ]
    assert of_val.startswith("4 rows, layout trl")


@pytest.mark.parametrize(
    ("override", "message"),
    [("data.train.pth=x", "data.train.pth is unknown"), ("data.train.path=/no/file", "must exist")],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        main(["data=folder", override])


# ------------------------------------------------------------------------------------------------------------ the page


def page_of(tmp_path, rows, *overrides: str, capsys=None) -> str:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "rows.html"
    main(["data=folder", f"data.train.path={tmp_path / 'rows.jsonl'}", *ROOMY, f"page={page}", *overrides])
    return page.read_text("utf-8")


def saved(tmp_path, name: str, size: tuple[int, int], noise: bool = False) -> str:
    image = Image.effect_noise(size, 90).convert("RGB") if noise else Image.new("RGB", size, "red")
    image.save(tmp_path / name)
    return name


def test_the_page_shows_rows_as_prompts(tmp_path, capsys):
    names = [saved(tmp_path, f"{n}.png", (30 + n, 20)) for n in range(2)]
    row = {"id": "r", "question": "Is <image> like <image>?", "images": names, "answer": "no", "labels": ["No <way>"]}
    text = page_of(tmp_path, [row], "prompt.instruction='Box it.'")
    places = [
        text.index(part) for part in ("Is</p>", "30 x 20", "like</p>", "31 x 20", "? Box it.</p>", "No &lt;way&gt;")
    ]
    assert places == sorted(places)
    assert f"1 rows as prompts: {tmp_path / 'rows.html'}" in capsys.readouterr().out


def test_pictures_come_first_where_the_words_have_no_place_for_them(tmp_path):
    row = {"question": "How many?", "image": saved(tmp_path, "a.png", (40, 20)), "answer": 3}
    text = page_of(tmp_path, [row])
    assert text.index("40 x 20") < text.index("How many?")
    assert "graded by</dt><dd>exact" in text


def test_ten_rows_in_the_order_of_the_run(tmp_path):
    rows = [{"id": f"row{n}", "question": "?", "answer": n} for n in range(30)]
    text = page_of(tmp_path, rows, "seed=5")
    source = table_source(schema="folder", path=str(tmp_path / "rows.jsonl"))
    order = [endless(source, 5)[position].id for position in range(10)]
    assert re.findall("<h2>(row[0-9]+)</h2>", text) == order
    assert re.findall("<h2>(row[0-9]+)</h2>", page_of(tmp_path, rows, "seed=6")) != order


def test_a_row_that_a_run_would_refuse_says_so(tmp_path):
    row = {"question": "<image> or <image>?", "image": saved(tmp_path, "a.png", (40, 20)), "answer": 3}
    assert "2 &lt;image&gt; markers for 1 pictures" in page_of(tmp_path, [row])


def test_black_pictures_are_shown_black(tmp_path):
    row = {"question": "How many?", "image": saved(tmp_path, "a.png", (40, 20)), "answer": 3}
    for blank, colour in (("false", (255, 0, 0)), ("true", (0, 0, 0))):
        text = page_of(tmp_path, [row], f"data.blank={blank}")
        (picture,) = re.findall(r"data:image/png;base64,([^\"]*)", text)
        assert Image.open(io.BytesIO(base64.b64decode(picture))).getpixel((0, 0)) == colour


def test_a_page_of_photographs_stays_small(tmp_path):
    names = [saved(tmp_path, f"{n}.png", (300, 300), noise=True) for n in range(3)]
    hostile = "\u202e" * 5000
    row = {"question": hostile, "images": names * 4, "answer": "x", "labels": [hostile], "tags": {"a": hostile}}
    text = page_of(tmp_path, [row | {"id": f"{n}" + hostile} for n in range(10)], "data.train.max_question_length=null")
    assert text.count("data:image/jpeg") == 80  # of twelve pictures a row eight
    assert text.count("shown smaller") == 160
    assert text.count("[4 more pictures]") == 10
    assert len(text.encode()) < 5_000_000


def test_one_large_picture_is_shown_as_it_is(tmp_path):
    row = {"question": "?", "image": saved(tmp_path, "a.png", (900, 900), noise=True), "answer": 3}
    assert "shown smaller" not in page_of(tmp_path, [row])


@pytest.mark.parametrize("streaming", ["false", "true"])
def test_mixtures_and_streams_have_a_page_too(tmp_path, streaming):
    rows = [
        {"id": f"row{n}", "problem": "?", "answer": n, "images": [saved(tmp_path, "a.png", (40, 20))]} for n in range(5)
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = "data.train.sources.geometry3k"
    main(
        [
            "data=mixture",
            "~data.train.sources.virl39k",
            "~data.train.sources.chartqa",
            "~data.train.weights.virl39k",
            "~data.train.weights.chartqa",
            f"{sources}.path={path}",
            f"{sources}.streaming={streaming}",
            f"data.val.path={path}",
            "data.val.size=null",
            f"page={tmp_path / 'p.html'}",
        ]
    )
    assert len(re.findall("<h2>geometry3k/geometry3k-[0-4]</h2>", (tmp_path / "p.html").read_text())) == 10


@pytest.mark.parametrize(
    ("page", "message"),
    [("rows.jsonl", "page must end in .html, got .*rows.jsonl"), ("no/folder/a.html", "needs the folder no/folder")],
)
def test_a_page_that_cannot_be_is_refused_before_anything_is_read(page, message):
    with pytest.raises(ConfigError, match=message):
        main(["data=folder", "data.train.path=/no/file", f"page={page}"])
