"""What is measured of held-out items, on a tiny policy whose answers are made up where they matter."""

import dataclasses
from dataclasses import replace

import pytest
from PIL import Image

from papo.corruption import BoxExchange, Counterfactual, RandomPatchMask, Swap
from papo.errors import SettingError
from papo.evaluation import held_out
from papo.evaluation.answering import graded
from papo.evaluation.held_out import HeldOut, with_image
from papo.policy.sampling import Sampling
from papo.rollout import NativeEngine
from papo.types import Guess

K, DURING = 3, 2
ALL = HeldOut(K, DURING, greedy=True, blind=True, masked=RandomPatchMask(0.6), sampling=Sampling(6))


@pytest.fixture(scope="module")
def measure(policy, processor):
    engine = NativeEngine()
    engine.sync(policy, 0)

    def measure(items, settings=ALL, *, seed=5, **how):
        return settings(policy, engine, processor, processor.prompts(items), seed=seed, **how)

    return measure


@pytest.fixture
def asked(monkeypatch):
    """(k, temperature, mean pixel) of each time that answers are drawn."""
    found, original = [], held_out.answer

    def answer(policy, engine, processor, prompts, *, k, sampling, seed):
        found.append((k, sampling.temperature, prompts.images.pixels(0).mean().item()))
        return original(policy, engine, processor, prompts, k=k, sampling=sampling, seed=seed)

    monkeypatch.setattr(held_out, "answer", answer)
    return found


def test_items_are_answered_seen_greedily_blind_and_masked(measure, items, asked):
    found = measure(items[:2])
    assert [item.item for item in found] == ["square", "wide"]
    assert all(0 <= value <= 1 for item in found for value in item.values.values())
    names = {
        "accuracy",
        "readable",
        "greedy",
        "blind",
        "masked",
        "readable_masked",
        "unlikely_masked",
        "repeated_masked",
    }
    assert all(item.values.keys() == names for item in found)
    of_scenes = {"guessed", "error_perception", "error_reasoning", "error_calculation", "error_format"}
    assert ALL.measures == names | of_scenes
    assert replace(ALL, greedy=False).measures == ALL.measures - {"greedy"}
    assert replace(ALL, masked=None).measures == {name for name in ALL.measures if "masked" not in name}
    seen, greedy, blind, masked = asked
    assert [(k, temperature) for k, temperature, _ in asked] == [(K, 1.0), (1, 0.0), (K, 1.0), (K, 1.0)]
    assert seen[2] == greedy[2]
    assert blind[2] == pytest.approx(0, abs=1e-6)
    assert masked[2] == pytest.approx(0.4 * seen[2], rel=0.1)


def test_in_the_midst_of_training_with_less(measure, items, asked):
    measure(items[:2], during=True)
    assert [k for k, _, _ in asked] == [DURING, 1, DURING, DURING]


@pytest.mark.parametrize(
    ("settings", "how", "left"),
    [
        ({}, {"views": False}, {"accuracy", "readable"}),
        ({"greedy": False, "blind": False, "masked": None}, {}, {"accuracy", "readable"}),
        ({"blind": False, "masked": None}, {}, {"accuracy", "readable", "greedy"}),
        ({"greedy": False, "masked": None}, {}, {"accuracy", "readable", "blind"}),
    ],
)
def test_what_is_not_wanted_is_not_asked_for(measure, items, asked, settings, how, left):
    (item,) = measure(items[:1], replace(ALL, **settings), **how)
    assert item.values.keys() == left
    assert len(asked) == max(1, len(left) - 1)


def test_a_mask_is_the_items_own_at_every_validation(measure, items, asked):
    measure(items[:1])
    measure(items[:1], seed=6, during=True)
    measure([dataclasses.replace(items[0], id="twin")])
    first, again, twin = (asked[n][2] for n in (3, 7, 11))
    assert first == again != twin


def test_items_that_cannot_be_graded_are_there_without_values(measure, items):
    """They are items nevertheless: a grader of one's own may grade them in another run."""
    ungraded, other = measure([replace(items[0], answer="many"), items[1]])
    assert (ungraded.item, other.item) == ("square", "wide")
    assert ungraded.values.keys() == other.values.keys()
    assert set(ungraded.values.values()) == {None}
    assert None not in other.values.values()


# ------------------------------------------------------------------------------------------- answers with the image

THINK = "Think inside <think> </think>."
RIGHT = "<think> red = 4, blue = 7 </think> \\boxed{11}"
ANSWERS = [
    RIGHT,
    "<think> red = 4, blue = 6 </think> \\boxed{10}",  # the guess
    "<think> red = 4, blue = 7 </think> \\boxed{12}",
    "\\boxed{11",
]


@pytest.fixture
def charted(item):
    sum_ = dataclasses.replace(item("id", "?"), rationale="red = 4, blue = 7", tags={"task": "sum"}, scene={"any": 1})
    return dataclasses.replace(sum_, guess=Guess("red = 4, blue = 6", "10"))


def test_answers_say_what_was_guessed_and_what_went_wrong(charted):
    assert with_image(graded(charted, ANSWERS), THINK) == {
        "accuracy": 0.25,
        "readable": 0.75,
        "guessed": 0.25,
        "error_perception": 0.25,
        "error_reasoning": 0.0,
        "error_calculation": 0.25,
        "error_format": 0.25,
    }


def test_what_the_data_does_not_know_is_left_out(charted):
    plain = dataclasses.replace(charted, guess=None, scene=None)
    assert with_image(graded(plain, ANSWERS), THINK) == {"accuracy": 0.25, "readable": 0.75}
    assert with_image(graded(plain, ["\\boxed{11}"]), "Box it.") == {"accuracy": 1.0, "readable": 1.0}


def test_items_about_one_picture_share_its_name(item, processor):
    red, wide = Image.new("RGB", (56, 84), "red"), Image.new("RGB", (84, 56), "red")
    items = [item("a", "?", red), item("b", "what?", red.copy()), item("c", "?", wide), item("d", "?", red, wide)]
    items += [item("g", "?", Image.new("RGB", (56, 84), "blue")), item("e", "?"), item("f", "?")]
    first, second, *others = (each.picture for each in items)
    assert first == second
    assert len({first, *others}) == 6
    assert others[-2:] == ["e", "f"]
    assert [first, second, *others] == [left.picture for left in processor.prompts(items).items]  # let go of


@pytest.mark.parametrize("name", ["samples", "samples_during"])
def test_no_samples_are_refused(name):
    with pytest.raises(SettingError, match=f"^{name} must be at least 1, got 0"):
        replace(ALL, **{name: 0})


@pytest.mark.parametrize("masked", [Swap(), BoxExchange(0.5), Counterfactual(Swap())])
def test_a_view_that_depends_on_the_batch_is_refused(masked):
    """Validations in between are of fewer items, hence of other batches, and are compared item by item."""
    with pytest.raises(SettingError, match=rf"^masked must make a view of each item alone.*{type(masked).__name__}"):
        replace(ALL, masked=masked)
    replace(ALL, masked=Counterfactual(RandomPatchMask(0.6)))
