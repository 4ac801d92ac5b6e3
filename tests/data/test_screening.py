"""Bad rows: found at start, listed, skipped up to a share; replaced where they turn bad later."""

import io
import itertools
import json
import pickle
from functools import partial

import pytest
from PIL import Image
from replicas import write_lines

from papo.data.guessability import guessability_of
from papo.data.order import Mixture, endless
from papo.data.screening import Screen
from papo.data.sources import table_source
from papo.errors import BadRow, ConfigError, Gone, SettingError
from papo.types import Item

make_screen = partial(Screen, decode_at_start=False)

GOLDS = "right answers plain numbers 100%\n"
BAD = {2: "broken", 5: "empty answer"}


class Rows:
    """Ten items, some of which are bad; `later` turn bad once their pictures are looked at."""

    def __init__(self, bad=(), later=()) -> None:
        self.bad, self.later, self.decoded = dict(bad), set(later), []

    def __len__(self) -> int:
        return 10

    def draft(self, index: int) -> Item:
        if index in self.bad:
            raise BadRow(f"row-{index}", self.bad[index])
        return Item(f"row-{index}", "?" * (index + 1), (), answer="1", answer_type="integer")

    def __getitem__(self, index: int) -> Item:
        self.decoded.append(index)
        if index in self.later:
            raise BadRow(f"row-{index}", "changed")
        return self.draft(index)


def ids(of) -> list[str]:
    return [of[i].id for i in range(len(of))]


def test_good_rows_stay_in_their_order(capsys):
    screen = make_screen(max_bad_share=0.2)
    assert ids(screen(Rows(BAD), "data.train")) == [f"row-{n}" for n in range(10) if n not in BAD]
    assert screen.skips.reasons == {("data.train", "row-2"): "broken", ("data.train", "row-5"): "empty answer"}
    assert capsys.readouterr().out == f"data.train: 8 rows, 8 without a picture, 2 skipped (see skipped.jsonl); {GOLDS}"


def test_a_source_of_good_rows_says_so(capsys):
    assert len(make_screen()(Rows(), "data.val")) == 10
    assert capsys.readouterr().out == f"data.val: 10 rows, 10 without a picture; {GOLDS}"


def test_a_picture_may_be_asked_for():
    with pytest.raises(
        ConfigError, match=r"none of 10 rows .*\n  row-0: no picture; data\.require_image=false lets such rows in"
    ):
        make_screen(require_image=True)(Rows(), "data.train")


def lacking(*numbers):
    """What asks for something that these rows have not."""

    def needs(item) -> None:
        if item.id in [f"row-{n}" for n in numbers]:
            raise ConfigError(f"X needs data with a Y, and item {item.id} has none")

    return needs


def test_what_is_done_with_rows_may_ask_more_of_them(capsys):
    screen = make_screen(max_bad_share=0.2)
    assert ids(screen.needing(lacking(4, 7))(Rows(), "data.train")) == [
        f"row-{n}" for n in range(10) if n not in (4, 7)
    ]
    assert "8 rows, 8 without a picture, 2 skipped" in capsys.readouterr().out
    reasons = {("data.train", f"row-{n}"): f"X needs data with a Y, and item row-{n} has none" for n in (4, 7)}
    assert screen.skips.reasons == reasons
    assert len(screen(Rows(), "data.val")) == 10  # of those less is asked
    with pytest.raises(ConfigError, match=r"2 of 10 rows cannot be used.*\n  row-4: X needs data"):
        make_screen(max_bad_share=0.1, needs=lacking(4, 7))(Rows(), "data.train")


def test_where_all_rows_lack_it_the_settings_are_blamed():
    with pytest.raises(ConfigError, match=r"^X needs data with a Y, and item row-0 has none$"):
        make_screen(needs=lacking(*range(10)))(Rows(), "data.train")


class Own:
    """A source without drafts, as docs/howto/own_items.md has them; some of its items cannot be had."""

    def __init__(self, bad=()) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Item:
        if index in self.bad:
            raise BadRow(f"row-{index}", "no picture today")
        return Item(f"row-{index}", "?", (), answer="1", answer_type="integer")


def test_the_first_item_of_a_source_of_your_own_is_one_of_many():
    """It may be bad, or lack what the others have."""
    screen = make_screen(needs=lacking())
    assert screen(Own(bad=[0]), "data.train")[0].id != "row-0"
    assert screen.skips.reasons == {("data.train", "row-0"): "no picture today"}
    assert make_screen(needs=lacking(0))(Own(), "data.train")[0].id != "row-0"
    assert len(make_screen(needs=lacking(*range(99)))(Own(bad=range(99)), "data.train")) == 100
    with pytest.raises(ConfigError, match=r"^X needs data with a Y, and item row-\d+ has none$"):
        make_screen(needs=lacking(*range(100)))(Own(bad=range(50)), "data.train")


@pytest.mark.parametrize("blamed", ["limit", "rows", "settings"])
def test_the_settings_are_blamed_where_rows_that_lack_nothing_are_not_left_out(blamed, table, tmp_path):
    """Of 500 rows as many are too guessable as can be, the others lack something."""
    guessable = {"limit": 499, "rows": 1, "settings": 0}[blamed]
    rows = [{"item": f"r{n}", "mean": float(n < guessable)} for n in range(500)]
    known = guessability_of(str(write_lines(tmp_path / "blind.jsonl", rows)), 0.5)

    def needs(item) -> None:
        if int(item.id[1:]) >= guessable:
            raise ConfigError("X needs data with a Y")

    expected = {
        "limit": r"^data\.max_guessable=0\.5 leaves nothing of data\.train's 500 rows$",
        "rows": r"^data\.train: 499 of 500 rows cannot be used.*:\n  r1: X needs data with a Y\n",
        "settings": r"^X needs data with a Y$",
    }[blamed]
    with pytest.raises(ConfigError, match=expected):
        make_screen(needs=needs)(table(streaming=False), "data.train", known)
    expected = expected if blamed == "settings" else r"^data\.train: 1000 rows in a row cannot be used"
    with pytest.raises(ConfigError, match=expected):
        make_screen(needs=needs)(table(), "data.train", known).endless(0)[0]


def test_more_than_the_share_is_an_error_with_the_list():
    with pytest.raises(ConfigError) as caught:
        make_screen(max_bad_share=0.19)(Rows(BAD), "data.train")
    assert str(caught.value).splitlines() == [
        "data.train: 2 of 10 rows cannot be used, more than data.max_bad_share=0.19 allows:",
        "  row-2: broken",
        "  row-5: empty answer",
    ]


def test_where_nothing_is_left_no_share_is_blamed():
    with pytest.raises(ConfigError, match=r"^data\.train: none of 10 rows can be used:\n"):
        make_screen(max_bad_share=1)(Rows(dict.fromkeys(range(10), "broken")), "data.train")


def test_a_long_list_is_cut_and_a_hostile_one_escaped():
    rows = Rows({0: "\x1b[2J" + "x" * 999})
    with pytest.raises(ConfigError) as caught:
        make_screen()(rows, "data.train")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400

    class Named(Rows):
        def draft(self, index: int) -> Item:
            raise BadRow("\x1b[2J", "bad")

    with pytest.raises(ConfigError, match="\n  ␛\\[2J: bad\n"):
        make_screen()(Named(), "data.train")

    class Many(Rows):
        def __len__(self) -> int:
            return 30

    with pytest.raises(ConfigError, match=r"and 5 more$") as caught:
        make_screen()(Many(dict.fromkeys(range(25), "bad")), "data.train")
    assert str(caught.value).count("bad\n") == 20


def test_no_good_row_at_all_is_an_error():
    with pytest.raises(ConfigError, match="none of 10 rows can be used:"):
        make_screen(max_bad_share=1.0)(Rows(dict.fromkeys(range(10), "bad")), "data.train")


def test_prompts_are_measured():
    def length(item: Item) -> int:
        if item.id == "row-3":
            raise ValueError("two markers")
        return len(item.question)

    screen = make_screen(length, max_prompt_tokens=7, max_bad_share=0.5)
    assert ids(screen(Rows(), "data.train")) == [f"row-{n}" for n in (0, 1, 2, 4, 5, 6)]
    assert screen.skips.reasons["data.train", "row-3"] == "two markers"
    assert screen.skips.reasons["data.train", "row-7"] == "prompt of 8 tokens, more than max_prompt_tokens=7"


def test_an_id_stands_for_one_row():
    class Twice(Rows):
        def draft(self, index: int) -> Item:
            return super().draft(index % 9)

    screen = make_screen(max_bad_share=0.1)
    assert len(screen(Twice(), "data.train")) == 9
    assert screen.skips.reasons == {("data.train", "row-0"): "another row has this id"}


def test_pictures_are_decoded_at_start_only_where_asked():
    rows = Rows(later=[4])
    assert len(make_screen(max_bad_share=0.1)(rows, "data.train")) == 10
    assert rows.decoded == []
    assert len(make_screen(max_bad_share=0.1, decode_at_start=True)(rows, "data.train")) == 9
    assert rows.decoded == list(range(10))


def test_a_row_that_turns_bad_is_replaced_and_counted():
    screen = make_screen()
    screened = screen(Rows(later=[4, 6]), "data.train")
    found = ids(screened)
    assert found[:4] + found[5:6] + found[7:] == [f"row-{n}" for n in (0, 1, 2, 3, 5, 7, 8, 9)]
    assert not {"row-4", "row-6"} & set(found)
    assert ids(screened) == ids(make_screen()(Rows(later=[4, 6]), "data.train")) == found
    assert screen.skips.reasons == {("data.train", "row-4"): "changed", ("data.train", "row-6"): "changed"}


def test_what_is_measured_on_is_decoded_at_start():
    rows = Rows(later=[4])
    screened = make_screen(max_bad_share=0.1)(rows, "data.val", measured=True)
    assert rows.decoded == list(range(10))
    assert ids(screened) == [f"row-{n}" for n in range(10) if n != 4]


def test_a_measured_row_that_turns_bad_is_gone_and_not_replaced():
    rows, screen = Rows(), make_screen()
    screened = screen(rows, "benchmarks.x", measured=True)
    rows.later = {4}
    with pytest.raises(
        ConfigError, match=r"^row-4: of benchmarks\.x could be read at the start .* \(changed\); the same command"
    ) as caught:
        screened[4]
    assert type(pickle.loads(pickle.dumps(caught.value))) is Gone
    assert [screened[n].id for n in range(10) if n != 4] == [f"row-{n}" for n in range(10) if n != 4]
    assert screen.skips.reasons == {("benchmarks.x", "row-4"): "changed"}


def test_a_source_that_turns_bad_altogether_ends_the_run():
    screened = make_screen()(Rows(later=range(10)), "data.train")
    with pytest.raises(ConfigError, match=r"data\.train: 1000 rows in a row cannot be used"):
        screened[0]


def test_every_part_of_a_mixture_is_screened():
    screen = make_screen(max_bad_share=0.2)
    mixed = screen(Mixture({"a": Rows(BAD), "b": Rows()}, {"a": 1, "b": 1}), "data.train")
    found = {endless(mixed, 0)[i].id for i in range(100)}
    assert found == {f"a/row-{n}" for n in range(10) if n not in BAD} | {f"b/row-{n}" for n in range(10)}
    assert {source for source, _ in screen.skips.reasons} == {"data.train.sources.a"}
    with pytest.raises(ConfigError, match=r"data\.train\.sources\.a: 2 of 10"):
        make_screen()(Mixture({"a": Rows(BAD), "b": Rows()}, {"a": 1, "b": 1}), "data.train")


@pytest.fixture
def table(tmp_path):
    """A stream of 500 rows, some of them with another answer, or all but the whole ones with a picture."""

    def make(answers=(), image=None, whole=(), streaming=True):
        rows = [{"id": f"r{n}", "question": "?", "answer": dict(answers).get(n, "1")} for n in range(500)]
        rows = [row | ({"image": None if n in whole else image} if image else {}) for n, row in enumerate(rows)]
        path = write_lines(tmp_path / "rows.jsonl", rows)
        return table_source(schema="folder", path=str(path), streaming=streaming, buffer_size=50)

    return make


def test_a_stream_goes_on_without_its_bad_rows(tmp_path):
    rows = [{"id": f"r{n}", "question": "?", "answer": "" if n in (3, 4, 9) else n} for n in range(12)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    screen = make_screen()
    stream = table_source(schema="folder", path=str(tmp_path / "a.jsonl"), streaming=True, buffer_size=4)
    plain = stream.endless(1)
    order = []
    for i in range(12):
        try:
            order.append(plain[i].id)
        except BadRow:
            order.append(None)
    items = screen(stream, "data.train").endless(1)
    found = [items[i].id for i in range(20)]
    assert found[:9] == [id for id in order if id]
    assert len(set(found[9:18])) == 9  # the next pass
    assert {id for _, id in screen.skips.reasons} == {"r3", "r4", "r9"}
    later = screen(stream, "data.train").endless(1)
    assert [later[i].id for i in range(5, 20)] == found[5:]
    assert [later[i].id for i in (19, 2, 2, 7)] == [found[i] for i in (19, 2, 2, 7)]  # 2 starts over


def test_a_step_of_a_stream_has_no_copies_where_most_rows_are_left_out(table, tmp_path):
    blind = [{"item": f"r{n}", "mean": float(n % 5 > 0)} for n in range(500)]
    known = write_lines(tmp_path / "blind.jsonl", blind)
    items = make_screen()(table(), "data.train", guessability_of(str(known), 0.5)).endless(0)
    assert len({items[i].id for i in range(100)}) == 100


@pytest.mark.parametrize(("every", "stops"), [(100, False), (20, True)])
def test_a_stream_may_have_as_many_bad_rows_as_a_table(table, every, stops):
    items = make_screen(max_bad_share=0.01)(table(dict.fromkeys(range(0, 500, every), "")), "data.train").endless(0)
    if not stops:
        assert items[1500]  # of the fourth pass
        return
    with pytest.raises(
        ConfigError, match=r"^data.train: \d+ of 3\d\d rows cannot be used, more than .*0\.01 allows:\n"
    ):
        items[400]
    none = make_screen(max_bad_share=0.0)(table({40: ""}), "data.train").endless(0)
    with pytest.raises(
        ConfigError, match=r"^data.train: 1 of \d+ rows cannot be used, more than .*=0 allows:\n  r40: e"
    ):
        none[499]


def test_pictures_of_a_stream_that_cannot_be_decoded_are_counted_too(table, tmp_path):
    """Their drafts look good."""
    picture = io.BytesIO()
    Image.effect_noise((28, 28), 50).save(picture, "PNG")
    (tmp_path / "cut.png").write_bytes(picture.getvalue()[:200])
    items = make_screen()(table(image="cut.png", whole=range(0, 500, 2)), "data.train").endless(0)
    found = (int(items[i].id[1:]) for i in range(400))
    assert all(n % 2 == 0 for n in itertools.islice(found, 250))
    with pytest.raises(ConfigError, match=r"^data.train: \d+ of 3\d\d rows cannot be used"):
        list(found)


@pytest.mark.parametrize(("every", "stops"), [(12, True), (250, False)])
def test_a_worker_divides_what_it_cannot_decode_by_what_it_decodes(table, tmp_path, every, stops):
    """Of eight workers each looks at all rows, and decodes the pictures of every eighth batch."""
    picture = io.BytesIO()
    Image.effect_noise((28, 28), 50).save(picture, "PNG")
    (tmp_path / "cut.png").write_bytes(picture.getvalue()[:200])
    whole = [n for n in range(500) if n % every]
    items = make_screen()(table(image="cut.png", whole=whole), "data.train").endless(0)
    own = (i for start in range(0, 4000, 8 * 16) for i in range(start, start + 16))
    if not stops:
        assert all(items[i] for i in own)
        return
    with pytest.raises(ConfigError, match=r"^data.train: \d\d of 3\d\d rows cannot be used"):
        [items[i] for i in own]


def test_a_picture_that_is_found_broken_where_a_stream_starts_over_is_counted(table, tmp_path):
    picture = io.BytesIO()
    Image.effect_noise((28, 28), 50).save(picture, "PNG")
    (tmp_path / "cut.png").write_bytes(picture.getvalue()[:200])
    stream = table(image="cut.png", whole=[n for n in range(500) if n != 40])
    plain = stream.endless(0)
    cut = next(i for i in range(500) if plain.draft(i).id == "r40")
    items = make_screen(max_bad_share=0.0)(stream, "data.train").endless(0)
    assert items[cut + 5]
    with pytest.raises(ConfigError, match=r"^data.train: 1 of \d+ rows cannot be used.*\n  r40: "):
        items[cut]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_bad_share": -0.1}, r"^max_bad_share must lie in \[0, 1\], got -0.1"),
        ({"max_bad_share": 1.1}, r"^max_bad_share"),
        ({"max_prompt_tokens": 0}, r"^max_prompt_tokens must be at least 1"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        make_screen(**settings)
