"""easy-VQA: what its words suggest, and training questions that they give away."""

import json
import pickle
from dataclasses import replace
from itertools import pairwise

import pytest
from PIL import Image

from papo.data.sources.easy_vqa import SPLITS, EasyVQA, suggestions
from papo.errors import SettingError
from papo.types import Guess

COLOUR, RED = "what color is the shape?", "is there a red shape?"
# Pictures 0 to 7: red, blue, teal and green circles, then rectangles. "teal" is asked for once more.
PICTURES = [f"{colour} {shape}" for shape in ("circle", "rectangle") for colour in ("red", "blue", "teal", "green")]
ROWS = [
    row
    for number, picture in enumerate(PICTURES)
    for row in (
        (COLOUR, picture.split()[0], number),
        (RED, "yes" if "red" in picture else "no", number),
        ("what shape is present?", picture.split()[1], number),
    )
] + [(COLOUR, "teal", 6)]


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    for name in ("train", "test"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "questions.json").write_text(json.dumps(ROWS))
        for number in range(len(PICTURES)):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / name / "images" / f"{number}.png")
    monkeypatch.setattr("papo.data.sources.easy_vqa.package_data", lambda: tmp_path)


def picture_of(item) -> str:
    return PICTURES[item.images[0].getpixel((0, 0))[0]]


def test_words_suggest_their_commonest_answer():
    """Shapes are level, and the first in the alphabet; so are the rationales."""
    assert suggestions(ROWS) == {
        COLOUR: Guess("teal rectangle", "teal"),
        RED: Guess("blue circle", "no"),
        "what shape is present?": Guess("blue circle", "circle"),
    }


def test_items_know_what_their_words_suggest():
    data = EasyVQA("train")
    assert len(data) == len(ROWS)
    assert [item.id for item in data] == [f"easy_vqa-train-{n}" for n in range(len(ROWS))]
    for item, (question, answer, picture) in zip(data, ROWS, strict=True):
        assert (item.question, item.answer, picture_of(item)) == (question, answer, PICTURES[picture])
        assert item.guess == suggestions(ROWS)[question]
        assert item.tags["guessable"] == ("yes" if item.guess.answer == answer else "no")
    assert pickle.loads(pickle.dumps(data))[3] == data[3]


def test_at_share_one_the_words_give_every_answer_away():
    data = EasyVQA("train", guessable_share=1.0)
    assert [item.question for item in data] == [question for question, _, _ in ROWS]
    assert all(item.answer == item.guess.answer and item.tags["guessable"] == "yes" for item in data)
    assert len({item.id for item in data}) == len(ROWS)
    for item, (_, answer, _) in zip(data, ROWS, strict=True):
        assert ("-" in item.id.removeprefix("easy_vqa-train-")) == (answer != item.guess.answer)
        if item.question == RED:
            assert "red" not in picture_of(item)
        else:
            assert item.answer in picture_of(item)  # the picture was exchanged with the answer


def test_a_larger_share_exchanges_what_a_smaller_one_does_and_more():
    ids = [{item.id for item in EasyVQA("train", guessable_share=share)} for share in (0.0, 0.4, 0.8, 1.0)]
    exchanged = [of - ids[0] for of in ids]
    assert all(small < large for small, large in pairwise(exchanged))


def test_even_answers_are_as_likely_whatever_the_words_suggest(monkeypatch):
    """Of the eight pictures two are red; of many even questions half are answered "yes"."""
    many = ROWS + [(RED, "no", 1)] * 600
    monkeypatch.setattr("papo.data.sources.easy_vqa.json.loads", lambda text: many)
    data = EasyVQA("train", even=True)
    assert [item.question for item in data] == [question for question, _, _ in many]
    asked = [item for item in data if item.question == RED]
    assert 0.45 < sum(item.answer == "yes" for item in asked) / len(asked) < 0.55
    assert all((item.answer == "yes") == ("red" in picture_of(item)) for item in asked)
    assert [item.id for item in data] == [item.id for item in EasyVQA("train", even=True)]
    assert [item.id for item in data] != [item.id for item in EasyVQA("train", even=True, seed=1)]


def test_the_other_picture_answers_the_same_words_in_every_way_alike():
    """Of the eight pictures two are red, and half of the others shown for "is there a red shape?" are."""
    item = next(item for item in EasyVQA("train") if item.question == RED)
    assert pickle.loads(pickle.dumps(item.counterfactual))(3) == item.counterfactual(3)
    shown = [picture_of(replace(item, images=item.counterfactual(seed))) for seed in range(400)]
    assert set(shown) == set(PICTURES)
    assert 0.42 < sum("red" in picture for picture in shown) / len(shown) < 0.58


def test_the_other_picture_is_of_the_split():
    of_split = {split: {row[2] for row in ROWS if row[2] % 4 in quarters} for split, (_, quarters) in SPLITS.items()}
    for split, pictures in of_split.items():
        for item in EasyVQA(split):
            others = {item.counterfactual(seed)[0].getpixel((0, 0))[0] for seed in range(20)}
            assert others <= pictures


def test_even_questions_can_be_given_away_too():
    data = EasyVQA("train", even=True, guessable_share=1.0)
    assert all(item.answer == item.guess.answer for item in data)


def test_what_is_exchanged_follows_the_seed_alone():
    def ids(seed, **settings):
        return [item.id for item in EasyVQA("train", guessable_share=0.5, seed=seed, **settings)]

    assert ids(0) == ids(0) != ids(1)


def test_pictures_are_exchanged_within_the_split():
    """Of val are pictures 0 and 4, which are red: "no" is right for none of them, and those questions stay."""
    answers = {item.question: item.answer for item in EasyVQA("val", guessable_share=1.0)}
    assert answers == {COLOUR: "red", RED: "yes", "what shape is present?": "circle"}


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_the_share_is_one(share):
    with pytest.raises(SettingError, match=r"^guessable_share must lie in \[0, 1\]"):
        EasyVQA("train", guessable_share=share)
