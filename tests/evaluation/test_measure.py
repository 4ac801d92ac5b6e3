"""How a benchmark is answered: every item once, under each view, resumable by whole batches."""

from dataclasses import replace

import pytest
import torch

from papo.corruption import RandomPatchMask
from papo.errors import SettingError
from papo.evaluation.measure import Examination, views_of
from papo.evaluation.records import RecordFile
from papo.lab import lab_item
from papo.policy.sampling import Sampling
from papo.policy.vlm import Policy
from papo.rollout import NativeEngine

K = 3
MASK = RandomPatchMask(mask_ratio=0.6)
PLAIN = {"engine": NativeEngine(), "token_items": 0, "token_responses": 0}


@pytest.fixture
def examine(policy, processor, items, tmp_path):
    """Records of the items, in a fresh file unless one is given."""

    def examine(file=None, of=items, **settings):
        settings = {
            "views": views_of(["image", "masked", "blind"], MASK),
            "k": K,
            "batch_size": 2,
            "sampling": Sampling(6),
            "seed": 7,
            **PLAIN,
        } | settings
        file = file or RecordFile(tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl", settings["batch_size"], len(of))
        return Examination(**settings)(policy, processor, of, file, "name")

    return examine


def test_every_item_is_answered_k_times_under_each_view(examine, items):
    records = examine()
    assert [record.id for record in records] == [item.id for item in items]
    for record, item in zip(records, items, strict=True):
        assert (record.question, record.answer, record.tags) == (item.question, item.answer, dict(item.tags))
        assert list(record.views) == ["image", "masked", "blind"]
        assert all(len(responses) == K for responses in record.views.values())
        assert len(set(record.views.values())) > (1 if item.images else 0)


def test_what_was_cut_off_is_known(examine, items):
    """By each response, in order; here every third came to its end."""

    class Ending(NativeEngine):
        def sample(self, *args):
            responses = super().sample(*args)
            return replace(responses, finished=torch.arange(len(responses.finished)) % K == 1)

    for record in examine(engine=Ending()):
        for view in record.views.values():
            assert [response.finished for response in view] == [False, True, False]


def test_items_about_one_picture_are_told(examine):
    first, other = lab_item(0, "val", 0), lab_item(0, "val", 1)
    again = replace(first, id="again", question="What else?")
    pictures = [record.picture for record in examine(of=[first, other, again])]
    assert pictures[0] == pictures[2] != pictures[1]


def test_what_each_view_shows(examine, items, monkeypatch):
    seen, encode = [], Policy.encode

    def spy(policy, images):
        seen.append(images)
        return encode(policy, images)

    monkeypatch.setattr(Policy, "encode", spy)
    examine(of=[items[0]])
    clean, masked, blind = (images.pixels() for images in seen)
    black = (masked < 1e-6).all(0)
    assert black.float().mean() == pytest.approx(38 / 64)  # floor(0.6 * 64) patches
    shown = (~black).expand_as(clean)
    assert torch.equal(clean[shown], masked[shown])
    assert blind.max() < 1e-6
    assert clean.mean() > 0.3


def test_records_do_not_depend_on_the_batches(examine):
    together, apart = (examine(batch_size=size) for size in (5, 1))
    assert together == apart


def test_answers_and_masks_follow_the_seed(examine):
    first, again, other = (examine(seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert all(a.views != b.views for a, b in zip(first, other, strict=True))


def test_an_interrupted_run_goes_on_where_it_was(examine, items, tmp_path):
    whole = examine()
    path = tmp_path / "stopped.jsonl"
    RecordFile(path, 2, 5).append(whole[:2])
    path.write_text(path.read_text() + whole[2].to_json()[:50])
    asked = []

    class Source(list):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    assert examine(RecordFile(path, 2, 5), of=Source(items)) == whole
    assert asked == [2, 3, 4]


def test_the_tokens_of_the_first_responses_carry_their_perception_kl(examine, policy, processor, items):
    records = examine(token_items=3, token_responses=2)
    for n, record in enumerate(records):
        for g, response in enumerate(record.views["image"]):
            measured = n < 4 and g < 2  # whole batches of two: items 0 to 3
            assert bool(response.tokens) == measured
            assert len(response.tokens) == len(response.kl)
            if measured:
                assert all(value >= 0 for value in response.kl)
                assert any(value > 0 for value in response.kl) == bool(items[n].images)
        assert all(not response.tokens for view in ("masked", "blind") for response in record.views[view])


def test_the_kl_is_that_of_the_whole_vocabulary(examine, policy, processor, items):
    """Against the two distributions of a plain forward pass behind each token."""
    item = next(item for item in items if item.images)
    (record,) = examine(of=[item], token_items=1, token_responses=1)
    response = record.views["image"][0]
    prompts = processor.prompts([item])
    seeds = Examination(views_of(["image"], MASK), 1, 1, Sampling(1), 7, NativeEngine(), 0, 0).view_seeds([item])
    ids = processor.tokenizer(response.text, add_special_tokens=False)["input_ids"]
    logps = []
    for images in (prompts.images, MASK(prompts.images, seeds)):
        with torch.no_grad():
            logits = policy.model(
                input_ids=torch.cat([prompts.prompt_ids, torch.tensor([ids[:1]])], dim=1)[:, :-1],
                pixel_values=images.pixel_values,
                image_grid_thw=images.grid,
                mm_token_type_ids=(prompts.prompt_ids == policy.family.image_token_id).int(),
            ).logits[0, -1]
        logps.append(logits.log_softmax(-1))
    expected = (logps[0].exp() * (logps[0] - logps[1])).sum().item()
    assert response.kl[0] == pytest.approx(expected, abs=1e-3)


def test_without_a_masked_view_there_is_no_kl(examine):
    records = examine(views=views_of(["image"], MASK), token_items=5, token_responses=2)
    assert not any(response.tokens for record in records for response in record.views["image"])


def test_wrong_answers_to_lab_items_say_what_went_wrong(examine):
    lab = [lab_item(0, "val", index) for index in range(2)]
    for record in examine(of=lab):
        assert {response.error for response in record.views["blind"]} <= {"format", None}
        assert all((response.error is None) == response.correct for response in record.views["image"])
    stripped = [replace(item, scene=None) for item in lab]
    assert not any(response.error for record in examine(of=stripped) for response in record.views["image"])


@pytest.mark.parametrize("names", [["masked"], ["image", "blurred"], []])
def test_unknown_views_are_refused(names):
    with pytest.raises(SettingError, match="names must hold image"):
        views_of(names, MASK)


@pytest.mark.parametrize("name", ["k", "batch_size"])
def test_nothing_to_do_is_refused(examine, name):
    with pytest.raises(SettingError, match=f"^{name} must be at least 1, got 0"):
        Examination(**{"views": {}, "k": 1, "batch_size": 1, "sampling": Sampling(1), "seed": 0} | PLAIN | {name: 0})
